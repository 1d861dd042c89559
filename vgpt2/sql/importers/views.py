"""Views to objects: which columns a view returns, where each is read from, and whether the view shows one table.

A view is bound against the tables and the views below it, so views are taken in layers, those over tables alone first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from vgpt2.sql.binding import Binding, Bound, Problem, Source, TooMuchWork
from vgpt2.sql.binding.queries import bind_query
from vgpt2.sql.binding.scope import Result
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.importers.drafts import Draft, Unread
from vgpt2.sql.importers.types import facts_of
from vgpt2.sql.parser import nodes as n
from vgpt2.sql.schema import Column, Object

MAX_LAYERS = 64
_PASSING = frozenset(("ISNULL", "COALESCE", "MIN", "MAX", "NULLIF"))  # of the type of their first argument
_COUNTING = {"COUNT": "int", "COUNT_BIG": "bigint", "ROW_NUMBER": "bigint", "RANK": "bigint", "DENSE_RANK": "bigint"}
_TELLING = ("unknown_table", "unknown_qualifier", "unknown_column")


def resolve(tables: Sequence[Object], views: Sequence[Draft], unread: list[Unread]) -> list[Object]:
    """The views as objects in the order given; what cannot be told of one is added to `unread`."""
    pending = {view.name: view for view in views}
    real = {name.lower(): name for name in reversed(pending)}
    reads = {view.name: {real.get(name.lower()) for name in _reads(view)} - {view.name} for view in views}
    made: dict[str, Object] = {}
    for _ in range(MAX_LAYERS):
        ready = [view for view in pending.values() if not (reads[view.name] & pending.keys())]
        if not ready:
            break
        catalogue = Catalogue([*tables, *made.values()])
        for view in ready:
            del pending[view.name]
            made[view.name] = _resolved(view, catalogue, unread)
    for view in pending.values():
        unread.append(Unread(view.place, f"view '{view.name}' reads itself through other views; its columns are left out"))
        made[view.name] = Object(view.name, "view", tuple(view.columns), schema=view.schema, description=view.description)
    return [made[view.name] for view in views]


def _reads(view: Draft) -> set[str]:
    """Names of what the view's query reads, at whatever depth."""
    if view.definition is None:
        return set()
    return {node.name.last for node in _nodes(view.definition.query) if isinstance(node, n.Table)}


def _nodes(root: Any) -> Iterator[Any]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(n.children(node))
        if isinstance(node, n.Values):
            stack += [expression for row in node.rows for expression in row]


def _resolved(view: Draft, catalogue: Catalogue, unread: list[Unread]) -> Object:
    o = Object(view.name, "view", tuple(view.columns), schema=view.schema, description=view.description)
    if view.definition is None:
        return o
    b = Binding(catalogue)
    try:
        result = bind_query(b, view.definition.query, None, {}, nested=True)
        outputs = _Lineage(b).outputs_of(result)
    except (TooMuchWork, RecursionError):
        unread.append(Unread(view.place, f"view '{view.name}' is too large to follow; its columns are left out"))
        return o
    names = view.definition.columns or result.rowset.outputs
    if not view.columns:
        _report(view, b.problems, result, names, unread)
    shown = _shown_table(view.definition.query, result, catalogue)
    columns = _named(outputs, names, shown)
    read = (catalogue.get(name) or catalogue.ignoring_case(name) for name in _reads(view))
    depends_on = tuple(sorted({other.name for other in read if other is not None}))
    described = replace(o, columns=_merged(view.columns, columns), depends_on=depends_on)
    if shown is None:
        return described
    source, table, is_filtered = shown
    return _with_keys(replace(described, base_table=table.name, row_filter=is_filtered), _origins(outputs, names, source), table)


def _report(view: Draft, problems: Sequence[Problem], result: Result, names: Sequence[str | None], unread: list[Unread]) -> None:
    """Say why columns are missing: `*` of something unknown, a column without a name, a list of another length."""
    cause = next((problem.message for problem in problems if problem.code in _TELLING), "")
    if result.rowset.open:
        unread.append(Unread(view.place, f"view '{view.name}': some columns cannot be told{'; ' if cause else ''}{cause}"))
    elif any(name is None for name in names):
        unread.append(Unread(view.place, f"view '{view.name}': column {list(names).index(None) + 1} has no name; it is left out"))
    elif len(names) != len(result.rowset.outputs):
        counts = f"lists {len(names)} columns, its query returns {len(result.rowset.outputs)}"
        unread.append(Unread(view.place, f"view '{view.name}' {counts}; types are left out"))
    elif cause:
        unread.append(Unread(view.place, f"view '{view.name}': {cause}"))


