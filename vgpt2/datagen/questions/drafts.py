"""What a question about a schema asks for: a query plan, or one column, with the parts that a sentence about it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from vgpt2.datagen.language import english
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.conditions import Condition, codes, conditions, summable
from vgpt2.datagen.plans.plan import ColumnRef, Filter, Join, Output, Query, Source
from vgpt2.sql.schema import ForeignKey, Object


@dataclass(frozen=True)
class Draft:
    """`asked` names the columns of each slot of the sentence; `query` is None where one column is asked for, not SQL."""

    driving: Object
    asked: dict[str, tuple[ColumnRef, ...]]
    query: Query | None = None
    others: tuple[Object, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def objects(self) -> tuple[Object, ...]:
        return (self.driving, *self.others)

    def words(self, ref: ColumnRef) -> str | None:
        """What a column of the draft's objects is called in words."""
        table = next(o for o in self.objects if o.name == ref.table)
        return english.gloss(table.column_index[ref.column].description)

    def needed(self, table: str) -> set[str]:
        """Columns of `table` that the answer uses."""
        refs = [ref for refs in self.asked.values() for ref in refs]
        if self.query:
            refs += [f.column for f in self.query.filters] + [ref for join in self.query.joins for pair in join.on for ref in pair]
        return {ref.column for ref in refs if ref.table == table}


def draft_column(side: Side, table: Object, rng: Random) -> Draft | None:
    """One column whose words no other column of the object shares."""
    columns = sorted(english.distinct_glosses(table))
    if len(columns) < 4:
        return None
    return Draft(table, {"gloss": (ColumnRef(table.name, rng.choice(columns)),)})


def draft_select(side: Side, table: Object, rng: Random) -> Draft | None:
    """Two or three columns of one object for a company and up to one further condition."""
    columns = sorted(english.askable(table))
    if len(columns) < 4:
        return None
    chosen = rng.sample(columns, rng.randint(2, 3))
    asked_for = conditions(side.catalogue, table, rng, n=rng.choice((0, 1, 1)), avoid=chosen)
    if not asked_for:
        return None
    refs = _in_order(table, chosen)
    query = Query(Source(table.name), tuple(Output(ref) for ref in refs), _filters(asked_for))
    return Draft(table, {"columns": refs}, query, conditions=asked_for)


def draft_count(side: Side, table: Object, rng: Random) -> Draft | None:
    """The number of rows for a company and one or two further conditions."""
    asked_for = conditions(side.catalogue, table, rng, n=rng.choice((1, 1, 2)))
    if len(asked_for) < 2:
        return None
    query = Query(Source(table.name), (Output(None, "COUNT", "RowTotal"),), _filters(asked_for))
    return Draft(table, {}, query, conditions=asked_for)


def draft_total(side: Side, table: Object, rng: Random) -> Draft | None:
    """One amount summed by one code."""
    amounts, keys = summable(table), codes(side.catalogue, table)
    if not amounts or not keys:
        return None
    amount, key = rng.choice(amounts), rng.choice(keys)
    asked_for = conditions(side.catalogue, table, rng, n=rng.choice((0, 0, 1)), avoid=(amount, key))
    if not asked_for:
        return None
    by, summed = ColumnRef(table.name, key), ColumnRef(table.name, amount)
    query = Query(Source(table.name), (Output(by), Output(summed, "SUM", "Total")), _filters(asked_for), group_by=(by,))
    return Draft(table, {"amount": (summed,), "group": (by,)}, query, conditions=asked_for)


def draft_join(side: Side, key: ForeignKey, rng: Random) -> Draft | None:
    """Columns of two objects joined on the whole key: a header with its lines, or a record with its master."""
    child, parent = side.catalogue.objects[key.from_object], side.catalogue.objects[key.to_object]
    # whose rows are asked for must be sayable of the first table, or those of all companies would be read
    header_first = key in side.line_keys and (parent.company_column or not child.company_column)
    driving, other = (parent, child) if header_first else (child, parent)
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
    return Draft(driving, {"columns": left, "more": right}, query, (other,), asked_for)


ONE_TABLE: dict[str, Callable[[Side, Object, Random], Draft | None]] = {
    "which_column": draft_column,
    "sql_select": draft_select,
    "sql_count": draft_count,
    "sql_total": draft_total,
}
JOIN = "sql_join"


def _in_order(table: Object, columns: Sequence[str]) -> tuple[ColumnRef, ...]:
    return tuple(ColumnRef(table.name, name) for name in table.column_names if name in columns)


def _filters(asked_for: Sequence[Condition]) -> tuple[Filter, ...]:
    return tuple(f for condition in asked_for for f in condition.filters)
