"""A question as a logical plan before it is worded: what is wanted of which rows, and the query for it.

One `Ask` is worded in many ways and changed by follow-up turns; the SQL always follows from it, so that words and SQL cannot part.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from vgpt2.datagen.plans.plan import COUNT_DISTINCT, ColumnRef, Cte, Exists, Filter, Having, Join, Order, Output, Query, Source, Window
from vgpt2.datagen.queries.criteria import Criterion
from vgpt2.datagen.queries.lexicon import Table

Pairs = tuple[tuple[ColumnRef, ColumnRef], ...]
_LABELS = {"SUM": "Total", "AVG": "Average", "MIN": "Lowest", "MAX": "Highest", COUNT_DISTINCT: "Distinct"}
RANKED, ROW_NUMBER = "Ranked", "RowNumber"


@dataclass(frozen=True)
class Link:
    """A further table whose columns are shown: what a row belongs to or names, or the header's lines. `on` begins with its own columns."""

    table: str
    on: Pairs
    optional: bool = False  # the row may name none
    lines: bool = False


@dataclass(frozen=True)
class Tested:
    """Whether a row has any row in another table."""

    table: str
    on: Pairs
    criteria: tuple[Criterion, ...]
    negated: bool


@dataclass(frozen=True)
class Measure:
    """An aggregate; the number of rows has no column."""

    function: str
    column: ColumnRef | None = None

    def label(self, *, alone: bool) -> str:
        if self.column is None:
            return "RowTotal"
        word = _LABELS[self.function]
        return word if alone and word != "Distinct" else word + re.sub(r"\W", "", self.column.column)


@dataclass(frozen=True)
class Details:
    """Lines of another table, aggregated for each row before they are joined, so that nothing of the row is counted twice."""

    table: str
    on: Pairs
    criteria: tuple[Criterion, ...]
    measure: Measure


@dataclass(frozen=True)
class Sorting:
    """By a column, or by the first measure where there is none."""

    by: ColumnRef | None
    descending: bool


@dataclass(frozen=True)
class Ask:
    kind: str
    table: str
    criteria: tuple[Criterion, ...]
    shown: tuple[ColumnRef, ...] = ()
    links: tuple[Link, ...] = ()
    tested: Tested | None = None
    measures: tuple[Measure, ...] = ()
    per: tuple[ColumnRef, ...] = ()
    having: tuple[str, str] | None = None  # (operator, value) of the first measure
    sorting: Sorting | None = None
    top: int | None = None
    days: tuple[ColumnRef, ColumnRef | None] | None = None  # days from a date to another, or to today
    details: tuple[Details, ...] = ()
    tie: tuple[ColumnRef, ...] = ()  # further columns that put rows of one date in order

    @property
    def tables(self) -> tuple[str, ...]:
        others = [link.table for link in self.links] + [d.table for d in self.details] + ([self.tested.table] if self.tested else [])
        return (self.table, *others)

    @property
    def refs(self) -> tuple[ColumnRef, ...]:
        """Every column that the answer uses."""
        criteria = self.criteria + tuple(c for d in self.details for c in d.criteria) + (self.tested.criteria if self.tested else ())
        pairs = [pair for link in self.links for pair in link.on] + [pair for d in self.details for pair in d.on]
        pairs += self.tested.on if self.tested else ()
        measured = [m.column for m in (*self.measures, *(d.measure for d in self.details)) if m.column]
        found = [*self.shown, *self.per, *self.tie, *measured, *(c.column for c in criteria), *(ref for pair in pairs for ref in pair)]
        found += [ref for ref in (self.days or ()) if ref] + ([self.sorting.by] if self.sorting and self.sorting.by else [])
        return tuple(dict.fromkeys(found))


def as_query(ask: Ask) -> Query:
    return _FORMS.get(ask.kind, _rows)(ask)


def tie_breakers(table: Table, *, besides: tuple[ColumnRef, ...]) -> tuple[ColumnRef, ...]:
    """The columns of the key that tell rows apart which agree on `besides` and on whose rows they are."""
    settled = {ref.column for ref in besides} | {table.owner}
    return tuple(table.ref(name) for name in table.key if name not in settled)


def _rows(ask: Ask) -> Query:
    outputs = tuple(Output(ref) for ref in ask.shown)
    if ask.days:
        start, end = ask.days
        outputs += (Output(start, "DATEDIFF", "Days", until=end or "GETDATE()"),)
    order = (_order(ask),) if ask.sorting else ()
    tested = (_exists(ask.tested),) if ask.tested else ()
    return Query(
        Source(ask.table), outputs, _filters(ask.criteria), _joins(ask), (), tested, (), order, ask.top, distinct=ask.kind == "distinct"
    )


