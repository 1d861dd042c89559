"""Edits of query plans: the SELECTs of a plan as places, one thing in one of them changed and everything else left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, TypeVar

from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.plan import ColumnRef, Exists, Filter, Having, Join, Order, Output, Query, Window
from vgpt2.sql.schema import Object

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One SELECT of a plan, and how to put another in its place. A test is an EXISTS: its outputs are not written."""

    query: Query
    put: Callable[[Query], Query]
    role: Literal["main", "cte", "test"]

    def source(self, at: int) -> str:
        return self.query.tables[at]


Change = Callable[[Part, Side, Random], Query | None]
Apply = Callable[[Query, Side, Random], Query | None]


def parts(
    query: Query, put: Callable[[Query], Query] = lambda query: query, role: Literal["main", "cte", "test"] = "main"
) -> Iterator[Part]:
    """The query itself, then those inside it."""
    yield Part(query, put, role)
    for at, cte in enumerate(query.ctes):
        yield from parts(cte.query, _into_cte(query, put, at), "cte")
    for at, test in enumerate(query.exists):
        yield from parts(test.query, _into_test(query, put, at), "test")


def on_any_part(change: Change) -> Apply:
    """The change made in one SELECT of a plan, chosen by chance among those that offer a place for it."""

    def apply(query: Query, side: Side, rng: Random) -> Query | None:
        places = list(parts(query))
        rng.shuffle(places)
        for part in places:
            changed = change(part, side, rng)
            if changed is not None:
                return part.put(changed)
        return None

    return apply


def with_columns(query: Query, change: Callable[[ColumnRef], ColumnRef]) -> Query:
    """The SELECT with every column it names changed: its own ones, and those by which its tests are tied to it."""

    def orders(given: tuple[Order, ...]) -> tuple[Order, ...]:
        return tuple(replace(order, by=change(order.by)) if isinstance(order.by, ColumnRef) else order for order in given)

    def window(given: Window) -> Window:
        return Window(tuple(map(change, given.partition_by)), orders(given.order_by))

    def output(given: Output) -> Output:
        return replace(
            given,
            column=change(given.column) if given.column else None,
            window=window(given.window) if given.window else None,
            until=change(given.until) if isinstance(given.until, ColumnRef) else given.until,
        )

    def outer(ref: ColumnRef, test: Exists) -> ColumnRef:
        return ref if ref.table in test.query.tables else change(ref)

    return replace(
        query,
        outputs=tuple(map(output, query.outputs)),
        filters=tuple(replace(f, column=change(f.column)) for f in query.filters),
        joins=tuple(replace(join, on=tuple((change(a), change(b)) for a, b in join.on)) for join in query.joins),
        group_by=tuple(map(change, query.group_by)),
        exists=tuple(replace(test, on=tuple((outer(a, test), outer(b, test)) for a, b in test.on)) for test in query.exists),
        having=tuple(replace(h, column=change(h.column)) if h.column else h for h in query.having),
        order_by=orders(query.order_by),
    )


def columns(query: Query) -> list[ColumnRef]:
    """Every column that the SELECT names, as often as it names it."""
    found: list[ColumnRef] = []

    def note(ref: ColumnRef) -> ColumnRef:
        found.append(ref)
        return ref

    with_columns(query, note)
    return found


def with_table(query: Query, at: int, name: str) -> Query:
    """The SELECT with its n-th table (FROM is 0) replaced by another one, columns included."""
    old = query.tables[at]
    renamed = with_columns(query, lambda ref: replace(ref, table=name) if ref.table == old else ref)
    if at == 0:
        return replace(renamed, source=replace(renamed.source, table=name))
    join = renamed.joins[at - 1]
    return with_join(renamed, at - 1, replace(join, source=replace(join.source, table=name)))


def with_join(query: Query, at: int, join: Join) -> Query:
    return replace(query, joins=swapped(query.joins, at, join))


def with_filter(query: Query, at: int, found: Filter) -> Query:
    return replace(query, filters=swapped(query.filters, at, found))


def with_output(part: Part, at: int, output: Output) -> Query:
    """The SELECT with one output replaced; what a CTE gives keeps the name under which it is known outside."""
    before = part.query.outputs[at]
    if part.role == "cte" and output.label is None and before.column is not None:
        output = replace(output, label=before.column.column)
    return replace(part.query, outputs=swapped(part.query.outputs, at, output))


def with_having(query: Query, at: int, having: Having) -> Query:
    return replace(query, having=swapped(query.having, at, having))


def with_test(query: Query, at: int, test: Exists) -> Query:
    return replace(query, exists=swapped(query.exists, at, test))


def swapped(values: Sequence[T], at: int, value: T) -> tuple[T, ...]:
    return (*values[:at], value, *values[at + 1 :])


def without(values: Sequence[T], at: int) -> tuple[T, ...]:
    return (*values[:at], *values[at + 1 :])


def free_outputs(part: Part) -> list[int]:
    """Outputs whose column may become another one without a second defect: nothing is grouped by it, and no DISTINCT is ordered by it."""
    if part.role == "test":
        return []
    query = part.query
    tied = {*query.group_by, *((order.by for order in query.order_by) if query.distinct else ())}
    return [at for at, output in enumerate(query.outputs) if output.column is not None and output.column not in tied]


def objects(part: Part, side: Side) -> list[tuple[int, Object]]:
    """The catalogue's objects that the SELECT reads, with their places; CTEs are none."""
    found = ((at, side.catalogue.get(name)) for at, name in enumerate(part.query.tables))
    return [(at, o) for at, o in found if o is not None]


def owner_of(ref: ColumnRef, side: Side) -> Object | None:
    """The catalogue's object whose column this is; None for outputs of CTEs."""
    found = side.catalogue.get(ref.table)
    return found if found and found.has(ref.column) else None


def has_many_rows(part: Part, side: Side) -> bool:
    """Whether the conditions leave more than one row of the first table: else no order, total or DISTINCT makes a difference."""
    table = side.catalogue.get(part.query.source.table)
    if table is None or part.query.joins:
        return True
    fixed = {f.column.column for f in part.query.filters if f.operator == "="}
    return not any(set(unique) <= fixed for unique in (table.business_key, *table.unique_keys) if unique)


def _into_cte(query: Query, put: Callable[[Query], Query], at: int) -> Callable[[Query], Query]:
    return lambda inner: put(replace(query, ctes=swapped(query.ctes, at, replace(query.ctes[at], query=inner))))


def _into_test(query: Query, put: Callable[[Query], Query], at: int) -> Callable[[Query], Query]:
    """The tie to the query around a test follows the names of the test's tables."""
    test = query.exists[at]

    def into(inner: Query) -> Query:
        names = dict(zip(test.query.tables, inner.tables))
        on = tuple((_renamed(a, names), _renamed(b, names)) for a, b in test.on)
        return put(with_test(query, at, replace(test, query=inner, on=on)))

    return into


def _renamed(ref: ColumnRef, names: Mapping[str, str]) -> ColumnRef:
    return replace(ref, table=names.get(ref.table, ref.table))
