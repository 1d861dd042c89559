"""Findings on a T-SQL text against a catalogue: is it T-SQL, does every table and column exist in scope, are the house rules kept.

for finding in check("SELECT APTH.InvNum FROM APTH WITH (NOLOCK)", catalogue):
    print(finding)    # 1:13 unknown_column 'APTH' has no column 'InvNum'
"""

from __future__ import annotations

from collections.abc import Iterator

from vgpt2.sql.binding import Problem, TooMuchWork, bind
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.findings import Finding
from vgpt2.sql.lexer import Places
from vgpt2.sql.parser import TooDeep, parse
from vgpt2.sql.rules import RULES
from vgpt2.sql.ruleset import RuleSet, house_rules

MAX_CHARACTERS = 100_000


def check(sql: str, catalogue: Catalogue, rules: RuleSet | None = None) -> list[Finding]:
    """Findings in the order of their places, one for each place; none for a text without fault.

    Never raises, whatever the text: beyond the limits of length, depth and work the finding is `too_complex`.
    """
    rules = rules or house_rules()
    if len(sql) > MAX_CHARACTERS:
        problems = [Problem("too_complex", 0, "", f"the text is longer than {MAX_CHARACTERS:,} characters")]
    else:
        problems = _problems(sql, catalogue, rules)
    return list(_findings(sql, problems, rules))


def _problems(sql: str, catalogue: Catalogue, rules: RuleSet) -> list[Problem]:
    try:
        statements, errors = parse(sql)
        problems = [Problem("too_complex" if isinstance(e, TooDeep) else "syntax", e.pos, e.word, e.message) for e in errors]
        binding = bind(statements, catalogue)
        for rule in RULES:
            problems += rule(binding, rules)
    except TooMuchWork:
        return [Problem("too_complex", 0, "", "the text has too many tables and columns to look each of them up")]
    except RecursionError:  # the caller's stack was nearly full: our own limit of depth is far below Python's
        return [Problem("too_complex", 0, "", "the text nests too deeply")]
    return problems + binding.problems


def _findings(sql: str, problems: list[Problem], rules: RuleSet) -> Iterator[Finding]:
    """Problems in order, with severity and place; left out are codes that are off, and a second problem of a kind at one place."""
    places = Places(sql)
    seen = set()
    for problem in sorted(problems, key=lambda p: p.pos):
        severity = rules.severities.get(problem.code)
        if severity is not None and (problem.pos, problem.code) not in seen:
            seen.add((problem.pos, problem.code))
            yield Finding(problem.code, severity, problem.name, *places(problem.pos), problem.message, problem.suggestion)
