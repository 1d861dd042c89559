"""Binds queries: their expressions, their sources, and the columns they return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vgpt2.sql.binding.scope import UNKNOWN, Bound, Problem, Result, Rowset, Scope, Source, find_column
from vgpt2.sql.binding.tables import Binding, Ctes, find_table
from vgpt2.sql.parser import nodes as n

# What well-known table functions return; of others, nothing is known.
FUNCTION_COLUMNS = {
    "STRING_SPLIT": ("value", "ordinal"),
    "OPENJSON": ("key", "value", "type"),
    "GENERATE_SERIES": ("value",),
}


def bind_expression(b: Binding, node: Any, scope: Scope, ctes: Ctes) -> None:
    """Bind every name in an expression or condition. A stack instead of recursion: only sub-queries go deeper."""
    stack = [node]
    while stack:
        node = stack.pop()
        kind = type(node)
        if kind is n.Name:
            b.column(node, scope)
        elif kind is n.Subquery:
            result = bind_query(b, node.query, scope, ctes, nested=True)
            if result.rowset.exact and len(result.rowset.outputs) != 1:
                message = f"a sub-query in place of a value or list returns one column, this one {len(result.rowset.outputs)}"
                b.problem("syntax", node.pos, "SELECT", message)
        elif kind is n.Exists:
            bind_query(b, node.query, scope, ctes, nested=True)
        elif kind is n.Star:
            if node.qualifier is not None:
                _star_sources(b, node, scope)
        elif kind is n.Call:
            b.calls.append(node)
            stack += [*node.args, *node.within_group, *filter(None, (node.over, node.target))]
        elif kind is not n.Literal and kind is not n.Variable and kind is not n.TypeName:
            stack.extend(n.children(node))


def bind_query(b: Binding, query: n.Query, outer: Scope | None, ctes: Ctes, *, nested: bool) -> Result:
    """Bind a query and return its columns. `outer` is what it may refer to besides its own sources; `nested`: it stands inside another."""
    ctes = bind_ctes(b, query.ctes, ctes)
    result = _bind_body(b, query.body, outer, ctes)
    _bind_order_by(b, query, result, outer, ctes)
    for limit in query.limits:
        bind_expression(b, limit, Scope(parent=outer), ctes)
    if nested and query.order_by and not query.limits and not query.for_clause and not _has_top(query.body):
        message = "ORDER BY in a view, CTE, derived table or sub-query needs TOP, OFFSET or FOR XML"
        b.problem("syntax", query.order_by[0].pos, "ORDER", message)
    return Result(Rowset((None,)), result.selects) if query.for_clause in ("XML", "JSON") else result


def _bind_body(b: Binding, body: n.Select | n.SetOperation | n.Query, outer: Scope | None, ctes: Ctes) -> Result:
    if isinstance(body, n.Select):
        return bind_select(b, body, outer, ctes)
    if isinstance(body, n.Query):
        return bind_query(b, body, outer, ctes, nested=True)
    first, *others = body.branches
    result = _bind_body(b, first, outer, ctes)
    return _with_branches(b, result, others, outer, ctes)


def _with_branches(b: Binding, first: Result, others: Sequence[n.Select | n.Query], outer: Scope | None, ctes: Ctes) -> Result:
    """The first branch names the columns; the others must have as many."""
    selects = list(first.selects)
    for branch in others:
        result = _bind_body(b, branch, outer, ctes)
        selects += result.selects
        if first.rowset.exact and result.rowset.exact and len(first.rowset.outputs) != len(result.rowset.outputs):
            counts = f"{len(result.rowset.outputs)} columns, the first one {len(first.rowset.outputs)}"
            b.problem("syntax", branch.pos, "UNION", f"this branch has {counts}; all branches need as many")
    return Result(first.rowset, tuple(selects))


def _has_top(body: n.Select | n.SetOperation | n.Query) -> bool:
    return isinstance(body, n.Select) and body.top is not None


def bind_ctes(b: Binding, nodes: Sequence[n.Cte], ctes: Ctes) -> Ctes:
    """The CTEs of a WITH added to those around it; each one sees those before it."""
    if not nodes:
        return ctes
    known = dict(ctes)
    for cte in nodes:
        result = _bind_cte(b, cte, known)
        known[cte.name] = Result(named_rowset(b, result.rowset, cte.columns, cte.name, cte.pos), result.selects)
    return known


def _bind_cte(b: Binding, cte: n.Cte, known: dict[str, Result]) -> Result:
    """Bind the query of a CTE. In a recursive one the branches behind the first see the CTE itself."""
    body = cte.query.body
    if not isinstance(body, n.SetOperation):
        return bind_query(b, cte.query, None, known, nested=True)
    first = _bind_body(b, body.branches[0], None, known)
    itself = {**known, cte.name: Result(Rowset(cte.columns) if cte.columns else first.rowset)}
    return _with_branches(b, first, body.branches[1:], None, itself)


def named_rowset(b: Binding, rowset: Rowset, columns: Sequence[str] | None, name: str, pos: int) -> Rowset:
    """The columns under a column list, or their own names, all of which a derived table or CTE must have."""
    if columns is not None:
        if rowset.exact and len(columns) != len(rowset.outputs):
            b.problem("syntax", pos, name, f"'{name}' lists {len(columns)} columns, its query returns {len(rowset.outputs)}")
        return Rowset(columns)
    for number, output in enumerate(rowset.outputs, 1):
        if output is None:
            b.problem("syntax", pos, name, f"column {number} of '{name}' has no name; give it an alias")
            return Rowset(rowset.outputs, open=True)
    if rowset.exact and len(rowset.index) < len(rowset.outputs):
        twice = next(output for output in rowset.outputs if rowset.outputs.count(output) > 1)
        b.problem("ambiguous_column", pos, twice or "", f"'{name}' has two columns called '{twice}'; rename one")
    return rowset


def bind_select(b: Binding, select: n.Select, outer: Scope | None, ctes: Ctes) -> Result:
    """Bind a SELECT: FROM first, since everything else refers to it."""
    scope = Scope(parent=outer)
    bound = Bound(select, scope)
    b.selects.append(bound)
    for source in select.sources:
        scope.sources += bind_source(b, source, scope.sources, outer, ctes, bound)
    _refuse_twins(b, scope.sources)
    if select.top is not None:
        bind_expression(b, select.top, Scope(parent=outer), ctes)
    for part in (select.where, *select.group_by, select.having, *select.windows):
        if part is not None:
            bind_expression(b, part, scope, ctes)
    for item in select.items:
        bind_expression(b, item.expression, scope, ctes)
    rowset = _outputs(b, bound)
    if select.into is not None:
        b.tables[select.into.last] = rowset
    return Result(rowset, (bound,))


def _refuse_twins(b: Binding, sources: Sequence[Source]) -> None:
    """Two sources of one name cannot be told apart."""
    seen: set[str] = set()
    for source in sources:
        exposed = source.table.name.text if source.table and not source.is_aliased else source.name
        if exposed in seen:
            b.problem("ambiguous_column", source.pos, source.name, f"two tables are called '{source.name}' in this FROM; give one an alias")
        seen.add(exposed)


def _outputs(b: Binding, bound: Bound) -> Rowset:
    """The columns a SELECT returns, stars expanded."""
    names: list[str | None] = []
    is_open, is_exact = False, True
    for item in bound.select.items:
        expression = item.expression
        if item.variable is not None:
            continue
        if isinstance(expression, n.Star):
            for source in _star_sources(b, expression, bound.scope):
                names += source.rowset.outputs
                is_open |= source.rowset.open
                is_exact &= source.rowset.exact
            bound.outputs.append((None, expression))
            continue
        name = item.alias
        if name is None and isinstance(expression, n.Name):
            name = expression.last
        names.append(name)
        bound.outputs.append((name, expression))
    return Rowset(names, open=is_open, exact=is_exact)


def _star_sources(b: Binding, star: n.Star, scope: Scope) -> list[Source]:
    """The sources whose columns a star stands for."""
    if star.qualifier is None:
        if not scope.sources:
            b.problem("syntax", star.pos, "*", "SELECT * needs a FROM clause")
        return scope.sources
    wanted = star.qualifier.last
    for level in scope.chain():
        found = [source for source in level.sources if source.name == wanted]
        if found:
            return found
    b.column(n.Name(star.pos, (wanted, "*"), (star.pos, star.pos)), scope)
    return [Source(wanted, star.pos, UNKNOWN)]


def _bind_order_by(b: Binding, query: n.Query, result: Result, outer: Scope | None, ctes: Ctes) -> None:
    """ORDER BY sees the names of the select list first, whole and unqualified; behind a set operator it sees nothing else."""
    outputs = result.rowset
    if isinstance(query.body, n.Select):
        scope = result.selects[-1].scope
        result.selects[-1].order_by = query.order_by
    else:
        scope = Scope([Source("", query.pos, outputs)], outer)
    for item in query.order_by:
        key: Any = item.expression
        while isinstance(key, n.Unary) and key.operator == "COLLATE":
            key = key.operand
        if isinstance(key, n.Literal) and key.kind == "number":
            _check_position(b, key, outputs)
        elif isinstance(key, n.Name) and len(key.parts) == 1:
            _bind_order_name(b, key, outputs, scope)
        else:
            bind_expression(b, key, scope, ctes)


def _bind_order_name(b: Binding, name: n.Name, outputs: Rowset, scope: Scope) -> None:
    """A bare name is one of the select list, else a column of the sources."""
    if outputs.has(name.last):
        return
    exact = outputs.ignoring_case(name.last)
    found = find_column(name, scope)
    if exact is not None and isinstance(found, Problem) and found.code == "unknown_column":
        b.problem("case", name.pos, name.last, f"'{name.last}' is written '{exact}' in the select list: names are case sensitive", exact)
    else:
        b.column(name, scope)


def _check_position(b: Binding, position: n.Literal, outputs: Rowset) -> None:
    n_columns = len(outputs.outputs)
    if outputs.exact and position.text.isdigit() and not 1 <= int(position.text) <= n_columns:
        b.problem("syntax", position.pos, position.text, f"ORDER BY position {position.text} is outside a list of {n_columns} columns")


def bind_source(b: Binding, node: n.Source, left: list[Source], outer: Scope | None, ctes: Ctes, bound: Bound | None) -> list[Source]:
    """The sources that one element of FROM gives. `left`: those before it, which functions may refer to."""
    return _SOURCES[type(node)](b, node, left, outer, ctes, bound)


def _table(b: Binding, node: n.Table, left: list[Source], outer: Scope | None, ctes: Ctes, bound: Bound | None) -> list[Source]:
    return [find_table(b, node, ctes)]


def _derived(b: Binding, node: n.Derived, left: list[Source], outer: Scope | None, ctes: Ctes, bound: Bound | None) -> list[Source]:
    """A derived table sees what its SELECT sees from outside, but not its neighbours."""
    alias = node.alias
    assert alias is not None
    if isinstance(node.body, n.Values):
        for row in node.body.rows:
            for expression in row:
                bind_expression(b, expression, Scope(parent=outer), ctes)
        result = Result(_rowset_of_values(b, node.body))
    else:
        result = bind_query(b, node.body, outer, ctes, nested=True)
    rowset = named_rowset(b, result.rowset, alias.columns, alias.name, alias.pos)
    return [Source(alias.name, alias.pos, rowset, selects=result.selects)]


def _rowset_of_values(b: Binding, values: n.Values) -> Rowset:
    width = len(values.rows[0])
    for row in values.rows:
        if len(row) != width:
            pos = row[0].pos
            b.problem("syntax", pos, "VALUES", f"this row has {len(row)} values, the first one {width}")
    return Rowset((None,) * width)


def _function(b: Binding, node: n.FunctionTable, left: list[Source], outer: Scope | None, ctes: Ctes, bound: Bound | None) -> list[Source]:
    """A table function: its columns are known where an alias or WITH lists them, or where the function is a known one."""
    bind_expression(b, node.call, Scope(left, outer), ctes)
    alias = node.alias
    columns = (alias.columns if alias else None) or node.columns or FUNCTION_COLUMNS.get(node.call.key)
    rowset = Rowset(columns) if columns else UNKNOWN
    return [Source(alias.name if alias else node.call.name.last, node.pos, rowset)]


def _joined(b: Binding, node: n.Joined, left: list[Source], outer: Scope | None, ctes: Ctes, bound: Bound | None) -> list[Source]:
    """Joins from left to right; each ON sees both of its sides and nothing that comes later."""
    current = list(bind_source(b, node.first, left, outer, ctes, bound))
    for join in node.joins:
        if join.kind.endswith("APPLY"):
            right = bind_source(b, join.right, [*left, *current], Scope([*left, *current], outer), ctes, bound)
        else:
            right = bind_source(b, join.right, left, outer, ctes, bound)
        current += right
        if join.on is not None:
            bind_expression(b, join.on, Scope(list(current), outer), ctes)
            if bound is not None:
                (bound.inner if join.kind == "INNER" else bound.outer).append(join.on)
    return current


def _pivot(b: Binding, node: n.Pivot, left: list[Source], outer: Scope | None, ctes: Ctes, bound: Bound | None) -> list[Source]:
    """PIVOT consumes the aggregated and the spread column, and makes one for every value."""
    inner = bind_source(b, node.source, left, outer, ctes, bound)
    scope = Scope(inner, outer)
    for argument in [*node.aggregate.args, node.column]:
        bind_expression(b, argument, scope, ctes)
    consumed = {node.column.last, *(argument.last for argument in node.aggregate.args if isinstance(argument, n.Name))}
    return [_reshaped(node.alias, inner, consumed, node.values)]


def _unpivot(b: Binding, node: n.Unpivot, left: list[Source], outer: Scope | None, ctes: Ctes, bound: Bound | None) -> list[Source]:
    """UNPIVOT consumes the listed columns, and makes one for their values and one for their names."""
    inner = bind_source(b, node.source, left, outer, ctes, bound)
    for column in node.columns:
        bind_expression(b, column, Scope(inner, outer), ctes)
    return [_reshaped(node.alias, inner, {column.last for column in node.columns}, [node.value, node.name])]


def _reshaped(alias: n.Alias | None, inner: Sequence[Source], consumed: set[str], made: Sequence[str]) -> Source:
    assert alias is not None
    kept = [name for source in inner for name in source.rowset.outputs if name not in consumed]
    columns: Sequence[str | None] = alias.columns or [*kept, *made]
    return Source(alias.name, alias.pos, Rowset(columns, open=any(source.rowset.open for source in inner)))


_SOURCES: dict[type, Callable[..., list[Source]]] = {
    n.Table: _table,
    n.Derived: _derived,
    n.FunctionTable: _function,
    n.Joined: _joined,
    n.Pivot: _pivot,
    n.Unpivot: _unpivot,
}
