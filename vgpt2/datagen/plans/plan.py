"""A query as data: tables, joins, filters, groups, windows, CTEs, existence tests; and its house-style SQL.

Knows no catalogue: whoever builds a `Query` vouches for its names. Faults are made on the plan, never on the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vgpt2.sql.parser.words import RESERVED

COUNT_DISTINCT = "COUNT DISTINCT"
RANKINGS = frozenset(("ROW_NUMBER", "RANK", "DENSE_RANK"))  # window functions without an argument
AGGREGATES = frozenset(("SUM", "COUNT", COUNT_DISTINCT, "MIN", "MAX", "AVG"))
_PLAIN = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class ColumnRef:
    """A column of a table, or an output of a CTE by its label."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True)
class Order:
    """`by` is a column, or the label of an output."""

    by: ColumnRef | str
    descending: bool = False


@dataclass(frozen=True)
class Window:
    """Over which rows a ranking or an aggregate runs; with an order, an aggregate runs from the first row to the present one."""

    partition_by: tuple[ColumnRef, ...]
    order_by: tuple[Order, ...] = ()


@dataclass(frozen=True)
class Output:
    """One entry of the select list: a column, or a function under a label; COUNT(*) and rankings have no column.

    Functions: AGGREGATES, RANKINGS (with a window), ISNULL (0 for nothing), YEAR, and DATEDIFF: days from `column` to `until`.
    """

    column: ColumnRef | None
    function: str | None = None
    label: str | None = None
    window: Window | None = None
    until: ColumnRef | str | None = None  # a column, or a finished SQL expression


@dataclass(frozen=True)
class Source:
    """A table of the FROM clause and whether it is read WITH (NOLOCK), which a CTE never is."""

    table: str
    nolock: bool = True


@dataclass(frozen=True)
class Join:
    """A further table; `on` pairs a column of it with a column of a table named before."""

    source: Source
    on: tuple[tuple[ColumnRef, ColumnRef], ...]
    kind: Literal["JOIN", "LEFT JOIN"] = "JOIN"


@dataclass(frozen=True)
class Filter:
    """`value` is a finished SQL literal or expression, a list in brackets for IN, NULL for IS and IS NOT."""

    column: ColumnRef
    operator: str
    value: str


@dataclass(frozen=True)
class Having:
    """A condition on groups; COUNT(*) has no column."""

    function: str
    column: ColumnRef | None
    operator: str
    value: str


@dataclass(frozen=True)
class Exists:
    """Whether `query` finds a row; `on` pairs its columns with columns of the query around it. Its outputs do not matter."""

    query: Query
    on: tuple[tuple[ColumnRef, ColumnRef], ...]
    negated: bool = False


@dataclass(frozen=True)
class Cte:
    """A query with a name; its outputs are known outside by their label, else by their column's name."""

    name: str
    query: Query


