"""What T-SQL asks of aggregates and DISTINCT: columns beside one are grouped, none stands in WHERE, DISTINCT orders by its list."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from vgpt2.sql.binding import Binding, Bound, Problem
from vgpt2.sql.parser import nodes as n

AGGREGATES = frozenset(
    (
        *("AVG", "COUNT", "COUNT_BIG", "MAX", "MIN", "SUM", "STDEV", "STDEVP", "VAR", "VARP", "STRING_AGG", "CHECKSUM_AGG"),
        *("APPROX_COUNT_DISTINCT", "GROUPING", "GROUPING_ID"),
    )
)


def grouping_problems(b: Binding) -> Iterator[Problem]:
    """Problems of every SELECT, at the column or call that is out of place."""
    for bound in b.selects:
        yield from _misplaced_calls(b, bound)
        if _is_grouped(bound) and _all_bound(b, bound.select.group_by):
            yield from _ungrouped_columns(b, bound)
        if bound.select.distinct:
            yield from _order_outside_list(b, bound)


def _all_bound(b: Binding, expressions: list[n.Expression]) -> bool:
    """Whether every name was found; where one was not, that is the finding, and what follows from it is none."""
    return all(node in b.columns for expression in expressions for node in _walk(expression) if isinstance(node, n.Name))


def _is_grouped(bound: Bound) -> bool:
    """Whether the SELECT returns groups: it has GROUP BY or HAVING, or an aggregate in its list."""
    select = bound.select
    if select.grouped or select.having is not None:
        return True
    return any(_is_aggregate(node) for item in select.items for node in _walk(item.expression))


def _ungrouped_columns(b: Binding, bound: Bound) -> Iterator[Problem]:
    """Columns of the SELECT's own sources that are neither grouped nor aggregated; the first one of each expression."""
    keys = {_key(b, expression) for expression in bound.select.group_by}
    parts: list[Any] = [item.expression for item in bound.select.items if item.variable is None]
    if bound.select.having is not None:
        parts.append(bound.select.having)
    for part in parts:
        column = _first_ungrouped(b, bound, part, keys)
        if column is not None:
            message = f"'{column.text}' is neither in GROUP BY nor in an aggregate"
            yield Problem("syntax", column.pos, column.text, message, f"GROUP BY {column.text}")


def _first_ungrouped(b: Binding, bound: Bound, expression: Any, keys: set[Hashable]) -> n.Name | None:
    """The first bare column of an expression, leaving out aggregates, sub-queries, and parts that are grouped as a whole."""
    stack = [expression]
    while stack:
        node = stack.pop()
        if isinstance(node, n.Subquery | n.Exists) or _is_aggregate(node) or _key(b, node) in keys:
            continue
        if isinstance(node, n.Name):
            found = b.columns.get(node)
            if found is not None and found[0] in bound.scope.sources:
                return node
        elif isinstance(node, n.Arithmetic) and keys:
            stack += reversed(_rest_behind_grouped_beginning(b, node, keys))
        else:
            stack += reversed(_parts(node))
    return None


def _rest_behind_grouped_beginning(b: Binding, node: n.Arithmetic, keys: set[Hashable]) -> list[n.Expression]:
    """The operands of `a + b + c` without the longest beginning that is grouped as a whole: it binds from the left."""
    for length in range(len(node.operands) - 1, 1, -1):
        if _key(b, n.Arithmetic(node.pos, node.operands[:length], node.operators[: length - 1])) in keys:
            return node.operands[length:]
    return node.operands


def _order_outside_list(b: Binding, bound: Bound) -> Iterator[Problem]:
    """Keys of ORDER BY that SELECT DISTINCT does not return, so that there is no order by them."""
    items = bound.select.items
    if any(isinstance(item.expression, n.Star) for item in items):
        return
    returned = {_key(b, item.expression) for item in items}
    names = {name for name, _ in bound.outputs}
    for order in bound.order_by:
        key = order.expression
        is_alias = isinstance(key, n.Name) and len(key.parts) == 1 and key.last in names
        if not is_alias and not isinstance(key, n.Literal) and _all_bound(b, [key]) and _key(b, key) not in returned:
            name = key.text if isinstance(key, n.Name) else ""
            yield Problem("syntax", key.pos, name, "ORDER BY takes only what SELECT DISTINCT returns; add it to the list")


def _misplaced_calls(b: Binding, bound: Bound) -> Iterator[Problem]:
    """Aggregates and window functions in WHERE, and aggregates within aggregates."""
    for node in _walk(bound.select.where):
        if isinstance(node, n.Call) and node.over is not None:
            yield Problem("syntax", node.pos, node.name.last, f"{node.key} with OVER cannot stand in WHERE; filter it in an outer query")
        elif _is_aggregate(node) and _has_own_column(b, bound, node):
            yield Problem("syntax", node.pos, node.name.last, f"{node.key} cannot stand in WHERE; write HAVING")
    for item in bound.select.items:
        for node in _walk(item.expression):
            if _is_aggregate(node):
                for inner in (inner for argument in node.args for inner in _walk(argument)):
                    if _is_aggregate(inner):
                        message = f"{inner.key} stands inside {node.key}; aggregate in a derived table"
                        yield Problem("syntax", inner.pos, inner.name.last, message)


def _has_own_column(b: Binding, bound: Bound, call: n.Call) -> bool:
    """Whether the call aggregates this SELECT's rows, and not those of one around it."""
    names = [node for argument in call.args for node in _walk(argument) if isinstance(node, n.Name)]
    return not names or any(b.columns.get(name, (None,))[0] in bound.scope.sources for name in names)


def _is_aggregate(node: Any) -> bool:
    return isinstance(node, n.Call) and node.over is None and node.key in AGGREGATES


def _walk(node: Any) -> Iterator[Any]:
    """All nodes of an expression, sub-queries left out."""
    stack = [node] if node is not None else []
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, n.Subquery | n.Exists):
            stack += _parts(node)


def _parts(node: Any) -> list[Any]:
    """Nodes below a node; of a call, its arguments and window but not its name."""
    if isinstance(node, n.Call):
        return [*node.args, *node.within_group, *filter(None, (node.over, node.target))]
    return list(n.children(node))


def _key(b: Binding, node: Any) -> Hashable:
    """Equal for expressions that mean the same: columns by where they come from, words in any case."""
    if isinstance(node, n.Name):
        return b.columns.get(node, node.text)
    if isinstance(node, n.Literal):
        return node.kind, node.text
    if isinstance(node, n.Variable):
        return node.name.lower()
    if isinstance(node, n.Arithmetic):
        return tuple(node.operators), tuple(_key(b, part) for part in node.operands)
    if isinstance(node, n.Subquery | n.Exists):
        return id(node)
    return type(node).__name__, _words(node), *(_key(b, part) for part in _parts(node) if not isinstance(part, n.TypeName))


def _words(node: Any) -> Hashable:
    """What tells two nodes of one type apart besides the nodes below them."""
    if isinstance(node, n.Call):
        return node.name.text.upper(), node.datepart
    if isinstance(node, n.Test):
        return node.predicate, node.negated
    return node.operator if isinstance(node, n.Unary | n.Logical | n.Comparison) else None
