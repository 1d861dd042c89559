"""What an answer is worth: a question with what a right answer must hold, and the verdict on one answer, without a model.

    item = read_items(Path("eval/suites/demo.jsonl"))[0]
    judge(item, "APTH exists: AP invoice headers.", catalogue).passed    # {'existence': True}

SQL is judged by the checker and by the names it uses, existence by the claim about exactly the asked name. Words alone earn nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.extract import claims, sql_blocks
from vgpt2.sql.findings import Finding
from vgpt2.sql.lexer import QUOTED, WORD, Token, tokenize

if TYPE_CHECKING:
    from vgpt2.tokenizer import Message

KINDS = ("sql", "exists", "column", "abstain")
# findings after which nobody can say that a query runs; the others are house rules
BROKEN_SQL = frozenset({"syntax", "unknown_table", "unknown_column", "unknown_qualifier", "ambiguous_column", "case", "too_complex"})
LIST_ENDS = frozenset({"WHERE", "GROUP", "ORDER", "HAVING", "UNION", "EXCEPT", "INTERSECT", "SELECT", "OPTION", "ON"})
# ways to say that data is not there, beside the denial of a name
_ABSENT = re.compile(
    r"\b(?:is|are)(?: not|n't) (?:a (?:column|field) of|(?:in|part of|stored|kept|recorded|held|available|tracked)\b)"
    r"|\bnot (?:in|part of) (?:the |this |our )?(?:schema|database|catalogue|catalog|data)\b"
    r"|\b(?:no|none of|nothing)\b[^.\n]{0,60}\b(?:tables?|views?|columns?|objects?|data|schema|database)\b[^.\n]{0,60}"
    r"\b(?:holds?|stores?|keeps?|kept|records?|has|have|says?|matches|is for)\b"
    r"|\b(?:has|have|holds?|contains?|there is|there's|see) no (?:such |\w+ )?(?:table|view|object|column|field|place|data|information)\b"
    r"|\bcontains? nothing (?:about|on)\b|\blacks? an? (?:column|field)\b|\bmissing from\b"
    r"|\b(?:does|do)(?: not|n't) (?:hold|store|keep|record|contain|include|track|have|appear)\b"
    r"|\bthere (?:is not|isn't) (?:an?|any|enough) (?:such )?(?:table|view|column|field|data|information)\b"
    r"|\b(?:cannot|can't|can not|could not|couldn't|do not|don't) (?:find|see) (?:that|it|this|any|an?) ?(?:view|column|field|data|in\b)"
    r"|\b(?:cannot|can't|can not|not possible to) (?:be )?(?:answer(?:ed)?|told|known)(?: (?:that|this|it))? (?:from|with)\b"
    r"|(?:\bnot|n't) a question (?:for|about) (?:the|this|a) database\b",
    re.IGNORECASE,
)
REPEATED_SHARE, REPEATED_TOKENS, RUN_CHARACTERS = 0.5, 32, 60


@dataclass(frozen=True)
class Item:
    """One question of a suite.

    `expect` by kind: sql {tables, columns, sql ...}, exists {name, exists}, column {table, column}, abstain {why}. `accepts` of SQL lists
    other right answers in the same form; with `more_columns` an answer may return columns beside gold's. An abstention may have
    `candidates`, of which a right answer names at least two when it asks back.
    """

    id: str
    kind: str
    group: str
    messages: list[Message]
    expect: Mapping[str, Any]

    @property
    def accepted(self) -> list[Mapping[str, Any]]:
        """What a right answer may look like: the suite's own first."""
        return [self.expect, *self.expect.get("accepts", ())]


@dataclass(frozen=True)
class Verdict:
    """What was asked of an answer and whether it holds; `right` when all of it does. Collapse is not asked for, only noted."""

    passed: dict[str, bool]
    collapse: Literal["empty", "repetition"] | None
    reason: str  # why the answer is not right, in a few words; '' when it is
    findings: tuple[tuple[str, Finding], ...] = field(default=())  # (SQL, what the checker says of it)

    @property
    def right(self) -> bool:
        return all(self.passed.values())


def read_items(path: Path) -> list[Item]:
    """The rows of a suite file; raises ValueError naming file, line and field."""
    items = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                items.append(_item(line, f"{path}:{number}"))
    if not items:
        raise ValueError(f"{path}: holds no question; make it with python -m vgpt2.datagen suite")
    if len({item.id for item in items}) < len(items):
        seen: set[str] = set()
        twice = next(item.id for item in items if item.id in seen or seen.add(item.id))  # type: ignore[func-returns-value]
        raise ValueError(f"{path}: two rows have the id '{twice[:80]}'; each needs its own")
    return items


