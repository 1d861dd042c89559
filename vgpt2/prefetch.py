"""Batches made by a thread while the step before them trains, and their page-locked form for copies that nobody waits for.

What is made is a function of the step's number alone, so a step gets the same batch made ahead, made when asked for, or after a resume.
A thread and no process: it packs arrays, which lets go of the interpreter, and it starts alike on every system.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import is_dataclass, replace
from types import TracebackType
from typing import Any, Generic, TypeVar

from torch import Tensor

DEPTH = 2  # steps kept ready

Made = TypeVar("Made")
Batch = TypeVar("Batch")


class Ahead(Generic[Made]):
    """make(step) for one step after the other, up to but not including `end`; an error of `make` is raised at its own step.

    with Ahead(make, end=100) as batches:
        batches(0)                            # 1 and 2 are being made
    """

    def __init__(self, make: Callable[[int], Made], *, end: int) -> None:
        self._make, self._end = make, end
        self._made: dict[int, Future[Made]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")

    def __enter__(self) -> "Ahead[Made]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __call__(self, step: int) -> Made:
        for wanted in range(step, min(step + DEPTH + 1, self._end)):
            if wanted not in self._made:
                self._made[wanted] = self._thread.submit(self._make, wanted)
        return self._made.pop(step).result()


def pinned(batch: Batch) -> Batch:
    """A batch, a dataclass of tensors and of such dataclasses, whose tensors the GPU reads from the host's memory by itself."""
    assert is_dataclass(batch)
    assert not isinstance(batch, type)
    changed: dict[str, Any] = {}
    for name, value in vars(batch).items():
        if isinstance(value, Tensor):
            changed[name] = value.pin_memory()
        elif is_dataclass(value):
            changed[name] = pinned(value)
    return replace(batch, **changed)