def _groups(ask: Ask) -> Query:
    alone = len(ask.measures) == 1
    measured = tuple(Output(m.column, m.function, m.label(alone=alone)) for m in ask.measures)
    first = ask.measures[0]
    having = (Having(first.function, first.column, *ask.having),) if ask.having else ()
    order = (_order(ask),) if ask.sorting else ()
    outputs = tuple(Output(ref) for ref in ask.per) + measured
    return Query(Source(ask.table), outputs, _filters(ask.criteria), _joins(ask), ask.per, (), having, order, ask.top)


def _latest(ask: Ask) -> Query:
    """The first rows of each group by a row number that a CTE gives them."""
    assert ask.sorting is not None
    assert ask.sorting.by is not None
    descending = ask.sorting.descending
    window = Window(ask.per, (Order(ask.sorting.by, descending), *(Order(ref, descending) for ref in ask.tie)))
    listed = tuple(dict.fromkeys((*ask.per, *ask.shown)))
    numbered = Output(None, "ROW_NUMBER", ROW_NUMBER, window)
    inner = Query(Source(ask.table), (*(Output(ref) for ref in listed), numbered), _filters(ask.criteria))
    first = Filter(ColumnRef(RANKED, ROW_NUMBER), "=" if ask.top in (None, 1) else "<=", str(ask.top or 1))
    outer = tuple(Output(ColumnRef(RANKED, ref.column)) for ref in listed)
    return Query(Source(RANKED, nolock=False), outer, (first,), ctes=(Cte(RANKED, inner),))


def _running(ask: Ask) -> Query:
    assert ask.sorting is not None
    assert ask.sorting.by is not None
    order = (Order(ask.sorting.by), *(Order(ref) for ref in ask.tie))
    measure = ask.measures[0]
    total = Output(measure.column, measure.function, "RunningTotal", Window(ask.per, order))
    outputs = (*(Output(ref) for ref in ask.shown), total)
    sorted_by = (*(Order(ref) for ref in ask.per), *order)
    return Query(Source(ask.table), outputs, _filters(ask.criteria), order_by=sorted_by)


def _totals(ask: Ask) -> Query:
    """Each row with aggregates of its lines, made in a CTE: joined line by line, the row's own amounts would be repeated."""
    ctes, joins, outputs = [], [], []
    for details in ask.details:
        name, measure = f"{_word(details.table)}Totals", details.measure
        keys = tuple(ours for ours, _ in details.on)
        label = measure.label(alone=False)
        inner = Query(
            Source(details.table),
            (*(Output(ref) for ref in keys), Output(measure.column, measure.function, label)),
            _filters(details.criteria),
            group_by=keys,
        )
        ctes.append(Cte(name, inner))
        on = tuple((ColumnRef(name, ours.column), theirs) for ours, theirs in details.on)
        joins.append(Join(Source(name, nolock=False), on, "LEFT JOIN"))
        counted = measure.function in ("SUM", "COUNT")
        shown_as = label if len(ask.details) == 1 else f"{_word(details.table)}{label}"
        shown = None if shown_as == label and not counted else shown_as
        outputs.append(Output(ColumnRef(name, label), "ISNULL" if counted else None, shown))
    order = (_order(ask),) if ask.sorting else ()
    own = tuple(Output(ref) for ref in ask.shown)
    return Query(Source(ask.table), (*own, *outputs), _filters(ask.criteria), tuple(joins), order_by=order, top=ask.top, ctes=tuple(ctes))


_GROUPED = ("count", "total", "by", "having", "ranking")
_FORMS: dict[str, Callable[[Ask], Query]] = {
    **dict.fromkeys(_GROUPED, _groups),
    "latest": _latest,
    "running": _running,
    "totals": _totals,
}


def _order(ask: Ask) -> Order:
    assert ask.sorting
    if ask.sorting.by is None:
        return Order(ask.measures[0].label(alone=len(ask.measures) == 1), ask.sorting.descending)
    return Order(ask.sorting.by, ask.sorting.descending)


def _filters(criteria: tuple[Criterion, ...]) -> tuple[Filter, ...]:
    return tuple(f for criterion in criteria for f in criterion.filters)


def _joins(ask: Ask) -> tuple[Join, ...]:
    return tuple(Join(Source(link.table), link.on, "LEFT JOIN" if link.optional else "JOIN") for link in ask.links)


def _exists(tested: Tested) -> Exists:
    return Exists(Query(Source(tested.table), (), _filters(tested.criteria)), tested.on, tested.negated)


def _word(name: str) -> str:
    return re.sub(r"\W", "", name)
