"""Faults of tables: names that do not exist, the table behind a view, and a relative in place of the right object."""

from __future__ import annotations

from random import Random

from vgpt2.datagen.faults.edits import Change, Part, columns, objects, with_table
from vgpt2.datagen.faults.fault import fault
from vgpt2.datagen.names.fakes import fake_object
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.plan import ColumnRef, Query
from vgpt2.sql.schema import Object


def invented_name(*kinds: str) -> Change:
    """A table replaced by a name of these kinds that nothing in the database bears."""

    def change(part: Part, side: Side, rng: Random) -> Query | None:
        found = objects(part, side)
        if not found:
            return None
        at, target = rng.choice(found)
        fake = fake_object(side.names, target.name, kinds, split=side.split, rng=rng)
        return with_table(part.query, at, fake.name) if fake else None

    return change


def base_table(part: Part, side: Side, rng: Random) -> Query | None:
    """A view replaced by the table behind it, which has the columns too."""
    found = [(at, o.base_table) for at, o in objects(part, side) if o.base_table and _can_stand_for(o.base_table, o, part, side)]
    return with_table(part.query, *rng.choice(found)) if found else None


def _can_stand_for(table: str, view: Object, part: Part, side: Side) -> bool:
    if table in part.query.tables or not side.catalogue.views_of(table):
        return False
    shown = side.catalogue.get(table)  # a catalogue of views does not hold it
    used = [ref.column for whole in (part.query, part.put(part.query)) for ref in columns(whole) if ref.table == view.name]
    return shown is None or all(map(shown.has, used))


def relative_without_column(part: Part, side: Side, rng: Random) -> Query | None:
    """The only table replaced by one of its family that lacks one of the columns: a line's amount asked of the header."""
    found = [o for o in _relatives(part, side) if len(_missing(part, o)) == 1]
    return with_table(part.query, 0, rng.choice(found).name) if found else None


def relative_with_columns(part: Part, side: Side, rng: Random) -> Query | None:
    """The only table replaced by one of its family, or its twin of another stage, that happens to have all the columns."""
    found = [o for o in _relatives(part, side) if not _missing(part, o)]
    return with_table(part.query, 0, rng.choice(found).name) if found else None


def _relatives(part: Part, side: Side) -> list[Object]:
    """Other objects of the module that could be read in place of the part's only table: same owner column, another grain or stage."""
    if len(part.query.tables) != 1 or part.query.exists or part.role == "test":
        return []
    table = side.catalogue.get(part.query.source.table)
    if table is None:
        return []
    family = side.catalogue.family(table.name)
    near = [o for o in side.schema_objects() if o.name in family or (o.module and o.module == table.module)]
    owned = {f.column.column for f in part.query.filters}
    return [
        o
        for o in near
        if side.catalogue.base_of(o.name) != side.catalogue.base_of(table.name)
        and len(o.business_key) > 1
        and (o.company_column is None or o.company_column in owned)
    ]


def _missing(part: Part, other: Object) -> list[ColumnRef]:
    """The places of the part whose column the other object lacks; one lacking in case only counts as many."""
    lower = {name.casefold() for name in other.column_names}
    lacking = [ref for ref in columns(part.query) if not other.has(ref.column)]
    return lacking * 9 if any(ref.column.casefold() in lower for ref in lacking) else lacking


FAULTS = (
    fault(
        "invented_table",
        invented_name("camel", "english", "plural", "suffix"),
        "unknown_table",
        teaches="a table is named as the catalogue names it, not as its meaning suggests",
    ),
    fault(
        "near_miss_table",
        invented_name("near_miss"),
        "unknown_table",
        teaches="a name that is nearly right is another name",
    ),
    fault(
        "wrong_module_table",
        invented_name("wrong_module"),
        "unknown_table",
        teaches="what one module calls its tables says nothing about another module",
    ),
    fault("base_table", base_table, "base_table", teaches="the view is read, not the table behind it"),
    fault(
        "relative_without_column",
        relative_without_column,
        "unknown_column",
        teaches="headers, lines and details hold different columns",
    ),
    fault(
        "relative_with_columns",
        relative_with_columns,
        teaches="headers, lines, details and batches hold different rows even where their columns are the same",
    ),
)
