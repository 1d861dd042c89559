"""Records to examples, in this process or in spawned workers, in the order of the records.

A worker that dies or hangs ends the call with the rows it had; a row that cannot be encoded is named by file and line.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

from vgpt2.dropped import Dropped, Mistakes
from vgpt2.layouts import Record
from vgpt2.tokenizer import ChatTokenizer
from vgpt2.workers import Crew, WorkerLost, in_order

__all__ = ["Progress", "WorkerLost", "encode_all", "encode_into"]

CHUNK = 64  # rows sent to a worker at once
STALL_S = 30.0  # one chunk
ROWS_PER_WORKER = 5_000  # below, a worker's start costs more than it saves

Example = TypeVar("Example")
Encode = Callable[[Record, ChatTokenizer], Example | str]


class Bar(Protocol):
    def update(self, n: int) -> object: ...


class Progress(Protocol):
    """Makes a bar, such as tqdm's, for `total` rows of some work."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Bar]: ...


@dataclass(frozen=True)
class _Mistake:
    message: str


def encode_all(
    records: Sequence[Record],
    encode: Encode[Example],
    *,
    tokenizer: ChatTokenizer,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[list[Example], Dropped]:
    """The examples of `records` in their order, and the rows for which `encode` gave a reason (str) instead; see `encode_into`."""
    examples: list[Example] = []
    return examples, encode_into(examples.append, records, encode, tokenizer=tokenizer, workers=workers, progress=progress)


def encode_into(
    take: Callable[[Example], None],
    records: Sequence[Record],
    encode: Encode[Example],
    *,
    tokenizer: ChatTokenizer,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Dropped:
    """Gives `take` the examples of `records` in their order; the rows for which `encode` gave a reason (str) instead.

    workers 0 encodes in this process; None chooses by the number of rows and cores. With workers, `encode` must be importable.
    Raises ValueError naming the rows for which `encode` raises one, WorkerLost when a worker dies or hangs.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, len(records) // ROWS_PER_WORKER)
        workers = workers if workers > 1 else 0  # one would only be a detour
    chunks = [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)]
    dropped, mistakes = Dropped(), Mistakes()
    crew = Crew("tokenising", "once more, or without workers: --set data.workers=0", STALL_S)
    how = (encode, tokenizer)
    outcomes: Generator[list[Example | str | _Mistake]] = in_order(
        _outcomes, how, chunks, workers=min(workers, len(chunks)), crew=crew, place=_place
    )
    # closed here and not when the collector finds it: an error on the way must not leave workers behind
    with closing(outcomes), progress("tokenise", len(records)) if progress else nullcontext() as bar:
        for chunk, outcome in zip(chunks, outcomes):
            for record, result in zip(chunk, outcome):
                if isinstance(result, _Mistake):
                    mistakes.add(record.where.rpartition(":")[0], f"{record.where}: {result.message}")
                elif isinstance(result, str):
                    dropped.add(result, record.where)
                else:
                    take(result)
            if bar is not None:
                bar.update(len(chunk))
    mistakes.refuse()
    return dropped


def _outcomes(how: tuple[Encode[Example], ChatTokenizer], chunk: Sequence[Record]) -> list[Example | str | _Mistake]:
    encode, tokenizer = how
    outcomes: list[Example | str | _Mistake] = []
    for record in chunk:
        try:
            outcomes.append(encode(record, tokenizer))
        except ValueError as error:
            outcomes.append(_Mistake(str(error)))
    return outcomes


def _place(chunk: Sequence[Record]) -> str:
    return f"{chunk[0].where} to {chunk[-1].where}"
