"""Suites written by hand: questions with gold SQL in YAML, made into rows with the structure of each answer.

A question has `ask`, `area` and `sql`, or `missing` in place of `sql`: what the catalogue holds no data of. It may have `accepts` (further
right answers) and `blind: false` (written by someone who knew the names). The structure is read off the SQL, so that the two cannot
disagree. The questions leave open which columns to show, so an answer may return more than its gold does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.structure import as_data, structure

_FIELDS = {"ask": str, "area": str, "sql": str, "missing": str, "accepts": list, "blind": bool}
_REQUIRED = ("ask", "area")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True)
class Written:
    ask: str
    area: str
    sql: str | None  # None where there is nothing to query
    missing: str = ""
    accepts: tuple[str, ...] = ()
    blind: bool = True


def read(path: Path) -> list[Written]:
    """The questions of a YAML file; raises ValueError naming file, question and field."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(found, list) or not found:
        raise ValueError(f"{path}: holds no list of questions; each has {', '.join(_REQUIRED)}")
    return [_written(entry, f"{path}: question {number}") for number, entry in enumerate(found, 1)]


def rows(questions: Sequence[Written], name: str, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Suite rows in the order of the questions; raises ValueError where the checker finds anything in a right answer."""
    made = []
    for number, question in enumerate(questions, 1):
        kind, group, expect = _expected(question, f"{name}: question {number}", catalogue)
        about = {"id": f"{name}-{number:03d}", "group": f"{name}_{group}", "kind": kind, "template": f"{name}-written"}
        asked = {"area": question.area, "blind": question.blind, "messages": [{"role": "user", "content": question.ask}]}
        made.append({**about, **asked, "expect": expect})
    return made


def shared_words(text: str, names: Iterable[str]) -> set[str]:
    """Words of the text that are a name, or a part of one written together: 'work' of SMWorkOrder; case does not count."""
    parts = {part.casefold() for name in names for part in (name, *_PARTS.findall(name))}
    return {word for word in re.findall(r"\w+", text.casefold()) if word in parts}


def _expected(question: Written, where: str, catalogue: Catalogue) -> tuple[str, str, dict[str, Any]]:
    """(kind, group, what a right answer holds)."""
    if question.sql is None:
        return "abstain", "unanswerable", {"why": question.missing, "tables": []}
    gold = {**_answer(question.sql, where, catalogue), "more_columns": True}
    if question.accepts:
        gold["accepts"] = [_answer(sql, where, catalogue) for sql in question.accepts]
    return "sql", _size(len(gold["tables"])), gold


def _answer(sql: str, where: str, catalogue: Catalogue) -> dict[str, Any]:
    found = check(sql, catalogue)
    if found:
        raise ValueError(f"{where}: {found[0].code} in its SQL: {found[0].message[:100]}; a right answer has no finding")
    return {**as_data(structure(sql, catalogue)), "sql": sql}


def _size(tables: int) -> str:
    return "one_table" if tables == 1 else "few_tables" if tables <= 3 else "many_tables"


def _written(entry: Any, where: str) -> Written:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: is a {type(entry).__name__}; a question has {', '.join(_REQUIRED)}")
    for name in (*_REQUIRED, *entry):
        if name not in _FIELDS:
            raise ValueError(f"{where}: unknown field '{str(name)[:40]}'; known are {', '.join(_FIELDS)}")
        if not isinstance(entry.get(name), _FIELDS[name]) or entry[name] == "":
            raise ValueError(f"{where}: field '{name}' is missing, empty or no {_FIELDS[name].__name__}; give one")
    if ("sql" in entry) == ("missing" in entry):
        raise ValueError(f"{where}: has {'both' if 'sql' in entry else 'none'} of 'sql' and 'missing'; give one of them")
    accepts = entry.get("accepts", [])
    if not all(isinstance(sql, str) for sql in accepts):
        raise ValueError(f"{where}: field 'accepts' must be a list of SQL texts")
    texts = tuple(sql.strip() for sql in accepts)
    sql = entry["sql"].strip() if "sql" in entry else None
    return Written(entry["ask"].strip(), entry["area"], sql, entry.get("missing", ""), texts, entry.get("blind", True))
