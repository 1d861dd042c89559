"""Faults of whose rows are read: the company column by another name, invented, or left out."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from vgpt2.datagen.faults.edits import Part, with_filter, without
from vgpt2.datagen.faults.fault import fault
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.conditions import owner_column
from vgpt2.datagen.plans.plan import Query
from vgpt2.sql.ruleset import house_rules


def company_by_another_name(part: Part, side: Side, rng: Random) -> Query | None:
    """The filter on whose rows are meant put on a company column of another module, or plain Co: `WHERE APTH.Co = 1`."""
    table = side.catalogue.get(part.query.source.table)
    if table is None or not _is_only_restriction(part, side):
        return None
    others = sorted({o.company_column for o in side.schema_objects() if o.company_column} - set(table.column_names))
    places = [at for at, f in enumerate(part.query.filters) if f.column.column == table.company_column]
    if not others or not places:
        return None
    name = "Co" if "Co" in others and rng.random() < 0.5 else rng.choice(others)
    found = part.query.filters[places[0]]
    return with_filter(part.query, places[0], replace(found, column=replace(found.column, column=name)))


def missing_company_filter(part: Part, side: Side, rng: Random) -> Query | None:
    """The rows of all companies read as one."""
    if not _is_only_restriction(part, side):
        return None
    table = side.catalogue.objects[part.query.source.table]
    at = next(at for at, f in enumerate(part.query.filters) if f.column.column == table.company_column)
    return replace(part.query, filters=without(part.query.filters, at))


def company_of_a_shared_master(part: Part, side: Side, rng: Random) -> Query | None:
    """A master that companies share filtered by a company it does not have, in place of its group."""
    table = side.catalogue.get(part.query.source.table)
    owner = owner_column(table) if table else None
    if table is None or owner is None or table.company_column:
        return None
    others = sorted({o.company_column for o in side.schema_objects() if o.company_column} - set(table.column_names))
    places = [at for at, f in enumerate(part.query.filters) if f.column.table == table.name and f.column.column == owner]
    if not others or len(places) != 1:
        return None
    own = f"{table.module}Co"
    name = own if own in others and rng.random() < 0.5 else "Co" if "Co" in others else rng.choice(others)
    found = part.query.filters[places[0]]
    return with_filter(part.query, places[0], replace(found, column=replace(found.column, column=name)))


def _is_only_restriction(part: Part, side: Side) -> bool:
    """Whether one filter says whose rows the driving table gives, and nothing else in the SELECT could."""
    table = side.catalogue.get(part.query.source.table)
    if table is None or table.company_column is None or part.role == "test":
        return False
    if len(part.query.tables) == 1 and table.name in house_rules().company_masters:
        return False
    if part.role == "cte" and any(output.column and output.column.column == table.company_column for output in part.query.outputs):
        return False  # the company is handed on, and may be filtered outside
    tables = [o for o in map(side.catalogue.get, part.query.tables) if o]
    companies = {(o.name, c.name) for o in tables for c in o.columns if c.udt == "bCompany" or c.name == o.company_column}
    restricting = [f for f in part.query.filters if (f.column.table, f.column.column) in companies]
    return [(f.column.table, f.column.column) for f in restricting] == [(table.name, table.company_column)]


FAULTS = (
    fault(
        "company_by_another_name",
        company_by_another_name,
        "missing_company_filter",
        "unknown_column",
        teaches="each module calls its company column by its own name",
    ),
    fault(
        "missing_company_filter", missing_company_filter, "missing_company_filter", teaches="the driving table is filtered by its company"
    ),
    fault(
        "company_of_a_shared_master",
        company_of_a_shared_master,
        "unknown_column",
        teaches="shared masters have a group and no company",
    ),
)
