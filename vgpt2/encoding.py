"""Records to examples, in this process or in spawned workers, in the order of the records.

A worker that dies or hangs ends the call with the rows it had; a row that cannot be encoded is named by file and line.
"""

import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeVar

from vgpt2 import interrupts
from vgpt2.dropped import Dropped, Mistakes
from vgpt2.layouts import Record
from vgpt2.tokenizer import ChatTokenizer

CHUNK = 64  # rows sent to a worker at once
START_S = 120.0  # imports and the tokenizer, on a machine that is busy
STALL_S = 30.0  # one chunk
ROWS_PER_WORKER = 5_000  # below, a worker's start costs more than it saves

Example = TypeVar("Example")
Encode = Callable[[Record, ChatTokenizer], Example | str]


class Bar(Protocol):
    def update(self, n: int) -> object: ...


class Progress(Protocol):
    """Makes a bar, such as tqdm's, for `total` rows of some work."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Bar]: ...


class WorkerLost(RuntimeError):
    """A worker was killed, crashed or hangs."""


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
    """The examples of `records` in their order, and the rows for which `encode` gave a reason (str) instead.

    workers 0 encodes in this process; None chooses by the number of rows and cores. With workers, `encode` must be importable.
    Raises ValueError naming the rows for which `encode` raises one, WorkerLost when a worker dies or hangs.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, len(records) // ROWS_PER_WORKER)
        workers = workers if workers > 1 else 0  # one would only be a detour
    chunks = [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)]
    examples: list[Example] = []
    dropped, mistakes = Dropped(), Mistakes()
    outcomes = _in_workers(chunks, encode, tokenizer, workers) if workers else (_outcomes(c, encode, tokenizer) for c in chunks)
    # closed here and not when the collector finds it: an error on the way must not leave workers behind
    with closing(outcomes), progress("tokenise", len(records)) if progress else nullcontext() as bar:
        for chunk, outcome in zip(chunks, outcomes):
            for record, result in zip(chunk, outcome):
                if isinstance(result, _Mistake):
                    mistakes.add(record.where.rpartition(":")[0], f"{record.where}: {result.message}")
                elif isinstance(result, str):
                    dropped.add(result, record.where)
                else:
                    examples.append(result)
            if bar is not None:
                bar.update(len(chunk))
    mistakes.refuse()
    return examples, dropped


def _outcomes(chunk: Sequence[Record], encode: Encode[Example], tokenizer: ChatTokenizer) -> list[Example | str | _Mistake]:
    outcomes: list[Example | str | _Mistake] = []
    for record in chunk:
        try:
            outcomes.append(encode(record, tokenizer))
        except ValueError as error:
            outcomes.append(_Mistake(str(error)))
    return outcomes


class _Worker:
    """A spawned process, the chunk that it has, and until when it must answer."""

    def __init__(self, encode: Encode[Any], tokenizer: ChatTokenizer) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True)
        with _script_hidden():
            self.process.start()
        theirs.close()
        self.position: int | None = None
        self.rows: Sequence[Record] = ()
        self.deadline_s = time.monotonic() + START_S
        self.pipe.send((encode, tokenizer))

    def take(self, position: int, rows: Sequence[Record]) -> None:
        self.position, self.rows = position, rows
        self.deadline_s = time.monotonic() + STALL_S
        try:
            self.pipe.send(rows)
        except OSError:
            raise self.lost("died") from None

    def answer(self) -> Any:
        """What it sent; it has nothing to do then, and no time to keep."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            raise self.lost("died") from None
        self.deadline_s = math.inf
        return answer

    def lost(self, what: str) -> WorkerLost:
        self.process.join(timeout=1)
        rows = f"{self.rows[0].where} to {self.rows[-1].where}" if self.rows else "before its first row"
        code = self.process.exitcode
        return WorkerLost(f"{rows}: the tokenising worker {what} (exit code {code}); once more, or without workers: --set data.workers=0")

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _in_workers(
    chunks: Sequence[Sequence[Record]], encode: Encode[Example], tokenizer: ChatTokenizer, count: int
) -> Generator[list[Example | str | _Mistake]]:
    """The outcomes of every chunk, in order. A worker has one chunk at a time and asks for the next by answering."""
    workers: dict[object, _Worker] = {}
    waiting = iter(enumerate(chunks))
    finished: dict[int | None, list[Example | str | _Mistake]] = {}
    try:
        for _ in range(min(count, len(chunks))):
            worker = _Worker(encode, tokenizer)
            workers[worker.pipe] = worker
        for position in range(len(chunks)):
            while position not in finished:
                for pipe in wait([worker.pipe for worker in workers.values()], timeout=1.0):
                    worker = workers[pipe]
                    finished[worker.position] = worker.answer()  # the first answer of each says that it is ready
                    if job := next(waiting, None):
                        worker.take(*job)
                for worker in workers.values():
                    if time.monotonic() > worker.deadline_s:
                        raise worker.lost("hangs")
            yield finished.pop(position)
    finally:
        for worker in workers.values():
            worker.end()


def _work(pipe: "Connection[Any, Any]") -> None:
    interrupts.start_worker()
    encode, tokenizer = pipe.recv()
    pipe.send([])
    while True:
        try:
            rows = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcomes(rows, encode, tokenizer))


@contextmanager
def _script_hidden() -> Iterator[None]:
    """Spawn runs the parent's script once more in every process, with all its effects where it has no guard; ours need nothing of it."""
    main = vars(sys.modules["__main__"])
    names: dict[str, Any] = {name: main[name] for name in ("__spec__", "__file__") if name in main}
    main |= dict.fromkeys(names)
    try:
        yield
    finally:
        main |= names
