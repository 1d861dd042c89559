"""Binds a script, statement by statement: what one makes, the next may read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vgpt2.sql.binding.queries import bind_ctes, bind_expression, bind_query, bind_source, named_rowset
from vgpt2.sql.binding.scope import Rowset, Scope, Source
from vgpt2.sql.binding.tables import Binding, Ctes, find_table
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.parser import nodes as n
from vgpt2.sql.parser import statement_nodes as st

_NO_SCOPE = Scope()
_PSEUDO_TABLES = ("inserted", "deleted", "INSERTED", "DELETED", "Inserted", "Deleted")


def bind(statements: Sequence[st.Statement], catalogue: Catalogue) -> Binding:
    """Bind all statements of a text. Raises TooMuchWork on texts made to be slow."""
    b = Binding(catalogue)
    for statement in statements:
        bind_statement(b, statement)
    return b


def bind_statement(b: Binding, statement: st.Statement) -> None:
    binder = _BINDERS.get(type(statement))
    if binder is not None:
        binder(b, statement)


def _select(b: Binding, node: st.SelectStatement) -> None:
    bind_query(b, node.query, None, {}, nested=False)


def _view(b: Binding, node: st.ViewDefinition) -> None:
    result = bind_query(b, node.query, None, {}, nested=True)
    b.tables[node.name.last] = named_rowset(b, result.rowset, node.columns, node.name.last, node.pos)


def _table_definition(b: Binding, node: st.TableDefinition) -> None:
    known = b.tables.get(node.name.last)
    if node.adds and known is None:
        return
    before = list(known.outputs) if node.adds and known else []
    b.tables[node.name.last] = Rowset([*before, *(column.name for column in node.columns)], open=bool(node.adds and known and known.open))


def _drop(b: Binding, node: st.DropTable) -> None:
    for name in node.names:
        b.tables.pop(name.last, None)


def _evaluate(b: Binding, node: st.Evaluate) -> None:
    for expression in node.expressions:
        bind_expression(b, expression, _NO_SCOPE, {})


def _branch(b: Binding, node: st.Branch) -> None:
    bind_expression(b, node.test, _NO_SCOPE, {})
    bind_statement(b, node.then)
    if node.otherwise is not None:
        bind_statement(b, node.otherwise)


def _block(b: Binding, node: st.Block) -> None:
    for statement in node.statements:
        bind_statement(b, statement)


def _insert(b: Binding, node: st.Insert) -> None:
    ctes = bind_ctes(b, node.ctes, {})
    target = _target(b, node.target, ctes)
    _target_columns(b, node.columns, target)
    width = len(node.columns) or None
    if isinstance(node.source, n.Values):
        for row in node.source.rows:
            for expression in row:
                bind_expression(b, expression, _NO_SCOPE, ctes)
            _check_width(b, width, len(row), node.source.pos)
    elif node.source is not None:
        rowset = bind_query(b, node.source, None, ctes, nested=False).rowset
        if rowset.exact:
            _check_width(b, width, len(rowset.outputs), node.source.pos)
    _output(b, node.output, target, [], ctes)


def _check_width(b: Binding, columns: int | None, values: int, pos: int) -> None:
    if columns is not None and columns != values:
        b.problem("syntax", pos, "INSERT", f"INSERT lists {columns} columns and gives {values} values")


def _target(b: Binding, table: n.Table, ctes: Ctes) -> Source:
    """The table a statement changes; it needs no hint, so the rules do not see it."""
    return find_table(b, table, ctes)


def _target_columns(b: Binding, columns: Sequence[n.Name], target: Source) -> None:
    for column in columns:
        b.column(n.Name(column.pos, column.parts[-1:], column.positions[-1:]), Scope([target]))


def _output(b: Binding, items: Sequence[n.Item], target: Source, sources: Sequence[Source], ctes: Ctes) -> None:
    """OUTPUT sees the changed rows as `inserted` and `deleted`."""
    changed = [Source(name, target.pos, target.rowset) for name in _PSEUDO_TABLES]
    for item in items:
        bind_expression(b, item.expression, Scope([*changed, *sources]), ctes)


def _update(b: Binding, node: st.Update) -> None:
    ctes = bind_ctes(b, node.ctes, {})
    target, sources = _target_and_sources(b, node.target, node.sources, ctes)
    scope = Scope(sources)
    _target_columns(b, [a.column for a in node.assignments if a.column is not None], target)
    for assignment in node.assignments:
        bind_expression(b, assignment.value, scope, ctes)
    if node.where is not None:
        bind_expression(b, node.where, scope, ctes)
    _output(b, node.output, target, sources, ctes)


def _delete(b: Binding, node: st.Delete) -> None:
    ctes = bind_ctes(b, node.ctes, {})
    target, sources = _target_and_sources(b, node.target, node.sources, ctes)
    if node.where is not None:
        bind_expression(b, node.where, Scope(sources), ctes)
    _output(b, node.output, target, sources, ctes)


def _target_and_sources(b: Binding, table: n.Table, nodes: Sequence[n.Source], ctes: Ctes) -> tuple[Source, list[Source]]:
    """The changed table, which may be named by its alias in FROM, and everything in scope."""
    sources: list[Source] = []
    for node in nodes:
        sources += bind_source(b, node, sources, None, ctes, None)
    named = next((source for source in sources if table.name.last in (source.name, source.table_name)), None)
    if named is not None:
        return named, sources
    target = _target(b, table, ctes)
    return target, [*sources, target]


def _merge(b: Binding, node: st.Merge) -> None:
    ctes = bind_ctes(b, node.ctes, {})
    target = _target(b, node.target, ctes)
    sources = bind_source(b, node.source, [], None, ctes, None)
    scope = Scope([target, *sources])
    bind_expression(b, node.on, scope, ctes)
    for when in node.whens:
        _target_columns(b, [*when.columns, *(a.column for a in when.assignments if a.column is not None)], target)
        for part in (when.test, *when.values, *(a.value for a in when.assignments)):
            if part is not None:
                bind_expression(b, part, scope, ctes)
    _output(b, node.output, target, sources, ctes)


_BINDERS: dict[type, Callable[[Binding, Any], None]] = {
    st.SelectStatement: _select,
    st.ViewDefinition: _view,
    st.TableDefinition: _table_definition,
    st.DropTable: _drop,
    st.Evaluate: _evaluate,
    st.Branch: _branch,
    st.Block: _block,
    st.Insert: _insert,
    st.Update: _update,
    st.Delete: _delete,
    st.Merge: _merge,
}
