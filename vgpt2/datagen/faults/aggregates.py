"""Faults of totals: no GROUP BY, rows multiplied by a join, another aggregate, a lost partition."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from vgpt2.datagen.faults.edits import Part, columns, has_many_rows, objects, owner_of, parts, with_output, without
from vgpt2.datagen.faults.fault import Fault, fault
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.conditions import summable
from vgpt2.datagen.plans.plan import AGGREGATES, COUNT_DISTINCT, ColumnRef, Join, Query, Source, render_sql, sql_column
from vgpt2.sql.schema import ForeignKey

_OTHERS = {"SUM": ("AVG", "MAX", "COUNT"), "AVG": ("SUM", "MAX"), "MAX": ("MIN", "SUM"), "MIN": ("MAX",), COUNT_DISTINCT: ("COUNT",)}
_ADDED = frozenset(("SUM", "AVG", "COUNT"))  # what more rows change


def no_group_by(part: Part, side: Side, rng: Random) -> Query | None:
    """A column beside an aggregate without being grouped by."""
    if part.role == "test" or not any(output.function in AGGREGATES and not output.window for output in part.query.outputs):
        return None
    shown = [output.column for output in part.query.outputs if not output.function and not output.window]
    named = columns(part.query)
    places = [at for at, ref in enumerate(part.query.group_by) if shown.count(ref) == 1 and named.count(ref) == 2]
    return replace(part.query, group_by=without(part.query.group_by, rng.choice(places))) if places else None


def aggregate_in_where(query: Query, side: Side, rng: Random) -> str | None:
    """A condition on a total among those on rows."""
    places = [part for part in parts(query) if len(part.query.having) == 1 and part.query.having[0].column and part.query.filters]
    if not places:
        return None
    part = rng.choice(places)
    (having,) = part.query.having
    assert having.column is not None
    if having.function == COUNT_DISTINCT:
        return None
    text = render_sql(part.put(replace(part.query, having=())))
    last = part.query.filters[-1]
    condition = f"{sql_column(last.column)} {last.operator} {last.value}"
    call = f"{having.function}({sql_column(having.column)}) {having.operator} {having.value}"
    return text.replace(condition, f"{condition} AND {call}") if text.count(condition) == 1 else None


def fan_out(part: Part, side: Side, rng: Random) -> Query | None:
    """Rows joined to their lines before they are added up: each amount counts once a line."""
    if part.role == "test" or not _adds_rows(part.query):
        return None
    places = [
        (key, table.name) for _, table in objects(part, side) for key in side.catalogue.children(table.name) if _multiplies(key, part, side)
    ]
    if not places:
        return None
    key, header = rng.choice(places)
    on = tuple((ColumnRef(key.from_object, c), ColumnRef(header, p)) for c, p in key.pairs)
    return replace(part.query, joins=(*part.query.joins, Join(Source(key.from_object), on)))


def header_amount_over_lines(part: Part, side: Side, rng: Random) -> Query | None:
    """The header's total added up over its lines, in place of the line's own amount."""
    if part.role == "test":
        return None
    places = []
    for at, output in enumerate(part.query.outputs):
        line = owner_of(output.column, side) if output.column and output.function == "SUM" and not output.window else None
        for _, header in objects(part, side) if line else ():
            keys = side.catalogue.joins(line.name, header.name) if line else []
            if line and header is not line and any(key.from_object == line.name for key in keys):
                places += [(at, ColumnRef(header.name, name)) for name in summable(header)]
    if not places:
        return None
    at, ref = rng.choice(places)
    return with_output(part, at, replace(part.query.outputs[at], column=ref))


def other_aggregate(part: Part, side: Side, rng: Random) -> Query | None:
    """An average for a sum, the smallest for the largest."""
    places = [at for at, output in enumerate(part.query.outputs) if output.function in _OTHERS and output.column]
    if not places or part.role == "test" or not has_many_rows(part, side):
        return None
    at = rng.choice(places)
    output = part.query.outputs[at]
    return with_output(part, at, replace(output, function=rng.choice(_OTHERS[str(output.function)])))


def dropped_having(part: Part, side: Side, rng: Random) -> Query | None:
    """A condition on totals left out."""
    return replace(part.query, having=without(part.query.having, rng.randrange(len(part.query.having)))) if part.query.having else None


def dropped_partition(part: Part, side: Side, rng: Random) -> Query | None:
    """Ranks and running totals over all rows in place of each group's."""
    places = [at for at, output in enumerate(part.query.outputs) if output.window and output.window.partition_by]
    if not places or part.role == "test" or not has_many_rows(part, side):
        return None
    at = rng.choice(places)
    output = part.query.outputs[at]
    assert output.window is not None
    window = replace(output.window, partition_by=())
    return with_output(part, at, replace(output, window=window)) if window.order_by else None


def _adds_rows(query: Query) -> bool:
    return any(output.function in _ADDED and not output.window for output in query.outputs)


def _multiplies(key: ForeignKey, part: Part, side: Side) -> bool:
    """Whether the key's child has several rows for one of its parent, and can be joined to the SELECT by this key alone."""
    child, parent = side.catalogue.objects[key.from_object], side.catalogue.objects[key.to_object]
    is_line = set(key.to_columns) == set(parent.business_key) and len(child.business_key) > len(key.from_columns)
    read = {side.catalogue.base_of(table) for table in part.query.tables}
    is_other = child.name in side.schema_names and side.catalogue.base_of(child.name) not in read
    return is_line and is_other and len(side.catalogue.joins(child.name, parent.name)) == 1


FAULTS = (
    fault("no_group_by", no_group_by, "syntax", teaches="what stands beside a total is grouped by"),
    Fault("aggregate_in_where", "a condition on a total is HAVING", ("syntax",), aggregate_in_where),
    fault("fan_out", fan_out, teaches="a header's amount is not added up over its lines"),
    fault("header_amount_over_lines", header_amount_over_lines, teaches="over lines, the line's amount is added up"),
    fault("other_aggregate", other_aggregate, teaches="a total, an average and a maximum are different questions"),
    fault("dropped_having", dropped_having, teaches="a condition on totals is kept"),
    fault("dropped_partition", dropped_partition, teaches="ranks and running totals begin anew in each group"),
)