def judge(item: Item, answer: str, catalogue: Catalogue) -> Verdict:
    """The verdict on an answer to `item`; never raises on any answer."""
    collapse = collapsed(answer)
    if item.kind == "exists":
        said = existence(answer, item.expect["name"])
        right = said == ("accepts" if item.expect["exists"] else "refuses")
        verb = {"accepts": "says that", "refuses": "denies that", None: "does not say whether"}[said]
        return Verdict({"existence": right}, collapse, "" if right else f"{verb} {item.expect['name']} exists")
    if item.kind == "column":
        table, column = item.expect["table"], item.expect["column"]
        if column and (denied := [name for name in (table, f"{table}.{column}") if denies(answer, name)]):
            return Verdict({"column": False}, collapse, f"denies that {denied[0]} exists")
        right = names_column(answer, table, column, catalogue) and (column is not None or abstains(answer))
        reason = f"does not name {column} of {table} alone" if column else f"does not say that {table} has no such column"
        return Verdict({"column": right}, collapse, "" if right else reason)
    if item.kind == "abstain":
        right = abstains(answer, item.expect.get("candidates", ()))
        return Verdict({"abstention": right}, collapse, "" if right else "answers what cannot be answered")
    return _judge_sql(item, answer, catalogue, collapse)


def abstains(answer: str, candidates: Collection[str] = ()) -> bool:
    """Whether the answer gives no SQL and says that the data is not there; with `candidates`, asks which of at least two is meant."""
    if sql_blocks(answer):
        return False
    if candidates:
        return "?" in answer and len({name for name in candidates if re.search(rf"\b{re.escape(name)}\b", answer)}) > 1
    return bool(_ABSENT.search(answer)) or any(claim.kind == "not_exists" for claim in claims(answer))


def existence(answer: str, name: str) -> Literal["accepts", "refuses"] | None:
    """Whether the answer claims that exactly `name` (an object, or object.column) exists or not; None for neither and for both."""
    said = _claimed(answer, name) & {"exists", "not_exists"}
    if len(said) != 1:
        return None
    return "accepts" if said == {"exists"} else "refuses"


def denies(answer: str, name: str) -> bool:
    """Whether the answer claims that exactly `name` does not exist, whatever it claims besides."""
    return "not_exists" in _claimed(answer, name)


def _claimed(answer: str, name: str) -> set[str]:
    """Kinds of the claims about exactly `name`."""
    return {claim.kind for claim in claims(answer, about=name) if _is_about(claim.name, claim.of, name)}


def names_column(answer: str, table: str, column: str | None, catalogue: Catalogue) -> bool:
    """Whether the answer names `column` and no other column of `table`; where `column` is None, none of them."""
    known = catalogue.get(table)
    qualified = set(re.findall(rf"\b{re.escape(table)}\.(\w+)", answer))
    own = {c.name for c in known.columns} if known else set()
    # names written with their table leave no doubt; without any, a word that is a column's name stands for the column
    named = qualified or own.intersection(re.findall(r"\w+", answer))
    return named == ({column} if column else set())


def collapsed(answer: str) -> Literal["empty", "repetition"] | None:
    """Whether the answer says nothing, or the same over and over: half of its runs of four words or signs are not new."""
    tokens = re.findall(r"\w+|[^\w\s]+", answer)
    if not re.search(r"\w", answer):
        return "empty"
    runs = list(zip(tokens, tokens[1:], tokens[2:], tokens[3:]))
    repeats = len(tokens) >= REPEATED_TOKENS and len(set(runs)) < REPEATED_SHARE * len(runs)
    if repeats or re.search(rf"([^\s=_-])\1{{{RUN_CHARACTERS},}}", answer):
        return "repetition"
    return None


def tables_read(sql: str, catalogue: Catalogue) -> set[str]:
    """Objects of the catalogue that stand in a FROM clause of the text."""
    tokens = tokenize(sql)
    found: set[str] = set()
    list_depth: int | None = None  # parentheses around the FROM list being read
    depth = 0
    for place, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.key, 0)
        if token.key in ("FROM", "JOIN", "APPLY"):
            list_depth = depth
        elif token.key in LIST_ENDS and list_depth == depth:
            list_depth = depth if token.key == "ON" else None
        if token.key in ("FROM", "JOIN", "APPLY") or (token.key == "," and list_depth == depth):
            name = _last_part(tokens, place + 1)
            if name in catalogue.objects:
                found.add(name)
    return found