class _Lineage:
    """Where the columns of a bound query come from. A column's `source` is 'table.column' as far as it can be followed."""

    def __init__(self, b: Binding) -> None:
        self._b = b
        self._done: dict[int, list[Column]] = {}
        self._queries: dict[int, dict[str, Column]] = {}

    def outputs_of(self, result: Result) -> list[Column]:
        """The columns of a query, branch by branch: a column that differs between branches keeps what they have in common."""
        branches = [self._select(bound) for bound in result.selects]
        first = branches[0] if branches else []
        others = [branch for branch in branches[1:] if len(branch) == len(first)]
        return [_common([column, *(branch[i] for branch in others)]) for i, column in enumerate(first)]

    def _select(self, bound: Bound) -> list[Column]:
        if id(bound) not in self._done:
            self._done[id(bound)] = []  # a recursive CTE meets itself
            self._done[id(bound)] = list(self._columns(bound))
        return self._done[id(bound)]

    def _columns(self, bound: Bound) -> Iterator[Column]:
        weak = _outer_sides(bound)
        for name, expression in bound.outputs:
            if isinstance(expression, n.Star):
                for source in _starred(expression, bound):
                    for column in source.rowset.outputs:
                        yield self._of_source(source, column or "", weak)
            else:
                yield replace(self._of_expression(expression, bound, weak), name=name or "")

    def _of_expression(self, node: n.Expression, bound: Bound, weak: set[Source]) -> Column:
        if isinstance(node, n.Name):
            found = self._b.columns.get(node) or _ignoring_case(node, bound)
            return self._of_source(found[0], found[1], weak) if found else Column(node.last)
        if isinstance(node, n.Unary) and node.operator == "COLLATE":
            return self._of_expression(node.operand, bound, weak)
        if isinstance(node, n.Call):
            return self._of_call(node, bound, weak)
        return Column("")

    def _of_call(self, call: n.Call, bound: Bound, weak: set[Source]) -> Column:
        if call.type is not None:
            facts = facts_of(call.type)
            return Column("", facts.type, None, facts.length, facts.precision, facts.scale)
        if call.key in _COUNTING:
            return Column("", _COUNTING[call.key], nullable=False)
        if call.key in _PASSING and call.args and isinstance(call.args[0], n.Name | n.Call):
            column = self._of_expression(call.args[0], bound, weak)
            return replace(column, udt=None, source=None, description=None, nullable=call.key != "ISNULL", identity=False)
        return Column("")

    def _of_query(self, source: Source) -> dict[str, Column]:
        """The columns of a derived table or CTE by the names that it gives them."""
        if id(source) not in self._queries:
            outputs = self.outputs_of(Result(source.rowset, source.selects))
            named = zip(source.rowset.outputs, outputs)
            self._queries[id(source)] = {name: replace(column, name=name) for name, column in named if name is not None}
        return self._queries[id(source)]

    def _of_source(self, source: Source, name: str, weak: set[Source]) -> Column:
        """A column of a table, of a view, or of the query behind a derived table or CTE."""
        column = Column(name)
        if source.object is not None:
            found = source.object.column(name)
            if found is not None:
                column = replace(found, source=_origin(source.object, found))
        elif source.selects and name in source.rowset.outputs:
            column = self._of_query(source).get(name, column)
        return replace(column, nullable=True, identity=False) if source in weak else column


def _ignoring_case(name: n.Name, bound: Bound) -> tuple[Source, str] | None:
    """The one column that a name means where the database's names are the same in any case."""
    qualifier = name.parts[-2].lower() if len(name.parts) > 1 else None
    sources = [source for source in bound.scope.sources if qualifier is None or source.name.lower() == qualifier]
    found = [(source, column) for source in sources if (column := source.rowset.ignoring_case(name.last)) is not None]
    return found[0] if len(found) == 1 else None


def _origin(o: Object, column: Column) -> str | None:
    """'table.column' behind a column of a table or view; None where a view computes it."""
    if o.kind == "table":
        return f"{o.name}.{column.name}"
    return column.source or (f"{o.base_table}.{column.name}" if o.base_table and column.type is not None else None)


