"""Faults of columns: invented, misspelt, of another table, and real ones that mean something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from vgpt2.datagen.faults.edits import Part, columns, free_outputs, owner_of, swapped, with_filter, with_output
from vgpt2.datagen.faults.fault import fault
from vgpt2.datagen.language import english
from vgpt2.datagen.names.fakes import borrowed_column, fake_column, near_miss
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.conditions import DATES
from vgpt2.datagen.plans.plan import ColumnRef, Query
from vgpt2.sql.schema import Column, Object

_ATTEMPTS = 20


def invented_column(part: Part, side: Side, rng: Random) -> Query | None:
    """A selected column replaced by one that exists nowhere in its table, though it sounds so."""

    def invent(table: Object, column: str) -> str | None:
        fake = fake_column(table, table.column_index[column], rng)
        return fake.name if fake else None

    return _with_other_output(part, side, invent, rng)


def misspelt_column(part: Part, side: Side, rng: Random) -> Query | None:
    """A selected column with one slip of the keyboard."""

    def slip(table: Object, column: str) -> str | None:
        present = {name.casefold() for name in table.column_names}
        guesses = (near_miss(column, None, (), rng) for _ in range(_ATTEMPTS))
        return next((guess for guess in guesses if guess and guess.casefold() not in present), None)

    return _with_other_output(part, side, slip, rng)


def column_of_another_table(part: Part, side: Side, rng: Random) -> Query | None:
    """A selected column replaced by one that only another table of the module has."""

    def borrow(table: Object, column: str) -> str | None:
        found = borrowed_column(side.catalogue, side.schema_names, table, rng)
        return found[0] if found else None

    return _with_other_output(part, side, borrow, rng)


def invented_filter_column(part: Part, side: Side, rng: Random) -> Query | None:
    """A condition on a column that the table does not have."""
    compared = [f.column for f in part.query.filters]
    places = []
    for at, found in enumerate(part.query.filters):
        table = owner_of(found.column, side)
        owners = {table.company_column, *table.group_columns} if table else set()
        if table and found.column.column not in owners and compared.count(found.column) == 1:
            places.append((at, table))
    if not places:
        return None
    at, table = rng.choice(places)
    found = part.query.filters[at]
    fake = fake_column(table, table.column_index[found.column.column], rng)
    return with_filter(part.query, at, replace(found, column=replace(found.column, column=fake.name))) if fake else None


def column_of_the_other_side(part: Part, side: Side, rng: Random) -> Query | None:
    """A column asked of the wrong one of two joined tables: the line's Status of the header, which has none."""
    moved = [(at, ref) for at, ref in _moved(part, side) if not _has_in_any_case(side.catalogue.objects[ref.table], ref.column)]
    return _with_moved(part, moved, rng)


def same_name_of_the_other_side(part: Part, side: Side, rng: Random) -> Query | None:
    """The other table's column of the same name, which holds something else: the header's Description for the line's."""
    equated = {frozenset(pair) for join in part.query.joins for pair in join.on}
    moved = []
    for at, ref in _moved(part, side):
        before = part.query.outputs[at].column
        is_same = frozenset((before, ref)) in equated or ref.column in side.catalogue.objects[ref.table].business_key
        if side.catalogue.objects[ref.table].has(ref.column) and not is_same:
            moved.append((at, ref))
    return _with_moved(part, moved, rng)


def wrong_attribute(part: Part, side: Side, rng: Random) -> Query | None:
    """A selected column replaced by another real one of its table and kind, which means something else."""

    def mistake(table: Object, column: str) -> str | None:
        words, used = english.askable(table), {ref.column for ref in columns(part.query) if ref.table == table.name}
        own = table.column_index[column]
        others = [c for c in table.columns if c.name in words and c.name not in used and _is_alike(own, c)]
        return rng.choice(_nearest_in_words(words.get(column, column), words, others)).name if others else None

    return _with_other_output(part, side, mistake, rng)


def wrong_date_column(part: Part, side: Side, rng: Random) -> Query | None:
    """The conditions on a date put on another date of the table: the due date for the invoice date."""
    dates = []
    for ref in dict.fromkeys(f.column for f in part.query.filters):
        table = owner_of(ref, side)
        if table and table.column_index[ref.column].type in DATES and ref.column not in table.business_key:
            others = [c.name for c in table.columns if c.type in DATES and c.name != ref.column and c.name in english.askable(table)]
            dates += [(ref, name) for name in others]
    if not dates:
        return None
    ref, name = rng.choice(dates)
    other = replace(ref, column=name)
    filters = tuple(replace(f, column=other) if f.column == ref else f for f in part.query.filters)
    return replace(part.query, filters=filters) if other not in columns(part.query) else None


