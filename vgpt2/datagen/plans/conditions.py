"""Conditions on the rows of one object, each as filters of the plan and as a phrase in words and in names.

Values are invented, but always stated in the question: no code's meaning is ever assumed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from vgpt2.datagen.language import english
from vgpt2.datagen.plans.plan import ColumnRef, Filter
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.schema import COMPANY_TYPE, Column, Object

TEXT = {"char", "varchar", "nchar", "nvarchar"}
WHOLE = {"tinyint", "smallint", "int", "bigint"}
_AMOUNTS = {"numeric", "decimal", "money", "smallmoney", "float"}
DATES = {"date", "datetime", "datetime2", "smalldatetime"}
FREE_TEXT = re.compile(r"description|name|address|text|memo|mail|phone|manufacturer|password|reason for|^city$|^payee$", re.IGNORECASE)
_NOT_A_SUM = re.compile(r"rate|percent|price|\bper\b|unit cost|factor|limit|balance|average|level|reading|hours per|score", re.IGNORECASE)
YEARS = range(2019, 2026)


@dataclass(frozen=True)
class Condition:
    filters: tuple[Filter, ...]
    words: str  # 'posting month March 2024'
    names: str  # 'Mth March 2024'


def conditions(catalogue: Catalogue, table: Object, rng: Random, *, n: int, avoid: Collection[str] = ()) -> tuple[Condition, ...]:
    """Whose rows (company, or the group of a shared master), where the object says so, and up to `n` conditions besides; one at least.

    Columns in `avoid` are left alone. Empty when the object offers nothing to ask for.
    """
    owner = owner_column(table)
    found = [_owner_condition(table, owner, rng)] if owner else []
    candidates = [c for c in _conditionable(catalogue, table) if c.name not in avoid and c.name != owner]
    months = [c for c in candidates if c.name in table.business_key]
    chosen = rng.sample(candidates, min(n if owner else max(1, n), len(candidates)))
    if chosen and months and rng.random() < 0.4:  # by month is what people ask for most
        chosen = [months[0], *(c for c in chosen[1:] if c is not months[0])]
    return tuple(found + [_condition(table, column, rng) for column in chosen])


def owner_column(table: Object) -> str | None:
    """The company column, else the group a shared master's key begins with."""
    if table.company_column:
        return table.company_column
    first = table.business_key[0] if len(table.business_key) > 1 else None
    return first if first in table.group_columns else None


def summable(table: Object) -> list[str]:
    """Amounts, hours and quantities that may be added up."""
    words = english.askable(table)
    return [c.name for c in table.columns if c.name in words and c.type in _AMOUNTS and not _NOT_A_SUM.search(words[c.name] + c.name)]


def codes(catalogue: Catalogue, table: Object) -> list[str]:
    """Codes and numbers that tell rows apart and mean the same all over the asked rows: good to group by, good to compare with."""
    words = english.askable(table)
    return [c.name for c in table.columns if c.name in words and _is_code(c, words[c.name]) and _stands_alone(catalogue, table, c.name)]


def _conditionable(catalogue: Catalogue, table: Object) -> list[Column]:
    words = english.askable(table)
    comparable = set(codes(catalogue, table))
    months = {c.name for c in table.columns if is_month(c) and c.name in table.business_key}
    return [
        c
        for c in table.columns
        if c.name in comparable
        or c.name in months
        or (c.name in words and (c.type in DATES or (c.type in _AMOUNTS and not _NOT_A_SUM.search(words[c.name]))))
        or (c.type == "char" and c.length == 1 and english.flag_clause(c.description))
    ]


def _owner_condition(table: Object, owner: str, rng: Random) -> Condition:
    column = table.column(owner)
    said = english.gloss(column.description if column else None) or english.spaced(owner)
    value = str(rng.randint(1, 30))
    return Condition((Filter(ColumnRef(table.name, owner), "=", value),), f"{said} {value}", f"{owner} {value}")


def _condition(table: Object, column: Column, rng: Random) -> Condition:
    ref = ColumnRef(table.name, column.name)
    clause = english.flag_clause(column.description)
    if clause:
        value = rng.choice("YYN")
        return Condition((Filter(ref, "=", f"'{value}'"),), f'"{clause}" = {value}', f"{column.name} = {value}")
    said = english.gloss(column.description) or english.spaced(column.name)
    if column.type in DATES:
        say = _of_month if is_month(column) else rng.choice((_within_month, _after))
        filters, when = say(ref, rng)
        return Condition(filters, f"{said} {when}", f"{column.name} {when}")
    if column.type in _AMOUNTS:
        value = str(rng.choice((0, 50, 100, 500, 1000, 2500, 10000)))
        return Condition((Filter(ref, ">", value),), f"{said} above {value}", f"{column.name} > {value}")
    value = code_value(column, rng)
    literal = f"'{value}'" if column.type in TEXT else value
    return Condition((Filter(ref, "=", literal),), f"{said} {value}", f"{column.name} {value}")


def _of_month(ref: ColumnRef, rng: Random) -> tuple[tuple[Filter, ...], str]:
    """A month column holds the first of the month."""
    year, month = rng.choice(YEARS), rng.randint(1, 12)
    return (Filter(ref, "=", date_literal(year, month, 1)),), f"{english.MONTHS[month - 1]} {year}"


def _within_month(ref: ColumnRef, rng: Random) -> tuple[tuple[Filter, ...], str]:
    """From the first of a month to before the first of the next, which is right for dates with and without a time."""
    year, month = rng.choice(YEARS), rng.randint(1, 12)
    after = (year + 1, 1) if month == 12 else (year, month + 1)
    filters = (Filter(ref, ">=", date_literal(year, month, 1)), Filter(ref, "<", date_literal(*after, 1)))
    return filters, f"in {english.MONTHS[month - 1]} {year}"


def _after(ref: ColumnRef, rng: Random) -> tuple[tuple[Filter, ...], str]:
    year, month, day = rng.choice(YEARS), rng.randint(1, 12), rng.randint(1, 28)
    return (Filter(ref, ">=", date_literal(year, month, day)),), f"from {english.MONTHS[month - 1]} {day}, {year} on"


def date_literal(year: int, month: int, day: int) -> str:
    """yyyymmdd: the form SQL Server reads alike under every language and date format."""
    return f"'{year}{month:02d}{day:02d}'"


def code_value(column: Column, rng: Random) -> str:
    if column.type in WHOLE:
        return str(rng.randint(1, 9 if column.type == "tinyint" else 5000))
    length = column.length if column.length and column.length > 0 else 6
    if length < 3:
        return rng.choice("ABCDEFGH")
    return rng.choice("ABCDEFGHJKLMNPRSTUVW") + str(rng.randint(1, 10 ** min(3, length - 1) - 1))


def _is_code(column: Column, words: str) -> bool:
    if FREE_TEXT.search(words) or column.udt == COMPANY_TYPE:
        return False
    return column.type in WHOLE or (column.type in TEXT and 0 < (column.length or 0) <= 30)


def is_month(column: Column) -> bool:
    return column.type in DATES and (column.udt == "bMonth" or "month" in (column.description or "").casefold())


def _stands_alone(catalogue: Catalogue, table: Object, name: str) -> bool:
    """Whether no foreign key needs another column beside it, but the owner and group columns: Job of another company is another job."""
    settled = {owner_column(table), *table.group_columns, name}
    return all(set(key.from_columns) <= settled for key in catalogue.parents(table.name) if name in key.from_columns)
