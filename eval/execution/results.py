"""Whether two results are the same: rows as a multiset, columns in any order, numbers within a tolerance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import isclose
from typing import Any, TypeAlias

Cells: TypeAlias = tuple[Any, ...]
TOLERANCE = 1e-6  # relative, and absolute below 1: sums in another order, decimals held as floats
MAX_ARRANGEMENTS = 2000


def same(
    gold: Sequence[Cells],
    answer: Sequence[Cells],
    *,
    keys: Sequence[int] = (),
    is_ordered: bool = False,
    width: int | None = None,
    may_have_more: bool = False,
) -> bool:
    """Whether `answer` returns what `gold` does under some order of its columns.

    With `is_ordered` the rows come in the same order; rows that agree in the columns `keys` of `gold`, which sort it, may change places.
    Columns of gold from `width` on are sort keys and are not compared. With `may_have_more` columns of `answer` may be left over.
    """
    if len(gold) != len(answer):
        return False
    if not gold:
        return True
    width = len(gold[0]) if width is None else width
    if len(answer[0]) < width or (len(answer[0]) > width and not may_have_more):
        return False
    plain_gold, plain_answer = [_plain(row) for row in gold], [_plain(row) for row in answer]
    outputs = [row[:width] for row in plain_gold]
    groups = _groups(plain_gold, keys) if is_ordered else [len(gold)]
    arranged = ([tuple(row[place] for place in order) for row in plain_answer] for order in _orders(outputs, plain_answer))
    return any(_same_rows(outputs, rows, groups) for rows in arranged)


def is_empty(rows: Sequence[Cells]) -> bool:
    """Whether a result says nothing: no row, or one row of NULLs and zeros, which an aggregate returns for no row."""
    return not rows or (len(rows) == 1 and all(value in (None, 0, "") for value in rows[0]))


def _plain(row: Cells) -> Cells:
    return tuple(_plain_value(value) for value in row)


def _plain_value(value: Any) -> Any:
    """Texts without the blanks of CHAR and a date without its midnight; every number as a float."""
    if isinstance(value, str):
        return value.rstrip().removesuffix(" 00:00:00")
    return float(value) if isinstance(value, int | float) else value


def _groups(rows: Sequence[Cells], keys: Sequence[int]) -> list[int]:
    """Lengths of the runs of rows that agree in the sort keys; a row is a run of its own where the keys are not known."""
    if not keys:
        return [1] * len(rows)
    return [len(list(run)) for _, run in groupby(rows, key=lambda row: tuple(row[key] for key in keys))]


def _same_rows(gold: Sequence[Cells], answer: Sequence[Cells], groups: Sequence[int]) -> bool:
    start = 0
    for length in groups:
        first, second = sorted(gold[start : start + length], key=_rank), sorted(answer[start : start + length], key=_rank)
        if not all(_same_cells(a, b) for a, b in zip(first, second)):
            return False
        start += length
    return True


def _same_cells(a: Cells, b: Cells) -> bool:
    return all(_same_value(x, y) for x, y in zip(a, b))


def _same_value(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(a == b)


def _rank(row: Cells) -> list[tuple[int, Any]]:
    return [(0, 0) if value is None else (1, round(value, 3)) if isinstance(value, float) else (2, str(value)) for value in row]


def _orders(gold: Sequence[Cells], answer: Sequence[Cells]) -> Iterator[tuple[int, ...]]:
    """As many of the answer's columns as gold has, in orders in which each holds the same values as gold's; the given order first."""
    bags = [_bag(column) for column in zip(*gold)]
    others = [_bag(column) for column in zip(*answer)]
    fitting = [[place for place, other in enumerate(others) if other == bag] for bag in bags]
    stack: list[tuple[int, ...]] = [()]
    tried = 0
    while stack and tried < MAX_ARRANGEMENTS:
        chosen = stack.pop()
        if len(chosen) == len(bags):
            tried += 1
            yield chosen
            continue
        here = len(chosen)
        places = sorted((place for place in fitting[here] if place not in chosen), key=lambda place: place == here)
        stack += [(*chosen, place) for place in places]


def _bag(column: Sequence[Any]) -> Counter[Any]:
    return Counter(f"{value:.4g}" if isinstance(value, float) else value for value in column)
