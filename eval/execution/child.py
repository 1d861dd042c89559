"""The process that runs foreign queries: a request a line in, a verdict a line out, little memory, no files.

    {"tables": {"APTH": {"APCo": "integer"}}, "views": {}, "rows": [{"APTH": [[1]]}], "gold": "SELECT ...", "answer": "SELECT ...",
     "may_be_empty_from": 1, "may_have_more_columns": false}
    {"verdict": "same", "reason": ""}

On sets of rows from number `may_be_empty_from` on gold need not return anything.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
from pathlib import Path
from typing import Any

MEMORY_BYTES = 512 * 2**20
EMPTY, SAME, DIFFERENT, NOT_EXECUTED, TIMEOUT = "empty", "same", "different", "not executed", "timeout"


def main() -> None:
    """Answers requests until stdin ends."""
    from eval.execution.translate import translate

    translate("SELECT 1", {})  # imports, before the limits start
    logging.disable(logging.CRITICAL)  # sqlglot tells of every clause it leaves out
    _limit()
    for line in sys.stdin.buffer:
        try:
            verdict = judged(json.loads(line))
        except MemoryError:
            verdict = (NOT_EXECUTED, "takes too much memory")
        sys.stdout.write(json.dumps({"verdict": verdict[0], "reason": verdict[1]}) + "\n")
        sys.stdout.flush()


def judged(request: dict[str, Any]) -> tuple[str, str]:
    """Verdict and reason: the answer's result against gold's, on each set of rows until they differ."""
    from eval.execution import database, results
    from eval.execution.translate import Untranslatable, translate

    tables = request["tables"]
    try:
        gold = translate(request["gold"], tables)
    except Untranslatable as error:
        return NOT_EXECUTED, f"gold query: {error}"
    try:
        answer = translate(request["answer"], tables)
    except Untranslatable as error:
        return NOT_EXECUTED, str(error)
    for number, rows in enumerate(request["rows"]):
        connection = database.build(tables, request["views"], rows)
        try:
            wanted = _rows_of(connection, gold.sql)
            if isinstance(wanted, tuple):
                return wanted[0] if wanted[0] == TIMEOUT else NOT_EXECUTED, f"gold query: {wanted[1]}"
            if results.is_empty(wanted) and number < request["may_be_empty_from"]:
                return EMPTY, str(number)
            found = _rows_of(connection, answer.sql)
            if isinstance(found, tuple):
                return found
        finally:
            connection.close()
        extra = answer.extra
        shown = [row[: len(row) - extra] for row in found] if extra else found
        width = len(wanted[0]) - gold.extra if wanted else 0
        may_have_more = request["may_have_more_columns"]
        if wanted and shown and (len(shown[0]) < width or (len(shown[0]) > width and not may_have_more)):
            return DIFFERENT, f"returns {len(shown[0])} columns, not {width}"
        if len(shown) != len(wanted):
            return DIFFERENT, f"returns {len(shown)} rows, not {len(wanted)}"
        if not results.same(wanted, shown, keys=gold.keys, is_ordered=gold.is_ordered, width=width, may_have_more=may_have_more):
            unordered = gold.is_ordered and results.same(wanted, shown, width=width, may_have_more=may_have_more)
            return DIFFERENT, "returns the rows in another order" if unordered else "returns other values"
    return SAME, ""


def _rows_of(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]] | tuple[str, str]:
    from eval.execution import database

    try:
        return database.query(connection, sql)
    except database.TooSlow:
        return TIMEOUT, f"takes longer than {database.TIME_LIMIT_S:.0f} s"
    except database.TooManyRows:
        return DIFFERENT, f"returns more than {database.MAX_ROWS:,} rows"
    except (sqlite3.Error, RecursionError, OverflowError) as error:
        return NOT_EXECUTED, " ".join(str(error).split())[:100]


def _limit() -> None:
    """At most MEMORY_BYTES more than now, no new file and no core dump. Where there is no /proc, the clocks alone limit the child."""
    size = Path("/proc/self/statm")
    if not size.exists():
        return
    import resource

    memory = int(size.read_text("ascii").split()[0]) * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
