"""Faults of joins: part of a key, the wrong column for a part of it, invented and surrogate keys, inner for left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from vgpt2.datagen.faults.edits import Part, owner_of, swapped, with_join, with_test, without
from vgpt2.datagen.faults.fault import fault
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.plan import ColumnRef, Query
from vgpt2.sql.schema import COMPANY_TYPE, GROUP_TYPE, Object

Pairs = tuple[tuple[ColumnRef, ColumnRef], ...]


@dataclass(frozen=True)
class _Tie:
    """A join (or the tie of a test) of two objects of the catalogue on a whole key."""

    at: int
    on: Pairs
    ours: Object
    theirs: Object
    child: Object  # the one of the two that refers to the other


def incomplete_join(part: Part, side: Side, rng: Random) -> Query | None:
    """One column of a join's key left out: rows of other companies, months or orders are matched too."""
    places = [tie for tie in _ties(part, side) if len(tie.on) > 1]
    if not places:
        return None
    tie = rng.choice(places)
    dropped = rng.randrange(len(tie.on))
    return _with_on(part, tie, without(tie.on, dropped)) if _is_key_column(tie, dropped, side) else None


def incomplete_test(part: Part, side: Side, rng: Random) -> Query | None:
    """One column of the key left out that ties an EXISTS to its row: rows of others count as its own."""
    places = [tie for tie in _test_ties(part, side) if len(tie.on) > 1]
    if not places:
        return None
    tie = rng.choice(places)
    dropped = rng.randrange(len(tie.on))
    if (
        ColumnRef(tie.ours.name, tie.ours.company_column or "") in tie.on[dropped]
    ):  # the test would read all companies, which is another fault
        return None
    return _with_test_on(part, tie, without(tie.on, dropped)) if _is_key_column(tie, dropped, side) else None


def company_for_group(part: Part, side: Side, rng: Random) -> Query | None:
    """A shared master joined with the company, or another group, in place of its own group: VendorGroup = APCo."""
    places = []
    for tie, pair, ref in _referring(part, side):
        groups = [name for name in (tie.child.company_column, *tie.child.group_columns) if name and name != ref.column]
        if ref.column in tie.child.group_columns:
            places += [(tie, pair, replace(ref, column=name)) for name in groups if not _is_joined(tie, ColumnRef(ref.table, name))]
    return _with_referring(part, places, rng)


def wrong_key_column(part: Part, side: Side, rng: Random) -> Query | None:
    """Part of a key taken from another column of the same type: the line number for the transaction."""
    places = []
    for tie, pair, ref in _referring(part, side):
        own = tie.child.column_index[ref.column]
        keys = [tie.child.column_index[name] for name in tie.child.business_key]
        others = [
            c for c in keys if c.type == own.type and c.udt not in (COMPANY_TYPE, GROUP_TYPE) and own.udt not in (COMPANY_TYPE, GROUP_TYPE)
        ]
        refs = [replace(ref, column=c.name) for c in others]
        places += [(tie, pair, other) for other in refs if not _is_joined(tie, other)]
    return _with_referring(part, places, rng)


def invented_key(part: Part, side: Side, rng: Random) -> Query | None:
    """Tables joined on an id that neither has, as databases of other makers do."""
    ties = list(_ties(part, side))
    if not ties:
        return None
    tie = rng.choice(ties)
    stems = [ref.column for pair in tie.on for ref in pair]
    guesses = [f"{rng.choice(stems)}{ending}" for ending in ("ID", "Key", "No", "Guid")]
    present = {name.casefold() for o in (tie.ours, tie.theirs) for name in o.column_names}
    name = next((guess for guess in guesses if guess.casefold() not in present), None)
    if name is None:
        return None
    return _with_on(part, tie, ((ColumnRef(tie.ours.name, name), ColumnRef(tie.theirs.name, name)),))


def surrogate_key(part: Part, side: Side, rng: Random) -> Query | None:
    """Tables joined on the row number that each keeps for itself: the KeyID of one is not the KeyID of the other."""
    places = [(tie, name) for tie in _ties(part, side) for name in _surrogates(tie.ours) if name in _surrogates(tie.theirs)]
    if not places:
        return None
    tie, name = rng.choice(places)
    return _with_on(part, tie, ((ColumnRef(tie.ours.name, name), ColumnRef(tie.theirs.name, name)),))


def inner_for_left(part: Part, side: Side, rng: Random) -> Query | None:
    """Rows without a match lost, although they were asked for."""
    places = [at for at, join in enumerate(part.query.joins) if join.kind == "LEFT JOIN"]
    if not places:
        return None
    at = rng.choice(places)
    return with_join(part.query, at, replace(part.query.joins[at], kind="JOIN"))


