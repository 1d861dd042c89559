"""A query as data: which columns of which tables, joined, filtered and grouped how, and the house-style SQL that says it.

Knows no catalogue: whoever builds a `Query` vouches for its names. Faults are made on the plan, never on the text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnRef:
    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True)
class Output:
    """One entry of the select list: a column, or an aggregate under a label; COUNT(*) has no column."""

    column: ColumnRef | None
    function: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Source:
    """A table of the FROM clause and whether it is read WITH (NOLOCK)."""

    table: str
    nolock: bool = True


@dataclass(frozen=True)
class Join:
    """A further table; `on` pairs a column of it with a column of a table named before."""

    source: Source
    on: tuple[tuple[ColumnRef, ColumnRef], ...]


@dataclass(frozen=True)
class Filter:
    """`value` is a finished SQL literal."""

    column: ColumnRef
    operator: str
    value: str


@dataclass(frozen=True)
class Query:
    source: Source
    outputs: tuple[Output, ...]
    filters: tuple[Filter, ...] = ()
    joins: tuple[Join, ...] = ()
    group_by: tuple[ColumnRef, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        return (self.source.table, *(join.source.table for join in self.joins))


def render_sql(query: Query) -> str:
    """One SELECT, a clause a line, every column qualified by its table's own name."""
    lines = ["SELECT " + ", ".join(_output(output) for output in query.outputs), "FROM " + _source(query.source)]
    for join in query.joins:
        lines.append(f"JOIN {_source(join.source)} ON " + " AND ".join(f"{ours} = {theirs}" for ours, theirs in join.on))
    if query.filters:
        lines.append("WHERE " + " AND ".join(f"{f.column} {f.operator} {f.value}" for f in query.filters))
    if query.group_by:
        lines.append("GROUP BY " + ", ".join(str(column) for column in query.group_by))
    return "\n".join(lines)


def expectation(query: Query) -> dict[str, object]:
    """What a right answer must hold, as plain data for a suite: tables, columns, key pairs and filters, beside the SQL itself."""
    columns = [str(output.column) for output in query.outputs if output.column is not None]
    return {
        "tables": list(query.tables),
        "columns": columns,
        "functions": [output.function for output in query.outputs if output.function],
        "group_by": [str(column) for column in query.group_by],
        "joins": [[[str(ours), str(theirs)] for ours, theirs in join.on] for join in query.joins],
        "filters": [[str(f.column), f.operator, f.value] for f in query.filters],
        "sql": render_sql(query),
    }


def _output(output: Output) -> str:
    inner = "*" if output.column is None else str(output.column)
    text = f"{output.function}({inner})" if output.function else inner
    return f"{text} AS {output.label}" if output.label else text


def _source(source: Source) -> str:
    return f"{source.table} WITH (NOLOCK)" if source.nolock else source.table