def _judge_sql(item: Item, answer: str, catalogue: Catalogue, collapse: Literal["empty", "repetition"] | None) -> Verdict:
    """Every block must stand: a second one that fails spoils the answer, a right name outside SQL adds nothing."""
    blocks = sql_blocks(answer)
    findings = tuple((sql, finding) for sql in blocks for finding in check(sql, catalogue))
    codes = {finding.code for _, finding in findings}
    tables = [tables_read(sql, catalogue) for sql in blocks]
    resolves = bool(blocks) and all(tables) and not codes & BROKEN_SQL
    fitting = resolves and any(all(_fits(expect, sql, found) for sql, found in zip(blocks, tables)) for expect in item.accepted)
    passed = {"resolves": resolves, "fitting": fitting, "nolock": resolves and "missing_nolock" not in codes}
    asked = item.expect["tables"]
    if len(asked) > 1:
        passed["join"] = fitting and "incomplete_join" not in codes
    if any((found := catalogue.get(table)) and found.company_column for table in asked):
        passed["company"] = fitting and "missing_company_filter" not in codes
    return Verdict(passed, collapse, "" if all(passed.values()) else _sql_reason(passed, findings, bool(blocks)), findings)


def _fits(expect: Mapping[str, Any], sql: str, tables: set[str]) -> bool:
    """Whether a query reads exactly the tables wanted and names every column wanted."""
    wanted = {column.rpartition(".")[2] for column in expect.get("columns", ())}
    return tables == set(expect["tables"]) and wanted <= _words(sql)


def _sql_reason(passed: Mapping[str, bool], findings: Iterable[tuple[str, Finding]], has_sql: bool) -> str:
    if not has_sql:
        return "holds no SQL"
    failing = sorted((finding for _, finding in findings), key=lambda finding: finding.code not in BROKEN_SQL)
    if failing and not (passed["resolves"] and not passed["fitting"]):
        return failing[0].message
    return "does not read exactly the tables and columns asked for" if passed["resolves"] else "reads no table of the catalogue"


def _is_about(claimed: str, owner: str | None, asked: str) -> bool:
    """Whether a claim about `claimed` (of the object `owner`) is about `asked`; a column without its object may be meant."""
    claimed = claimed.removeprefix("dbo.")
    if owner and "." not in claimed:
        claimed = f"{owner}.{claimed}"
    return claimed == asked or ("." in asked and "." not in claimed and claimed == asked.rpartition(".")[2])


def _words(sql: str) -> set[str]:
    return {token.name for token in tokenize(sql) if token.kind in (WORD, QUOTED)}


def _last_part(tokens: list[Token], place: int) -> str:
    """The object in a name such as dbo.APTH that begins at `place`; '' where no name does."""
    while place + 2 < len(tokens) and tokens[place + 1].key == ".":
        place += 2
    return tokens[place].name if tokens[place].kind in (WORD, QUOTED) else ""


def _item(line: str, where: str) -> Item:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"{where}: is not JSON; every line must be one object") from None
    fields = {"id": str, "kind": str, "group": str, "messages": list, "expect": dict}
    for name, kind in fields.items():
        if not isinstance(row, dict) or not isinstance(row.get(name), kind) or not row[name]:
            raise ValueError(f"{where}:{name}: is missing, empty or no {kind.__name__}; a question has {', '.join(fields)}")
    needed = {"sql": ("tables",), "exists": ("name", "exists"), "column": ("table", "column"), "abstain": ("why",)}
    if row["kind"] not in needed:
        raise ValueError(f"{where}:kind: is '{row['kind'][:40]}'; known are {', '.join(KINDS)}")
    for name in needed[row["kind"]]:
        if name not in row["expect"]:
            raise ValueError(f"{where}:expect.{name}: is missing; kind {row['kind']} needs {', '.join(needed[row['kind']])}")
    if any(not isinstance(other, dict) or "tables" not in other for other in row["expect"].get("accepts", ())):
        raise ValueError(f"{where}:expect.accepts: every accepted answer needs tables, as the expectation itself has")
    for message in row["messages"]:
        if not isinstance(message, dict) or not all(isinstance(message.get(part), str) for part in ("role", "content")):
            raise ValueError(f"{where}:messages: every message needs role and content, both text")
    return Item(row["id"], row["kind"], row["group"], row["messages"], row["expect"])
