"""Findings on T-SQL. The cases stand in cases/*.sql: a query, then one `--> code name (suggestion)` a finding, or `--> clean`.

A file's head says what it is checked against: `--! catalogue: open` (tables without known columns), `--! catalogue: vista-core`, or its own
tables, `--! table T (A, B)`; and by which rules: `--! rules: names` (no house rules) or `--! rules: house`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from vgpt2.sql.catalogue import Catalogue, Column, Object, load_catalogue
from vgpt2.sql.checker import MAX_CHARACTERS, check
from vgpt2.sql.findings import Finding
from vgpt2.sql.ruleset import HOUSE_CODES, RuleSet, house_rules

CASES = Path(__file__).parent / "cases"
CORE = Path(__file__).parents[3] / "data" / "catalogues" / "vista-core"


@cache
def core() -> Catalogue:
    return load_catalogue(CORE)


def catalogue_of(head: str) -> Catalogue:
    if "--! catalogue: vista-core" in head:
        return core()
    if "--! catalogue: open" in head:
        return Catalogue(Object(name, "table", ()) for name in ["T", "U", "V", "W", "X", "Y", "Z", "Q", "T x"])
    tables = re.findall(r"^--! table (\w+) \((.*)\)$", head, re.MULTILINE)
    return Catalogue(Object(name, "table", tuple(Column(c.strip(" []")) for c in columns.split(","))) for name, columns in tables)


def rules_of(head: str) -> RuleSet:
    return house_rules() if "--! rules: house" in head else house_rules().without(*HOUSE_CODES)


def cases_of(path: Path) -> list[tuple[str, list[str]]]:
    """(query, expected findings) of a file, in its order."""
    found: list[tuple[str, list[str]]] = []
    query: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("--> "):
            if query:
                found.append(("\n".join(query).strip(), []))
                query = []
            found[-1][1].append(line[4:].strip())
        elif not line.startswith("--!") and (query or line.strip()):
            query.append(line)
    return found


def written(finding: Finding, expected: list[str]) -> str:
    """The finding as a case would write it; the suggestion only where the case names one."""
    short = f"{finding.code} {finding.name}".strip()
    long = f"{short} ({finding.suggestion})"
    return long if long in expected else short


def sql_files() -> list[Path]:
    return sorted(CASES.glob("*.sql"))


ALL = [(path.name, query, expected) for path in sql_files() for query, expected in cases_of(path)]


@pytest.mark.parametrize("path", sql_files(), ids=lambda path: path.stem)
def test_every_case_of_the_file_gives_its_findings(path: Path) -> None:
    head = path.read_text(encoding="utf-8")
    catalogue, rules = catalogue_of(head), rules_of(head)
    wrong = []
    for query, expected in cases_of(path):
        found = sorted(written(finding, expected) for finding in check(query, catalogue, rules))
        if found != sorted(e for e in expected if e != "clean"):
            wrong.append(f"{query}\n    expected {expected}\n    found    {found}")
    assert not wrong, "\n\n" + "\n\n".join(wrong)


def test_there_are_at_least_400_cases() -> None:
    assert len(ALL) >= 400


def test_places_count_lines_and_columns_from_one() -> None:
    finding = check("SELECT APTH.APRef,\n       APTH.InvNum\nFROM APTH WITH (NOLOCK)\nWHERE APTH.APCo = 1", core())[0]
    assert (finding.line, finding.column, finding.name) == (2, 13, "InvNum")
    assert str(finding).startswith("2:13 unknown_column 'APTH' has no column 'InvNum'")


def test_a_text_that_is_too_long_is_not_read() -> None:
    assert [f.code for f in check("SELECT " + "1," * MAX_CHARACTERS, core())] == ["too_complex"]


def test_a_text_that_nests_too_deeply_is_not_read() -> None:
    assert [f.code for f in check("SELECT " + "(" * 200 + "1" + ")" * 200, core())] == ["too_complex"]


def test_findings_keep_the_order_of_the_text() -> None:
    found = check("SELECT a.X, b.Y FROM Fake1, Fake2, APTH z", core())
    assert [(f.line, f.column) for f in found] == sorted((f.line, f.column) for f in found)
