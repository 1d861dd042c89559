"""Query plans drawn from a catalogue, together with the parts that a sentence about them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from vgpt2.datagen import english
from vgpt2.datagen.conditions import Condition, codes, conditions, summable
from vgpt2.datagen.plan import ColumnRef, Filter, Join, Output, Query, Source
from vgpt2.datagen.questions import Side
from vgpt2.sql.schema import Object


@dataclass(frozen=True)
class Draft:
    """A query over `driving` and `others`; `asked` names the columns of each slot of the sentence."""

    query: Query
    driving: Object
    others: tuple[Object, ...]
    asked: dict[str, tuple[ColumnRef, ...]]
    conditions: tuple[Condition, ...]

    @property
    def objects(self) -> tuple[Object, ...]:
        return (self.driving, *self.others)

    def needed(self, table: str) -> set[str]:
        """Columns of `table` that the query uses."""
        query = self.query
        refs = [ref for refs in self.asked.values() for ref in refs] + [f.column for f in query.filters]
        refs += [ref for join in query.joins for pair in join.on for ref in pair]
        return {ref.column for ref in refs if ref.table == table}


def draft_select(side: Side, rng: Random) -> Draft | None:
    """Two or three columns of one object for a company and up to two further conditions."""
    table = rng.choice(side.schema_objects())
    columns = sorted(english.askable(table))
    if len(columns) < 4:
        return None
    chosen = rng.sample(columns, rng.randint(2, 3))
    asked_for = conditions(side.catalogue, table, rng, n=rng.choice((0, 1, 1, 1, 2)), avoid=chosen)
    if not asked_for:
        return None
    refs = _in_order(table, chosen)
    query = Query(Source(table.name), tuple(Output(ref) for ref in refs), _filters(asked_for))
    return Draft(query, table, (), {"columns": refs}, asked_for)


def draft_count(side: Side, rng: Random) -> Draft | None:
    """The number of rows for a company and one or two further conditions."""
    table = rng.choice(side.schema_objects())
    asked_for = conditions(side.catalogue, table, rng, n=rng.choice((1, 1, 2)))
    if len(asked_for) < 2:
        return None
    query = Query(Source(table.name), (Output(None, "COUNT", "RowTotal"),), _filters(asked_for))
    return Draft(query, table, (), {}, asked_for)


def draft_total(side: Side, rng: Random) -> Draft | None:
    """One amount summed by one code."""
    table = rng.choice(side.schema_objects())
    amounts, keys = summable(table), codes(side.catalogue, table)
    if not amounts or not keys:
        return None
    amount, key = rng.choice(amounts), rng.choice(keys)
    asked_for = conditions(side.catalogue, table, rng, n=rng.choice((0, 0, 1)), avoid=(amount, key))
    if not asked_for:
        return None
    by, summed = ColumnRef(table.name, key), ColumnRef(table.name, amount)
    query = Query(Source(table.name), (Output(by), Output(summed, "SUM", "Total")), _filters(asked_for), group_by=(by,))
    return Draft(query, table, (), {"amount": (summed,), "group": (by,)}, asked_for)


def draft_join(side: Side, rng: Random) -> Draft | None:
    """Columns of two objects joined on the whole key: a header with its lines, or a record with its master."""
    if not side.joinable_keys:
        return None
    key = rng.choice(side.line_keys if side.line_keys and rng.random() < 0.6 else side.joinable_keys)
    child, parent = side.catalogue.objects[key.from_object], side.catalogue.objects[key.to_object]
    driving, other = (parent, child) if key in side.line_keys else (child, parent)
    columns, more = sorted(english.askable(driving)), sorted(english.askable(other))
    if len(columns) < 3 or len(more) < 2:
        return None
    ours, theirs = rng.sample(columns, rng.randint(1, 2)), rng.sample(more, 1)
    asked_for = conditions(side.catalogue, driving, rng, n=rng.choice((0, 0, 1)), avoid=ours)
    if not asked_for:
        return None
    left, right = _in_order(driving, ours), _in_order(other, theirs)
    join = Join(Source(other.name), tuple((ColumnRef(child.name, c), ColumnRef(parent.name, p)) for c, p in key.pairs))
    query = Query(Source(driving.name), tuple(Output(ref) for ref in left + right), _filters(asked_for), (join,))
    return Draft(query, driving, (other,), {"columns": left, "more": right}, asked_for)


def _in_order(table: Object, columns: Sequence[str]) -> tuple[ColumnRef, ...]:
    return tuple(ColumnRef(table.name, name) for name in table.column_names if name in columns)


def _filters(asked_for: Sequence[Condition]) -> tuple[Filter, ...]:
    return tuple(f for condition in asked_for for f in condition.filters)
