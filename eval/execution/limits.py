"""Values that a column's conditions allow, and values just outside: rows for a result and for its edges."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from eval.execution.demands import Limit
from eval.execution.functions import like_pattern
from eval.execution.values import FORM, Kind, Value

Cell = Value | None


def allowed(limits: Sequence[Limit], pool: Sequence[Cell], kind: Kind) -> list[Cell]:
    """Values that fulfil as many of the limits as any does, those at the edges first; the pool where there is no limit."""
    if not limits:
        return list(pool)
    return _best(limits, [*(value for limit in limits for value in _inside(limit, kind)), *pool])


def refused(limits: Sequence[Limit], pool: Sequence[Cell], kind: Kind) -> list[Cell]:
    """Values that break at least one of the limits, those nearest to the edges first."""
    candidates: list[Cell] = [*(value for limit in limits for value in _outside(limit, kind)), *pool]
    return list(dict.fromkeys(value for value in candidates if not all(holds(limit, value) for limit in limits)))


def holds(limit: Limit, value: Cell) -> bool:
    if limit.operator in ("NULL", "NOT NULL"):
        return (value is None) == (limit.operator == "NULL")
    if value is None:
        return False
    if limit.operator in ("=", "IN"):
        return value in limit.values
    if limit.operator == "LIKE":
        return any(like_pattern(str(pattern)).fullmatch(str(value)) is not None for pattern in limit.values)
    if limit.operator in ("YEAR", "MONTH"):
        date = str(value)
        return (date[:4] if limit.operator == "YEAR" else date[5:7].lstrip("0")) in map(str, limit.values)
    return all(_compare(limit.operator, value, other) for other in limit.values)


def shifted(value: Value, steps: int, kind: Kind) -> Value:
    """A neighbour: the next whole number, the next day, or another text."""
    if isinstance(value, str):
        if kind != "date":
            return value + "~" * steps if steps > 0 else value[:-1] or "!"
        try:
            return (datetime.strptime(value, FORM) + timedelta(days=steps)).strftime(FORM)
        except (ValueError, OverflowError):
            return value
    return value + steps


def _best(limits: Sequence[Limit], candidates: Sequence[Cell]) -> list[Cell]:
    scores = {value: sum(holds(limit, value) for limit in limits) for value in candidates}
    best = max(scores.values(), default=0)
    return [value for value, score in scores.items() if score == best]


def _inside(limit: Limit, kind: Kind) -> list[Cell]:
    values = limit.values
    if limit.operator in ("=", "IN"):
        return list(values)
    if limit.operator == "NULL":
        return [None]
    if limit.operator == "LIKE":
        return [_sample(str(pattern)) for pattern in values]
    if limit.operator == "YEAR":
        return [f"{value}-{day} 00:00:00" for value in values for day in ("03-01", "11-30")]
    if limit.operator == "MONTH":
        return [f"2025-{value:02d}-{day} 00:00:00" for value in values if isinstance(value, int) for day in ("01", "17")]
    steps = {"<>": (1, -1), "NOT IN": (1, -1), "<": (-1, -40), "<=": (0, -1), ">": (1, 40), ">=": (0, 1)}.get(limit.operator, ())
    return [shifted(value, step, kind) for value in values for step in steps]


def _outside(limit: Limit, kind: Kind) -> list[Cell]:
    steps = {"=": (1,), "IN": (1,), "<>": (0,), "NOT IN": (0,), "<": (0, 1), "<=": (1,), ">": (0, -1), ">=": (-1,)}.get(limit.operator, ())
    if limit.operator == "YEAR":
        return [f"{value + 1}-01-01 00:00:00" for value in limit.values if isinstance(value, int)]
    return [None] if limit.operator == "NOT NULL" else [shifted(value, step, kind) for value in limit.values for step in steps]


def _compare(operator: str, value: Value, other: Value) -> bool:
    if isinstance(value, str) != isinstance(other, str):
        return False
    if operator in ("<>", "NOT IN"):
        return value != other
    below, equal = value < other, value == other  # type: ignore[operator]
    return {"<": below, "<=": below or equal, ">": not below and not equal, ">=": not below}[operator]


def _sample(pattern: str) -> str:
    """A text that fits a LIKE pattern."""
    return re.sub(r"\[\^?([^\]])[^\]]{0,60}\]", r"\1", pattern).replace("%", "ab").replace("_", "c")