def wrong_group(part: Part, side: Side, rng: Random) -> Query | None:
    """Totals by another column than the one asked for."""
    if part.role != "main":
        return None
    selected = {output.column: at for at, output in enumerate(part.query.outputs) if not output.function and not output.window}
    named = columns(part.query)
    places = []
    for ref in part.query.group_by:
        table = owner_of(ref, side)
        if table and ref in selected and named.count(ref) == 2:
            words, own = english.askable(table), table.column_index[ref.column]
            others = [c for c in table.columns if c.name in words and _is_alike(own, c) and ColumnRef(table.name, c.name) not in named]
            places += [(ref, replace(ref, column=c.name)) for c in others]
    if not places:
        return None
    old, new = rng.choice(places)
    changed = with_output(part, selected[old], replace(part.query.outputs[selected[old]], column=new))
    return replace(changed, group_by=swapped(changed.group_by, changed.group_by.index(old), new))


def _with_other_output(part: Part, side: Side, rename: Callable[[Object, str], str | None], rng: Random) -> Query | None:
    """The SELECT with one free output's column renamed."""
    free = [at for at in free_outputs(part) if owner_of(part.query.outputs[at].column or ColumnRef("", ""), side)]
    if not free:
        return None
    at = rng.choice(free)
    output = part.query.outputs[at]
    assert output.column is not None
    name = rename(side.catalogue.objects[output.column.table], output.column.column)
    return with_output(part, at, replace(output, column=replace(output.column, column=name))) if name else None


def _moved(part: Part, side: Side) -> list[tuple[int, ColumnRef]]:
    """Free outputs with their column asked of another table of the SELECT."""
    tables = [name for name in part.query.tables if side.catalogue.has(name)]
    found = []
    for at in free_outputs(part):
        ref = part.query.outputs[at].column
        if ref and owner_of(ref, side):
            found += [(at, replace(ref, table=name)) for name in tables if name != ref.table]
    return found


def _with_moved(part: Part, moved: list[tuple[int, ColumnRef]], rng: Random) -> Query | None:
    if not moved:
        return None
    at, ref = rng.choice(moved)
    return with_output(part, at, replace(part.query.outputs[at], column=ref))


def _has_in_any_case(table: Object, column: str) -> bool:
    return column.casefold() in {name.casefold() for name in table.column_names}


def _is_alike(a: Column, b: Column) -> bool:
    """Whether two columns hold the same kind of thing, so that either makes a sensible query."""
    return a.name != b.name and a.type == b.type and (a.udt == b.udt or a.udt is None or b.udt is None)


def _nearest_in_words(said: str, words: dict[str, str], others: list[Column]) -> list[Column]:
    """The columns whose words share most with what was asked for: the ones that are really taken for it."""
    asked = set(said.casefold().split())
    shared = {c.name: len(asked & set(words[c.name].casefold().split())) for c in others}
    best = max(shared.values())
    return [c for c in others if shared[c.name] == best]


FAULTS = (
    fault("invented_column", invented_column, "unknown_column", teaches="a column that only sounds right is not there"),
    fault("misspelt_column", misspelt_column, "unknown_column", teaches="a column name is copied letter by letter"),
    fault(
        "column_of_another_table",
        column_of_another_table,
        "unknown_column",
        teaches="a column belongs to the table that the catalogue says",
    ),
    fault("invented_filter_column", invented_filter_column, "unknown_column", teaches="conditions need real columns as well"),
    fault(
        "column_of_the_other_side",
        column_of_the_other_side,
        "unknown_column",
        teaches="of two joined tables, only one has the column: status and amounts of lines are not the header's",
    ),
    fault(
        "same_name_of_the_other_side",
        same_name_of_the_other_side,
        teaches="columns of the same name in a header and its lines hold different things",
    ),
    fault("wrong_attribute", wrong_attribute, teaches="columns of one kind are told apart by what they hold"),
    fault("wrong_date_column", wrong_date_column, teaches="a row has several dates; the question means one of them"),
    fault("wrong_group", wrong_group, teaches="the rows are grouped by what the question says"),
)