def left_for_inner(part: Part, side: Side, rng: Random) -> Query | None:
    """Rows without a match kept, although only matched ones were asked for: where the last table is the many side, undemanded."""
    last, filtered = len(part.query.joins) - 1, {f.column.table for f in part.query.filters}
    tie = next((tie for tie in _ties(part, side) if tie.at == last and tie.child is tie.ours), None)
    if tie is None or part.query.joins[last].kind == "LEFT JOIN" or tie.ours.name in filtered:
        return None
    return with_join(part.query, last, replace(part.query.joins[last], kind="LEFT JOIN"))


def _ties(part: Part, side: Side) -> Iterator[_Tie]:
    """Joins of the SELECT between two objects of the catalogue on a whole key."""
    for at, join in enumerate(part.query.joins):
        tie = _tie(at, join.on, join.source.table, side)
        if tie:
            yield tie


def _test_ties(part: Part, side: Side) -> Iterator[_Tie]:
    for at, test in enumerate(part.query.exists):
        tie = _tie(at, test.on, test.query.source.table, side)
        if tie:
            yield tie


def _tie(at: int, on: Pairs, table: str, side: Side) -> _Tie | None:
    tables = {ref.table for pair in on for ref in pair} - {table}
    ours, theirs = side.catalogue.get(table), side.catalogue.get(next(iter(tables))) if len(tables) == 1 else None
    if ours is None or theirs is None or any(owner_of(ref, side) is None for pair in on for ref in pair):
        return None
    for key in side.catalogue.joins(ours.name, theirs.name):
        child, parent = key.from_object, key.to_object
        if {frozenset((ColumnRef(child, c), ColumnRef(parent, p))) for c, p in key.pairs} <= set(map(frozenset, on)):
            return _Tie(at, on, ours, theirs, ours if child == ours.name else theirs)
    return None


def _is_key_column(tie: _Tie, dropped: int, side: Side) -> bool:
    """Whether no whole key is left without the n-th pair, so that its loss is a defect."""
    rest = set(map(frozenset, without(tie.on, dropped)))
    for key in side.catalogue.joins(tie.ours.name, tie.theirs.name):
        if {frozenset((ColumnRef(key.from_object, c), ColumnRef(key.to_object, p))) for c, p in key.pairs} <= rest:
            return False
    named = {ref for pair in rest for ref in pair}
    rows = ((o.name, unique) for o in (tie.ours, tie.theirs) for unique in (o.business_key, *o.unique_keys) if unique)
    return not any({ColumnRef(name, column) for column in unique} <= named for name, unique in rows)


def _with_on(part: Part, tie: _Tie, on: Pairs) -> Query:
    return with_join(part.query, tie.at, replace(part.query.joins[tie.at], on=on))


def _with_test_on(part: Part, tie: _Tie, on: Pairs) -> Query:
    return with_test(part.query, tie.at, replace(part.query.exists[tie.at], on=on))


def _referring(part: Part, side: Side) -> Iterator[tuple[_Tie, int, ColumnRef]]:
    """The columns by which a child refers to its parent, where the key has several: (join, which pair, the child's column)."""
    for tie in _ties(part, side):
        for pair, both in enumerate(tie.on):
            if len(tie.on) > 1:
                yield tie, pair, next(ref for ref in both if ref.table == tie.child.name)


def _with_referring(part: Part, places: list[tuple[_Tie, int, ColumnRef]], rng: Random) -> Query | None:
    """The SELECT with one of these columns in the place of the child's."""
    if not places:
        return None
    tie, pair, other = rng.choice(places)
    a, b = tie.on[pair]
    return _with_on(part, tie, swapped(tie.on, pair, (other, b) if a.table == other.table else (a, other)))


def _is_joined(tie: _Tie, ref: ColumnRef) -> bool:
    return any(ref in pair for pair in tie.on)


def _surrogates(o: Object) -> list[str]:
    """Columns that number the rows of one table only."""
    return [c.name for c in o.columns if c.identity or ((c.name,) in o.unique_keys and c.name not in o.business_key)]


FAULTS = (
    fault("incomplete_join", incomplete_join, "incomplete_join", teaches="tables are joined on the whole key"),
    fault("incomplete_test", incomplete_test, "incomplete_join", teaches="an existence test is tied to its row by the whole key"),
    fault("company_for_group", company_for_group, teaches="vendors, customers and materials belong to groups"),
    fault("wrong_key_column", wrong_key_column, teaches="each key column is joined to its own counterpart"),
    fault(
        "invented_key", invented_key, "unknown_column", "unknown_column", teaches="keys are those of the catalogue: there is no general id"
    ),
    fault("surrogate_key", surrogate_key, teaches="a surrogate numbers the rows of its own table and joins nothing"),
    fault("inner_for_left", inner_for_left, teaches="rows without a match are kept by LEFT JOIN"),
    fault("left_for_inner", left_for_inner, teaches="rows without a match are left out by JOIN"),
)
