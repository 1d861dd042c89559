"""Conditions on the rows of one table: as filters of the plan, and as nouns and clauses of a sentence.

Every value is invented and stands in the question; what a code means is never assumed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from vgpt2.datagen.language import english
from vgpt2.datagen.plans.conditions import TEXT, WHOLE, YEARS, code_value, date_literal
from vgpt2.datagen.plans.plan import ColumnRef, Filter
from vgpt2.datagen.queries.lexicon import Table

UNSAID = "unsaid"  # the kind of a condition that the rows' name implies, or that was said of another table
# how a condition of each kind is said of the column {c}: after 'with' or 'for', and after 'where'; {0}, {1} are the values as said
NOUNS: dict[str, tuple[str, ...]] = {
    "owner": ("{c} {0}",),
    "is": ("{c} {0}", "{c} equal to {0}"),
    "is_not": ("{c} other than {0}", "any {c} but {0}"),
    "in": ("{c} {0}", "{c} equal to {0}"),
    "span": ("{c} from {0} to {1}", "{c} between {0} and {1}"),
    "month": ("{c} {0}",),
    "months": ("{c} from {0} to {1}", "{c} {0} through {1}"),
    "year": ("{c} in {0}", "{c} within {0}"),
    "within": ("{c} in {0}", "{c} during {0}"),
    "since": ("{c} from {0} on", "{c} on or after {0}"),
    "before": ("{c} before {0}", "{c} earlier than {0}"),
    "recent": ("{c} in the last {0} days", "{c} no more than {0} days ago"),
    "past": ("{c} before today", "{c} already past"),
    "above": ("{c} above {0}", "{c} of more than {0}", "{c} over {0}"),
    "below": ("{c} below {0}", "{c} of less than {0}", "{c} under {0}"),
    "nonzero": ("{c} other than zero", "any {c} but zero"),
    "starts": ('{c} starting with "{0}"', '{c} that begins with "{0}"'),
    "contains": ('{c} containing "{0}"', '"{0}" in the {c}'),
    "empty": ("no {c}", "{c} left blank"),
    "given": ("{c} filled in", "any {c} at all"),
    "flag": ('"{f}" = {0}', '"{f}" set to {0}'),
}
CLAUSES: dict[str, tuple[str, ...]] = {
    "owner": ("{c} is {0}",),
    "is": ("{c} is {0}", "{c} equals {0}"),
    "is_not": ("{c} is not {0}", "{c} differs from {0}"),
    "in": ("{c} is one of {0}", "{c} is {0}"),
    "span": ("{c} lies between {0} and {1}", "{c} runs from {0} to {1}"),
    "month": ("{c} is {0}",),
    "months": ("{c} is {0} through {1}", "{c} runs from {0} to {1}"),
    "year": ("{c} falls in {0}", "{c} is in {0}"),
    "within": ("{c} falls in {0}", "{c} is in {0}"),
    "since": ("{c} is {0} or later", "{c} is on or after {0}"),
    "before": ("{c} is before {0}", "{c} is earlier than {0}"),
    "recent": ("{c} is within the last {0} days", "{c} is at most {0} days back"),
    "past": ("{c} is before today", "{c} has passed"),
    "above": ("{c} exceeds {0}", "{c} is above {0}", "{c} is more than {0}"),
    "below": ("{c} is below {0}", "{c} is less than {0}"),
    "nonzero": ("{c} is not zero", "{c} differs from zero"),
    "starts": ('{c} starts with "{0}"', '{c} begins with "{0}"'),
    "contains": ('{c} contains "{0}"', '"{0}" occurs in {c}'),
    "empty": ("{c} is empty", "{c} was left blank"),
    "given": ("{c} is filled in", "{c} is not empty"),
    "flag": ('"{f}" is {0}', 'the flag "{f}" stands at {0}'),
}
# after a bare column name, where an operator is shorter than words
NAMED: dict[str, str] = {
    "owner": "{c} = {0}",
    "is": "{c} = {0}",
    "is_not": "{c} <> {0}",
    "above": "{c} > {0}",
    "below": "{c} < {0}",
    "nonzero": "{c} <> 0",
    "flag": "{c} = {0}",
}
_LOOSE = re.compile(r" (?:of (?:the|a|an|this)|for|when|within|that|which)\b")
_VERB = re.compile(r"(?<=\{c\} )\w+")
_PLURALS = {"is": "are", "was": "were", "has": "have"}


@dataclass(frozen=True)
class Criterion:
    column: ColumnRef
    kind: str
    filters: tuple[Filter, ...]
    values: tuple[str, ...] = ()
    clause: str = ""  # of a flag: what a Y says


def owner_criterion(table: Table, rng: Random) -> Criterion | None:
    """Whose rows are asked for."""
    if table.owner is None:
        return None
    column = table.object.column_index[table.owner]
    value = str(rng.randint(1, 30)) if column.type in WHOLE else f"{code_value(column, rng)}"
    return _compared(table.ref(table.owner), "owner", "=", value, text=column.type in TEXT)


def criterion(table: Table, rng: Random, *, avoid: Collection[str] = ()) -> Criterion | None:
    """A condition on one column that is not in `avoid`; months and codes are what people ask for most."""
    makers = (
        (_month, table.months, 4),
        (_code, table.codes, 6),
        (_date, table.dates, 4),
        (_amount, table.amounts, 3),
        (_flag, tuple(table.flags), 2),
        (_text, table.texts, 2),
        (_gap, table.gaps, 2),
    )
    offered = [(make, [c for c in columns if c not in avoid and c != table.owner], weight) for make, columns, weight in makers]
    offered = [offer for offer in offered if offer[1]]
    if not offered:
        return None
    make, columns, _ = rng.choices(offered, [weight for _, _, weight in offered])[0]
    return make(table, rng.choice(columns), rng)


def same_kind(old: Criterion, table: Table, rng: Random) -> Criterion | None:
    """A condition like `old` on the same column with other values; None where the draw gives another kind."""
    if old.kind == "owner":
        return owner_criterion(table, rng)
    column = old.column.column
    make = _month if column in table.months else _date if column in table.dates else _code
    for _ in range(6):
        new = make(table, column, rng)
        if new.kind == old.kind:
            return new
    return None


def said(criterion: Criterion, name: str, rng: Random, *, clause: bool, by_name: bool) -> str:
    """The condition in words, of a column called `name`."""
    forms = (CLAUSES if clause else NOUNS)[criterion.kind]
    if by_name and criterion.kind in NAMED:
        forms = (NAMED[criterion.kind],)
    form = rng.choice(forms)
    if form == "{c} {0}" and not by_name:
        head, rest = english.split_head(name)
        if _LOOSE.match(rest):  # 'company 4 of the batch', but 'unit of measure LF'
            return f"{head} {criterion.values[0]}{rest}"
    if clause and not by_name and english.is_plural(name):
        form = _VERB.sub(lambda found: _PLURALS.get(found[0], found[0].removesuffix("s")), form)
    return form.format(*criterion.values, c=name, f=criterion.clause)


def _code(table: Table, column: str, rng: Random) -> Criterion:
    described = table.object.column_index[column]
    ref, text = table.ref(column), described.type in TEXT
    kind = rng.choices(("is", "in", "is_not", "span"), (10, 3, 1, 0 if text else 2))[0]
    if kind == "in":
        values = list(dict.fromkeys(code_value(described, rng) for _ in range(rng.randint(2, 4))))
        if len(values) > 1:
            listed = ", ".join(f"'{value}'" if text else value for value in values)
            return Criterion(ref, "in", (Filter(ref, "IN", f"({listed})"),), (", ".join(values[:-1]) + " or " + values[-1],))
    if kind == "span":
        low = int(code_value(described, rng))
        high = low + rng.choice((5, 10, 20, 50, 99))
        return Criterion(ref, "span", (Filter(ref, ">=", str(low)), Filter(ref, "<=", str(high))), (str(low), str(high)))
    return _compared(ref, "is" if kind != "is_not" else kind, "<>" if kind == "is_not" else "=", code_value(described, rng), text=text)


def _month(table: Table, column: str, rng: Random) -> Criterion:
    """A month column holds the first of the month."""
    ref, year, month = table.ref(column), rng.choice(YEARS), rng.randint(1, 12)
    kind = rng.choices(("month", "months", "year"), (6, 2, 2))[0]
    if kind == "year":
        return _year(ref, year)
    if kind == "months" and month < 12:
        last = rng.randint(month + 1, 12)
        filters = (Filter(ref, ">=", date_literal(year, month, 1)), Filter(ref, "<=", date_literal(year, last, 1)))
        return Criterion(ref, "months", filters, (_month_name(year, month), _month_name(year, last)))
    return Criterion(ref, "month", (Filter(ref, "=", date_literal(year, month, 1)),), (_month_name(year, month),))


def _date(table: Table, column: str, rng: Random) -> Criterion:
    ref, year, month, day = table.ref(column), rng.choice(YEARS), rng.randint(1, 12), rng.randint(1, 28)
    kind = rng.choices(("within", "year", "since", "before", "recent", "past"), (4, 2, 2, 2, 2, 1))[0]
    if kind == "year":
        return _year(ref, year)
    if kind == "within":
        after = (year + 1, 1) if month == 12 else (year, month + 1)
        filters = (Filter(ref, ">=", date_literal(year, month, 1)), Filter(ref, "<", date_literal(*after, 1)))
        return Criterion(ref, "within", filters, (_month_name(year, month),))
    if kind == "recent":
        days = str(rng.choice((7, 14, 30, 60, 90, 120)))
        return Criterion(ref, "recent", (Filter(ref, ">=", f"DATEADD(DAY, -{days}, CAST(GETDATE() AS date))"),), (days,))
    if kind == "past":
        return Criterion(ref, "past", (Filter(ref, "<", "CAST(GETDATE() AS date)"),))
    when = f"{english.MONTHS[month - 1]} {day}, {year}"
    return Criterion(ref, kind, (Filter(ref, ">=" if kind == "since" else "<", date_literal(year, month, day)),), (when,))


def _year(ref: ColumnRef, year: int) -> Criterion:
    filters = (Filter(ref, ">=", date_literal(year, 1, 1)), Filter(ref, "<", date_literal(year + 1, 1, 1)))
    return Criterion(ref, "year", filters, (str(year),))


def _amount(table: Table, column: str, rng: Random) -> Criterion:
    ref, value = table.ref(column), str(rng.choice((10, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000)))
    kind = rng.choices(("above", "below", "span", "nonzero"), (5, 2, 1, 2))[0]
    if kind == "nonzero":
        return Criterion(ref, kind, (Filter(ref, "<>", "0"),))
    if kind == "span":
        high = str(int(value) * rng.choice((2, 4, 5)))
        return Criterion(ref, kind, (Filter(ref, ">=", value), Filter(ref, "<=", high)), (value, high))
    return Criterion(ref, kind, (Filter(ref, ">" if kind == "above" else "<", value),), (value,))


def _flag(table: Table, column: str, rng: Random) -> Criterion:
    ref, value = table.ref(column), rng.choice("YYN")
    return Criterion(ref, "flag", (Filter(ref, "=", f"'{value}'"),), (value,), table.flags[column])


def _text(table: Table, column: str, rng: Random) -> Criterion:
    ref = table.ref(column)
    if rng.random() < 0.5:
        start = rng.choice("ABCDEFGHJKLMNPRSTW")
        return Criterion(ref, "starts", (Filter(ref, "LIKE", f"'{start}%'"),), (start,))
    word = rng.choice(("north", "pump", "steel", "east", "phase", "repair", "rental", "main", "school", "test", "copy", "west"))
    return Criterion(ref, "contains", (Filter(ref, "LIKE", f"'%{word}%'"),), (word,))


def _gap(table: Table, column: str, rng: Random) -> Criterion:
    ref, empty = table.ref(column), rng.random() < 0.6
    return Criterion(ref, "empty" if empty else "given", (Filter(ref, "IS" if empty else "IS NOT", "NULL"),))


def _compared(ref: ColumnRef, kind: str, operator: str, value: str, *, text: bool) -> Criterion:
    return Criterion(ref, kind, (Filter(ref, operator, f"'{value}'" if text else value),), (value,))


def _month_name(year: int, month: int) -> str:
    return f"{english.MONTHS[month - 1]} {year}"
