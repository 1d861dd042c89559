"""Jobs to results in spawned processes, in the order of the jobs; a lost worker ends the call in one line.

    crew = Crew("auditing", "once more, or without workers: --workers 0")
    for result in in_order(work, state, jobs, workers=2, crew=crew, place=str):
        ...

`work(state, job)` runs in a fresh process that got `state` once: both must pickle, `work` must be importable, nothing global is shared.
"""

import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from vgpt2 import interrupts

START_S = 120.0  # imports and the state, on a machine that is busy
AHEAD = 8  # jobs a worker that may be finished before their turn: a slow one holds up the others, not the memory
_NONE: Any = object()

State = TypeVar("State")
Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerLost(RuntimeError):
    """A worker was killed, crashed or hangs."""


@dataclass(frozen=True)
class Crew:
    """What the workers do, in one word; how to go on without a lost one; how long a job may take."""

    task: str
    cure: str
    stall_s: float = 30.0


def in_order(
    work: Callable[[State, Job], Result],
    state: State,
    jobs: Iterable[Job],
    *,
    workers: int,
    crew: Crew,
    place: Callable[[Job], str],
) -> Generator[Result]:
    """work(state, job) of every job, in order; a job is taken from `jobs` when a worker has time for it. workers 0: in this process.

    Raises WorkerLost with the `place` of the job that a dead or hanging worker had. Close the generator where it may be left early.
    """
    if not workers:
        yield from (work(state, job) for job in jobs)
        return
    team: list[_Worker] = []
    idle: list[_Worker] = []
    finished: dict[int | None, Result] = {}
    position = given = 0
    waiting = iter(jobs)
    try:
        for _ in range(workers):
            team.append(_Worker(work, state, crew, place))
        while True:
            while idle and given < position + AHEAD * workers and (following := next(waiting, _NONE)) is not _NONE:
                idle.pop().take(given, following)
                given += 1
            if position in finished:
                yield finished.pop(position)
                position += 1
            elif any(worker.is_busy for worker in team):
                for worker in _answering(team):
                    finished[worker.position] = worker.answer()  # the first answer of each says that it is ready
                    idle.append(worker)
                for worker in team:
                    if time.monotonic() > worker.deadline_s:
                        raise worker.lost("hangs")
            else:
                return
    finally:
        for worker in team:
            worker.end()


class _Worker:
    """A spawned process, the job that it has, and until when it must answer."""

    def __init__(self, work: Callable[[Any, Any], Any], state: object, crew: Crew, place: Callable[[Any], str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.crew, self.place = crew, place
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _script_hidden():
            self.process.start()
        theirs.close()
        self.position: int | None = None
        self.job: Any = None
        self.deadline_s = time.monotonic() + START_S
        self.pipe.send((work, state))

    @property
    def is_busy(self) -> bool:
        return self.deadline_s < math.inf

    def take(self, position: int, job: object) -> None:
        self.position, self.job = position, job
        self.deadline_s = time.monotonic() + self.crew.stall_s
        try:
            self.pipe.send(job)
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
        where = "before its first job" if self.position is None else self.place(self.job)
        return WorkerLost(f"{where}: the {self.crew.task} worker {what} (exit code {self.process.exitcode}); {self.crew.cure}")

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _answering(team: Sequence[_Worker]) -> list[_Worker]:
    """Workers that have sent something, after a second at most."""
    ready = wait([worker.pipe for worker in team], timeout=1.0)
    return [worker for worker in team if worker.pipe in ready]


def _serve(pipe: "Connection[Any, Any]") -> None:
    interrupts.start_worker()
    work, state = pipe.recv()
    pipe.send(None)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(work(state, job))


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
