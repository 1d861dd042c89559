"""Which columns of tables stand behind a name: through aliases, stars, CTEs, derived tables, sub-queries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vgpt2.sql.binding import Binding, Bound, Source
from vgpt2.sql.keys import Term
from vgpt2.sql.parser import nodes as n


class Lineage:
    """The sources of every column of a text; what was looked up once is remembered."""

    def __init__(self, b: Binding) -> None:
        self._columns = b.columns
        self._bound_of = {id(bound.select): bound for bound in b.selects}
        self._output_lists: dict[int, list[tuple[str | None, Any]]] = {}

    def term(self, node: Any) -> Term | None:
        """The column that an output or expression is, and nothing else."""
        return node if isinstance(node, tuple) else self._columns.get(node) if isinstance(node, n.Name) else None

    def outputs(self, bound: Bound) -> list[tuple[str | None, Any]]:
        """(name, expression, or the term that a star stands for) of each column that a SELECT returns."""
        if id(bound) not in self._output_lists:
            self._output_lists[id(bound)] = self._read_outputs(bound)
        return self._output_lists[id(bound)]

    def _read_outputs(self, bound: Bound) -> list[tuple[str | None, Any]]:
        found: list[tuple[str | None, Any]] = []
        for name, expression in bound.outputs:
            if not isinstance(expression, n.Star):
                found.append((name, expression))
                continue
            wanted = expression.qualifier.last if expression.qualifier else None
            starred = [source for source in bound.scope.sources if wanted in (None, source.name)]
            found += [(column, (source, column)) for source in starred for column in source.rowset.outputs if column is not None]
        return found

    def selects(self, query: n.Query) -> list[Bound]:
        """The SELECTs of a query, all branches of its UNION."""
        found, stack = [], [query.body]
        while stack:
            body = stack.pop()
            if isinstance(body, n.Select):
                found += [self._bound_of[id(body)]] if id(body) in self._bound_of else []
            else:
                stack += reversed(body.branches) if isinstance(body, n.SetOperation) else [body.body]
        return found

    def names(self, node: Any) -> Iterator[str]:
        """Columns of tables behind an expression, those that its sub-queries return among them."""
        stack, seen = [node], set[Term]()
        while stack:
            node = stack.pop()
            if isinstance(node, n.Name) and node in self._columns:
                node = self._columns[node]
            if isinstance(node, tuple):
                if node in seen:
                    continue
                seen.add(node)
                behind = self.behind(*node)
                stack += behind
                if not behind and node[0].object is not None:
                    yield column_name(*node)
            elif isinstance(node, n.Subquery):
                stack += [output for bound in self.selects(node.query) for _, output in self.outputs(bound)]
            elif isinstance(node, n.Call):
                stack += node.args
            elif not isinstance(node, n.Exists):
                stack += n.children(node)

    def behind(self, source: Source, column: str) -> list[Any]:
        """What a CTE or derived table gives as `column`, one output for each branch; none for a table."""
        place = list(source.rowset.outputs).index(column) if column in source.rowset.outputs else None
        outputs = [self.outputs(bound) for bound in source.selects]
        return [branch[place][1] for branch in outputs if place is not None and place < len(branch)]


def table_name(source: Source) -> str:
    return source.object.name if source.object else source.name


def column_name(source: Source, column: str) -> str:
    return f"{table_name(source)}.{column}"