def _common(columns: Sequence[Column]) -> Column:
    first = columns[0]
    if len(columns) == 1:
        return first
    nullable = any(column.nullable for column in columns)
    types = {(column.type, column.length, column.precision, column.scale) for column in columns}
    origins = {column.source for column in columns}
    if len(types) > 1:
        return Column(first.name, nullable=nullable)
    udt = first.udt if len({column.udt for column in columns}) == 1 else None
    return replace(first, udt=udt, nullable=nullable, identity=False, source=first.source if len(origins) == 1 else None)


def _starred(star: n.Star, bound: Bound) -> list[Source]:
    if star.qualifier is None:
        return bound.scope.sources
    return [source for source in bound.scope.sources if source.name == star.qualifier.last]


def _outer_sides(bound: Bound) -> set[Source]:
    """The sources whose rows an outer join may leave out, so that all their columns may be NULL."""
    weak: set[Source] = set()
    for node in bound.select.sources:
        if isinstance(node, n.Joined):
            weak |= {source for source in bound.scope.sources if source.pos in _weak_places(node)}
    return weak


def _weak_places(joined: n.Joined) -> set[int]:
    """Offsets of the sources on the far sides of outer joins."""
    weak: set[int] = set()
    left = _places(joined.first)
    for join in joined.joins:
        right = _places(join.right)
        if join.kind in ("LEFT", "FULL", "OUTER APPLY"):
            weak |= right
        if join.kind in ("RIGHT", "FULL"):
            weak |= left
        if isinstance(join.right, n.Joined):
            weak |= _weak_places(join.right)
        left |= right
    return weak | (_weak_places(joined.first) if isinstance(joined.first, n.Joined) else set())


def _places(node: n.Source) -> set[int]:
    """The offsets that the sources of a FROM element are known by."""
    if isinstance(node, n.Joined):
        return set.union(_places(node.first), *(_places(join.right) for join in node.joins))
    if isinstance(node, n.Table):
        return {node.name.pos}
    if isinstance(node, n.Derived | n.Pivot | n.Unpivot):
        return {node.alias.pos} if node.alias else set()
    return {node.pos}


def _shown_table(query: n.Query, result: Result, catalogue: Catalogue) -> tuple[Source, Object, bool] | None:
    """(source, table, whether rows are left out) of a query that shows the rows of one table, itself or through such a view."""
    select = query.body
    if not isinstance(select, n.Select) or len(result.selects) != 1 or select.distinct or select.grouped or select.having is not None:
        return None
    sources = result.selects[0].scope.sources
    o = sources[0].object if len(sources) == 1 else None
    table = o if o is None or o.kind == "table" else catalogue.get(o.base_table or "")
    if o is None or table is None or any(isinstance(item.expression, n.Call) and _aggregates(item.expression) for item in select.items):
        return None
    return sources[0], table, o.row_filter or select.where is not None or select.top is not None


def _aggregates(call: n.Call) -> bool:
    return call.over is None and call.key in ("COUNT", "COUNT_BIG", "SUM", "AVG", "MIN", "MAX")


def _named(outputs: Sequence[Column], names: Sequence[str | None], shown: tuple[Source, Object, bool] | None) -> list[Column]:
    """The columns under their names. In a view that shows one table, only a renamed column keeps where it is read from."""
    columns = []
    for i, name in enumerate(names):
        if name is None:
            continue
        column = outputs[i] if len(outputs) == len(names) else Column(name)
        if shown is not None and column.source == f"{shown[1].name}.{name}":
            column = replace(column, source=None)
        columns.append(replace(column, name=name, identity=column.identity and shown is not None))
    return columns


def _merged(stated: Sequence[Column], derived: Sequence[Column]) -> tuple[Column, ...]:
    """Columns that the source states itself, with the origin that the query tells; else the derived ones."""
    if not stated:
        return tuple(derived)
    origins = {column.name: column.source for column in derived}
    return tuple(replace(column, source=origins.get(column.name)) for column in stated)


def _origins(outputs: Sequence[Column], names: Sequence[str | None], source: Source) -> dict[str, str]:
    """Name in the view by the table's name of each column."""
    found: dict[str, str] = {}
    for column, name in zip(outputs, names):
        if column.source and name:
            found.setdefault(column.source.partition(".")[2], name)
    return found


def _with_keys(view: Object, shown: dict[str, str], table: Object) -> Object:
    """The view with those keys of its table whose columns it shows all of."""

    def seen(key: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(shown[name] for name in key) if all(name in shown for name in key) else ()

    unique = tuple(filter(None, map(seen, table.unique_keys)))
    return replace(view, primary_key=seen(table.primary_key), unique_keys=unique)