@dataclass(frozen=True)
class Query:
    source: Source
    outputs: tuple[Output, ...]
    filters: tuple[Filter, ...] = ()
    joins: tuple[Join, ...] = ()
    group_by: tuple[ColumnRef, ...] = ()
    exists: tuple[Exists, ...] = ()
    having: tuple[Having, ...] = ()
    order_by: tuple[Order, ...] = ()
    top: int | None = None
    distinct: bool = False
    ctes: tuple[Cte, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """What FROM and JOIN name, CTEs among them."""
        return (self.source.table, *(join.source.table for join in self.joins))

    @property
    def parts(self) -> tuple[Query, ...]:
        """All SELECTs in the order of the text: those of the CTEs, the query itself, those of its existence tests."""
        before = (part for cte in self.ctes for part in cte.query.parts)
        return (*before, self, *(part for test in self.exists for part in test.query.parts))

    @property
    def reads(self) -> tuple[str, ...]:
        """The catalogue's tables that the text reads anywhere, each once, in its order."""
        names = {cte.name for part in self.parts for cte in part.ctes}
        return tuple(dict.fromkeys(table for part in self.parts for table in part.tables if table not in names))


def render_sql(query: Query) -> str:
    """One statement, a clause a line, every column qualified by its table's own name."""
    ctes = [f"{sql_name(cte.name)} AS (\n{_indented(render_sql(cte.query))}\n)" for cte in query.ctes]
    return (f"WITH {', '.join(ctes)}\n" if ctes else "") + "\n".join(_clauses(query))


def expectation(query: Query) -> dict[str, object]:
    """What a right answer must hold, as plain data for a suite, beside the SQL itself.

    CTEs are seen through: their outputs count as the columns behind them. Keys beyond the first seven are there where the query has them.
    """
    labels = _labels(query)
    parts = query.parts
    outputs = [output for output in query.outputs if output.column is not None]
    every = [output for part in parts for output in part.outputs]
    expect: dict[str, object] = {
        "tables": list(query.reads),
        "columns": [_traced(output.column, labels) for output in outputs if output.column],
        "functions": [output.function for output in every if output.function],
        "group_by": list(dict.fromkeys(_traced(column, labels) for part in parts for column in part.group_by)),
        "joins": [[[_traced(a, labels), _traced(b, labels)] for a, b in join.on] for part in parts for join in part.joins],
        "filters": [[_traced(f.column, labels), f.operator, f.value] for part in parts for f in part.filters],
    }
    expect |= {name: value for name, value in _further(query, labels) if value}
    return {**expect, "sql": render_sql(query)}


def sql_name(name: str) -> str:
    """The name as SQL takes it: in brackets unless it is a plain word that is not reserved."""
    return name if _PLAIN.fullmatch(name) and name.upper() not in RESERVED else f"[{name.replace(']', ']]')}]"


def sql_column(ref: ColumnRef) -> str:
    return f"{sql_name(ref.table)}.{sql_name(ref.column)}"


def _clauses(query: Query) -> Iterator[str]:
    head = "SELECT " + ("DISTINCT " if query.distinct else "") + (f"TOP {query.top} " if query.top else "")
    yield head + (", ".join(_output(output) for output in query.outputs) or "1")
    yield "FROM " + _source(query.source)
    for join in query.joins:
        yield f"{join.kind} {_source(join.source)} ON " + _equal(join.on)
    tests = [f"{sql_column(f.column)} {f.operator} {f.value}" for f in query.filters] + [_exists(test) for test in query.exists]
    if tests:
        yield "WHERE " + " AND ".join(tests)
    if query.group_by:
        yield "GROUP BY " + ", ".join(sql_column(column) for column in query.group_by)
    if query.having:
        yield "HAVING " + " AND ".join(f"{_call(h.function, h.column)} {h.operator} {h.value}" for h in query.having)
    if query.order_by:
        yield "ORDER BY " + _orders(query.order_by)


def _output(output: Output) -> str:
    text = _call(output.function, output.column, output.until)
    if output.window:
        text += f" OVER ({_window(output.window, ranking=output.function in RANKINGS)})"
    return f"{text} AS {sql_name(output.label)}" if output.label else text


def _call(function: str | None, column: ColumnRef | None, until: ColumnRef | str | None = None) -> str:
    inner = sql_column(column) if column else "" if function in RANKINGS else "*"
    if function is None:
        return inner
    if function == "DATEDIFF":
        return f"DATEDIFF(DAY, {inner}, {sql_column(until) if isinstance(until, ColumnRef) else until})"
    if function == COUNT_DISTINCT:
        return f"COUNT(DISTINCT {inner})"
    return f"ISNULL({inner}, 0)" if function == "ISNULL" else f"{function}({inner})"


def _window(window: Window, *, ranking: bool) -> str:
    parts = ["PARTITION BY " + ", ".join(sql_column(column) for column in window.partition_by)] if window.partition_by else []
    if window.order_by:
        parts.append("ORDER BY " + _orders(window.order_by) + ("" if ranking else " ROWS UNBOUNDED PRECEDING"))
    return " ".join(parts)


def _orders(orders: tuple[Order, ...]) -> str:
    named = ((sql_column(o.by) if isinstance(o.by, ColumnRef) else sql_name(o.by), o.descending) for o in orders)
    return ", ".join(f"{name} DESC" if descending else name for name, descending in named)


def _exists(test: Exists) -> str:
    inner = "\n".join(_clauses_of_test(test))
    return f"{'NOT ' if test.negated else ''}EXISTS (\n{_indented(inner)}\n)"


def _clauses_of_test(test: Exists) -> Iterator[str]:
    """The test's clauses with the tie to the outer query first in WHERE."""
    clauses = list(_clauses(Query(test.query.source, (), test.query.filters, test.query.joins, exists=test.query.exists)))
    where = [clause for clause in clauses if clause.startswith("WHERE ")]
    yield from (clause for clause in clauses if clause not in where)
    yield "WHERE " + " AND ".join([_equal(test.on), *(clause.removeprefix("WHERE ") for clause in where)])


def _equal(pairs: tuple[tuple[ColumnRef, ColumnRef], ...]) -> str:
    return " AND ".join(f"{sql_column(ours)} = {sql_column(theirs)}" for ours, theirs in pairs)


def _source(source: Source) -> str:
    return f"{sql_name(source.table)} WITH (NOLOCK)" if source.nolock else sql_name(source.table)


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.split("\n"))


def _labels(query: Query) -> dict[ColumnRef, ColumnRef]:
    """What stands behind each output of a CTE that is or is made of a column."""
    found = {}
    for part in query.parts:
        for cte in part.ctes:
            for output in cte.query.outputs:
                if output.column:
                    found[ColumnRef(cte.name, output.label or output.column.column)] = output.column
    return found


def _traced(ref: ColumnRef, labels: dict[ColumnRef, ColumnRef]) -> str:
    while ref in labels:
        ref = labels[ref]
    return str(ref)


def _further(query: Query, labels: dict[ColumnRef, ColumnRef]) -> Iterator[tuple[str, object]]:
    parts = query.parts
    yield "left_joins", [join.source.table for part in parts for join in part.joins if join.kind == "LEFT JOIN"]
    tests = [test for part in parts for test in part.exists]
    ties = [[[_traced(a, labels), _traced(b, labels)] for a, b in test.on] for test in tests]
    yield "exists", [[test.query.source.table, not test.negated, on] for test, on in zip(tests, ties)]
    having = [h for part in parts for h in part.having]
    yield "having", [[h.function, _traced(h.column, labels) if h.column else None, h.operator, h.value] for h in having]
    yield "order_by", [[_traced(o.by, labels) if isinstance(o.by, ColumnRef) else o.by, o.descending] for o in query.order_by]
    yield "top", query.top
    yield "distinct", query.distinct
    windows = [output.window for part in parts for output in part.outputs if output.window]
    yield "partition_by", [[_traced(column, labels) for column in window.partition_by] for window in windows]
