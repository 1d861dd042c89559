"""How far long work is: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

PAUSE_S = 60.0

T = TypeVar("T")


class Lines:
    """A line a minute on stderr, without carriage returns."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self._start_s = self._last_s = time.monotonic()

    def update(self, n: int) -> None:
        self.done += n
        now_s = time.monotonic()
        if now_s - self._last_s >= PAUSE_S:
            self._last_s = now_s
            of = f" of {self.total:,}" if self.total else ""
            print(f"{self.what}: {self.done:,}{of} rows after {now_s - self._start_s:.0f} s", file=sys.stderr, flush=True)


def bar(what: str, total: int) -> AbstractContextManager[Any]:
    """Counts up to `total` rows of some work, unknown where 0."""
    if not sys.stderr.isatty():
        return nullcontext(Lines(what, total))
    from tqdm import tqdm

    return tqdm(total=total or None, desc=what, unit="row", leave=False, dynamic_ncols=True)


def each(what: str) -> Callable[[Iterable[int]], Iterable[int]]:
    """A bar while a sequence is walked through, on a terminal only."""
    from tqdm import tqdm

    return lambda rows: tqdm(rows, desc=what, unit="row", leave=False, disable=None)


def items(what: str) -> Callable[[Sequence[T]], Iterable[T]]:
    """Counts things of a known number as they are walked through."""

    def walked(found: Sequence[T]) -> Iterator[T]:
        with bar(what, len(found)) as shown:
            for thing in found:
                yield thing
                shown.update(1)

    return walked
