"""Bars of long work: on a terminal a moving one, elsewhere a line a minute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

T = TypeVar("T")


def bar(what: str, total: int) -> AbstractContextManager[Any]:
    """A bar for `total` rows of some work, unknown where 0."""
    from tqdm import tqdm

    pause_s = 0.2 if sys.stderr.isatty() else 60.0
    return tqdm(total=total or None, desc=what, unit="row", leave=False, mininterval=pause_s, maxinterval=60.0, delay=pause_s)


def each(what: str) -> Callable[[Iterable[int]], Iterable[int]]:
    """A bar while a sequence is walked through, on a terminal only."""
    from tqdm import tqdm

    return lambda rows: tqdm(rows, desc=what, unit="row", leave=False, disable=None)


def items(what: str) -> Callable[[Sequence[T]], Iterable[T]]:
    """A bar while things of a known number are walked through: on a terminal a moving one, elsewhere a line a minute."""
    from tqdm import tqdm

    pause_s = 0.2 if sys.stderr.isatty() else 60.0
    return lambda found: tqdm(found, desc=what, unit=" answers", leave=False, mininterval=pause_s, maxinterval=60.0, delay=pause_s)
