"""What can be mended in SQL with certainty: the case of names, and `Co` for a module's own company column.

repaired("SELECT aptH.APRef FROM APTH WHERE Co = 1", catalogue)    # ('SELECT APTH.APRef FROM APTH WHERE APCo = 1', [...])
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vgpt2.sql.binding import Binding, Problem, TooMuchWork, bind
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.checker import MAX_CHARACTERS
from vgpt2.sql.parser import parse
from vgpt2.sql.schema import Object

COMPANY_WORDS = frozenset(("co", "company"))
_ROUNDS = 3  # a table in its right case may show a column in the wrong one
_QUALIFIER = re.compile(r"(?<![\w#@$])([\w#@$]{1,128})\]?\s{0,20}\.\s{0,20}$")


@dataclass(frozen=True, slots=True)
class Repair:
    kind: str  # 'case' or 'company column'
    old: str
    new: str


def repaired(sql: str, catalogue: Catalogue) -> tuple[str, list[Repair]]:
    """The text with every certain repair made, and the repairs; a text that is no T-SQL stays as it is."""
    made: list[Repair] = []
    for _ in range(_ROUNDS):
        found = dict(_repairs(sql, catalogue))
        for pos in sorted(found, reverse=True):
            sql = sql[:pos] + found[pos].new + sql[pos + len(found[pos].old) :]
        made += (found[pos] for pos in sorted(found))
        if not found:
            break
    return sql, made


def _repairs(sql: str, catalogue: Catalogue) -> Iterator[tuple[int, Repair]]:
    """(offset, repair) for each name that can be mended."""
    if len(sql) > MAX_CHARACTERS:
        return
    try:
        statements, errors = parse(sql)
        binding = bind(statements, catalogue)
    except (TooMuchWork, RecursionError):
        return
    if errors:
        return
    for problem in binding.problems:
        start = problem.pos + sql.startswith("[", problem.pos)
        new = _mended(problem, sql, binding)
        if new and new != problem.name and sql.startswith(problem.name, start):
            yield start, Repair("case" if problem.code == "case" else "company column", problem.name, new)


def _mended(problem: Problem, sql: str, binding: Binding) -> str | None:
    if problem.code == "case":
        return problem.suggestion
    if problem.code == "unknown_column" and problem.name.casefold() in COMPANY_WORDS:
        owner = _owner(sql[: problem.pos], binding)
        return owner.company_column if owner else None
    return None


def _owner(before: str, binding: Binding) -> Object | None:
    """The one object that a column behind this text can be of: what its qualifier names, or all that the text reads."""
    qualifier = _QUALIFIER.search(before)
    sources = [source for bound in binding.selects for source in bound.scope.sources]
    if qualifier:
        sources = [source for source in sources if qualifier[1] in (source.name, source.written)]
    owners = {source.object.name: source.object for source in sources if source.object}
    return next(iter(owners.values())) if len(owners) == 1 and all(source.object for source in sources) else None
