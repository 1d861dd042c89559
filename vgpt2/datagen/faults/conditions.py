"""Faults of conditions and of what is shown: another month, an open end, a lost condition, the wrong end of an order."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

from vgpt2.datagen.faults.edits import Part, has_many_rows, swapped, with_filter, with_test, without
from vgpt2.datagen.faults.fault import fault
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.conditions import owner_column
from vgpt2.datagen.plans.plan import ColumnRef, Query

_DATE = re.compile(r"'(\d{4})(\d\d)(\d\d)'")
_NUMBER = re.compile(r"\d+")
_OPEN_ENDS = {">": ">=", ">=": ">", "<": "<=", "<=": "<"}
_OPPOSITES = ((">", "<"), (">=", "<="), ("=", "<>"), ("IS", "IS NOT"), ("IN", "NOT IN"))
_OTHER_WAY = dict(_OPPOSITES) | {b: a for a, b in _OPPOSITES}


def dropped_filter(part: Part, side: Side, rng: Random) -> Query | None:
    """The conditions on one column left out: more rows than were asked for."""
    free = list(dict.fromkeys(ref for ref in (f.column for f in part.query.filters) if not _says_whose(ref, side)))
    if not free:
        return None
    lost = rng.choice(free)
    return replace(part.query, filters=tuple(f for f in part.query.filters if f.column != lost))


def other_month(part: Part, side: Side, rng: Random) -> Query | None:
    """The dates of one column's conditions a month or a year away."""
    dated = list(dict.fromkeys(f.column for f in part.query.filters if _DATE.fullmatch(f.value)))
    if not dated:
        return None
    moved, months = rng.choice(dated), rng.choice((-12, -1, 1, 12))
    filters = tuple(replace(f, value=_later(f.value, months)) if f.column == moved else f for f in part.query.filters)
    return replace(part.query, filters=filters)


def wrong_boundary(part: Part, side: Side, rng: Random) -> Query | None:
    """A value just at the end counted in, or out."""
    places = [at for at, f in enumerate(part.query.filters) if f.operator in _OPEN_ENDS]
    if not places:
        return None
    at = rng.choice(places)
    found = part.query.filters[at]
    return with_filter(part.query, at, replace(found, operator=_OPEN_ENDS[found.operator]))


def other_way_round(part: Part, side: Side, rng: Random) -> Query | None:
    """A condition turned into its opposite: below for above, unequal for equal; of a pair of ends, neither."""
    compared = [f.column for f in part.query.filters]
    places = [
        at
        for at, f in enumerate(part.query.filters)
        if f.operator in _OTHER_WAY and compared.count(f.column) == 1 and not _says_whose(f.column, side)
    ]
    if not places:
        return None
    at = rng.choice(places)
    found = part.query.filters[at]
    return with_filter(part.query, at, replace(found, operator=_OTHER_WAY[found.operator]))


def other_flag(part: Part, side: Side, rng: Random) -> Query | None:
    """N for Y, or Y for N."""
    opposite = {"'Y'": "'N'", "'N'": "'Y'"}
    places = [at for at, f in enumerate(part.query.filters) if f.value in opposite and f.operator in ("=", "<>")]
    if not places:
        return None
    at = rng.choice(places)
    return with_filter(part.query, at, replace(part.query.filters[at], value=opposite[part.query.filters[at].value]))


def other_code(part: Part, side: Side, rng: Random) -> Query | None:
    """A number in a condition that the question does not give, and not whose rows are meant."""
    places = [
        at
        for at, f in enumerate(part.query.filters)
        if f.operator == "=" and _NUMBER.fullmatch(f.value) and not _says_whose(f.column, side)
    ]
    if not places:
        return None
    at = rng.choice(places)
    found = part.query.filters[at]
    return with_filter(part.query, at, replace(found, value=str(int(found.value) + rng.choice((1, 2, 10)))))


def lost_negation(part: Part, side: Side, rng: Random) -> Query | None:
    """Rows that have a match for rows that have none, or the reverse."""
    if not part.query.exists:
        return None
    at = rng.randrange(len(part.query.exists))
    return with_test(part.query, at, replace(part.query.exists[at], negated=not part.query.exists[at].negated))


def dropped_test(part: Part, side: Side, rng: Random) -> Query | None:
    """An existence test left out."""
    if not part.query.exists:
        return None
    return replace(part.query, exists=without(part.query.exists, rng.randrange(len(part.query.exists))))


def wrong_end(part: Part, side: Side, rng: Random) -> Query | None:
    """The smallest for the largest: the first order turned round where only the first rows are shown."""
    if not part.query.top or not part.query.order_by or not has_many_rows(part, side):
        return None
    first = part.query.order_by[0]
    return replace(part.query, order_by=swapped(part.query.order_by, 0, replace(first, descending=not first.descending)))


def dropped_top(part: Part, side: Side, rng: Random) -> Query | None:
    """All rows for the first ones."""
    is_orderly = part.role == "main" or not part.query.order_by  # a sub-query has no order without TOP
    return replace(part.query, top=None) if part.query.top and is_orderly and has_many_rows(part, side) else None


def dropped_distinct(part: Part, side: Side, rng: Random) -> Query | None:
    """The same value as often as it occurs."""
    return replace(part.query, distinct=False) if part.query.distinct and has_many_rows(part, side) else None


def _says_whose(ref: ColumnRef, side: Side) -> bool:
    """Whether the column says whose rows are meant: its loss is a fault of its own, which the checker finds for companies."""
    table = side.catalogue.get(ref.table)
    return table is not None and ref.column in {owner_column(table), table.company_column, *table.group_columns}


def _later(literal: str, months: int) -> str:
    found = _DATE.fullmatch(literal)
    if found is None:
        return literal
    year, month, day = map(int, found.groups())
    count = year * 12 + month - 1 + months
    return f"'{count // 12:04d}{count % 12 + 1:02d}{min(day, 28):02d}'"


FAULTS = (
    fault("dropped_filter", dropped_filter, teaches="every condition of the question is in the query"),
    fault("other_month", other_month, teaches="dates are those of the question"),
    fault("wrong_boundary", wrong_boundary, teaches="from and to say whether the end itself counts"),
    fault("other_way_round", other_way_round, teaches="above is not below, and equal is not unequal"),
    fault("other_flag", other_flag, teaches="a flag says Y or N, as asked"),
    fault("other_code", other_code, teaches="values are those of the question"),
    fault("lost_negation", lost_negation, teaches="without a match is NOT EXISTS"),
    fault("dropped_test", dropped_test, teaches="an existence test of the question is in the query"),
    fault("wrong_end", wrong_end, teaches="the first rows depend on the direction of the order"),
    fault("dropped_top", dropped_top, teaches="the number of rows asked for is kept"),
    fault("dropped_distinct", dropped_distinct, teaches="each value once is DISTINCT"),
)
