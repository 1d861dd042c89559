"""Which columns of a result sort it: those of its outputs that ORDER BY names, and others that are added behind them."""

from __future__ import annotations

from typing import Any


def sort_keys(tree: Any) -> tuple[tuple[int, ...], int]:
    """Which output columns sort the rows; expressions that are no output are appended, as many as the second number says."""
    order = order_of(tree)
    if order is None:
        return (), 0
    from sqlglot import exp

    outputs = list(tree.selects)
    names = [output.alias_or_name for output in outputs]
    texts = [output.unalias().sql() for output in outputs]
    keys, added = [], 0
    may_add = isinstance(tree, exp.Select) and not tree.args.get("distinct") and not any(output.is_star for output in outputs)
    for ordered in order.expressions:
        key = ordered.this
        if key.is_int and 1 <= int(key.name) <= len(outputs):
            keys.append(int(key.name) - 1)
        elif isinstance(key, exp.Column) and not key.table and key.name in names:
            keys.append(names.index(key.name))
        elif key.sql() in texts:
            keys.append(texts.index(key.sql()))
        elif may_add:
            tree.append("expressions", exp.alias_(key.copy(), f"sort key {added}", quoted=True))
            keys.append(len(outputs) + added)
            added += 1
        else:
            return (), added
    return tuple(keys), added


def order_of(tree: Any) -> Any:
    """The ORDER BY of a query, None without one."""
    return tree.args.get("order")
