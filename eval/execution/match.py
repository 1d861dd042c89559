"""Execution match: whether a query returns what the gold query does, on several sets of synthetic rows.

with Runner(catalogue) as runner:
    runner.match(gold_sql, answer_sql)    # Execution('same', '')
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

from eval.execution.child import DIFFERENT, EMPTY, NOT_EXECUTED, SAME, TIMEOUT
from eval.execution.demands import Demands, demands, tables_of
from eval.execution.rows import contrary_rows, make_rows, needed_columns
from eval.execution.values import kind_of
from vgpt2.sql.catalogue import Catalogue

Verdict: TypeAlias = Literal["same", "different", "timeout", "not executed"]
SEEDS = 3
ATTEMPTS = 5  # with more rows and larger amounts each, until gold returns something
ANSWER_LIMIT_S = 60.0  # of the clock: the queries have limits of their own in CPU time; a parser that hangs ends here
MAX_TABLES = 16
_WORDS = re.compile(r"[\w#$@]+|\*")


@dataclass(frozen=True)
class Execution:
    verdict: Verdict
    reason: str = ""

    @property
    def matches(self) -> bool | None:
        """None where nothing could be compared."""
        return None if self.verdict == NOT_EXECUTED else self.verdict == SAME


def is_available() -> bool:
    """Whether sqlglot, which translates for the judge, is installed."""
    from importlib.util import find_spec

    return find_spec("sqlglot") is not None


class Runner:
    """Compares queries in one child process, which is started when first needed and again after it had to be ended."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._child: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._demands: dict[str, tuple[Demands, dict[str, str]]] = {}

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def match_any(self, golds: Sequence[str], answer: str, *, more_columns: bool = False) -> Execution:
        """The best verdict over several accepted queries."""
        verdicts = []
        for gold in golds:
            verdicts.append(self.match(gold, answer, more_columns=more_columns))
            if verdicts[-1].verdict == SAME:
                return verdicts[-1]
        return next((found for found in verdicts if found.verdict != NOT_EXECUTED), verdicts[0])

    def match(self, gold: str, answer: str, *, more_columns: bool = False) -> Execution:
        """The verdict on one answer whose names the checker knows; never raises on any text.

        With `more_columns` the answer may return columns beside gold's.
        """
        if gold not in self._demands:
            self._demands[gold] = demands(gold, self._catalogue), tables_of(gold, self._catalogue)
        wanted, meant = self._demands[gold]
        names = meant | tables_of(answer, self._catalogue)
        tables = list(dict.fromkeys([*wanted.tables, *names.values()]))
        if len(tables) > MAX_TABLES:
            return Execution("not executed", f"reads {len(tables)} tables")
        if len({name.lower() for name in (*tables, *names)}) < len({*tables, *names}):
            return Execution("not executed", "names that differ in case alone")
        columns = needed_columns(self._catalogue, tables, set(_WORDS.findall(f"{gold} {answer}")))
        request = {
            "tables": {table: {name: self._kind(table, name) for name in columns[table]} for table in tables},
            "views": {name: table for name, table in names.items() if name != table},
            "may_be_empty_from": SEEDS,
            "may_have_more_columns": more_columns,
            "gold": gold,
            "answer": answer,
        }
        attempts = [0] * SEEDS
        while True:
            sets = [make_rows(self._catalogue, columns, wanted, seed=seed, attempt=attempt) for seed, attempt in enumerate(attempts)]
            sets += contrary_rows(self._catalogue, columns, wanted)
            rows = [{table: [[row[name] for name in columns[table]] for row in made[table]] for table in tables} for made in sets]
            verdict, reason = self._ask({**request, "rows": rows})
            if verdict != EMPTY:
                return Execution(verdict, reason)
            attempts[int(reason)] += 1
            if attempts[int(reason)] == ATTEMPTS:
                return Execution("not executed", "gold query: returns nothing on any rows made for it")

    def _kind(self, table: str, column: str) -> str:
        return kind_of(self._catalogue.objects[table].column_index[column].type)

    def _ask(self, request: dict[str, Any]) -> tuple[Any, str]:
        child = self._child or self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            line = self._lines.get(timeout=ANSWER_LIMIT_S)
        except queue.Empty:
            self.close()
            return TIMEOUT, f"takes longer than {ANSWER_LIMIT_S:.0f} s to read and run"
        except OSError:
            line = b""
        if not line:
            self.close()
            return NOT_EXECUTED, "ended the judge's process"
        found = json.loads(line)
        return found["verdict"], found["reason"]

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "eval.execution.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._child, self._lines = child, queue.Queue()
        threading.Thread(target=_forward, args=(child, self._lines), daemon=True).start()
        return child


def _forward(child: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
    """Lines of the child into a queue, where they can be waited for with a limit; an empty one at its end."""
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put(b"")


__all__ = ["DIFFERENT", "Execution", "Runner", "is_available"]
