"""Jobs to results in spawned processes, in the order of the jobs; a lost worker ends the call in one line.

    crew = Crew("auditing", "once more, or without workers: --workers 0")
    for result in in_order(work, state, jobs, workers=2, crew=crew, place=str):
        ...

`work(state, job)` runs in a fresh process that got `state` once: both must pickle, `work` must be importable, nothing global is shared.
A worker tells the CPU time that it takes: on a machine where others take all, the clock alone would call a healthy one hung.
"""

import math
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from vgpt2 import interrupts

START_S = 120.0  # imports and the state
BEAT_S = 0.5  # between two words of a worker about its CPU time
SIGN_S = 0.02  # of CPU time are a sign of life; less says nothing, Windows counts in steps of 0.016
AHEAD = 8  # jobs a worker that may be finished before their turn: a slow one holds up the others, not the memory
_NONE: Any = object()

State = TypeVar("State")
Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerLost(RuntimeError):
    """A worker was killed, crashed or hangs."""


@dataclass(frozen=True)
class Crew:
    """What the workers do, in one word; how to go on without a lost one.

    stall_s: CPU seconds that a job may take, and seconds by the clock that it may go without any.
    """

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
                for worker in _speaking(team):
                    if (answer := worker.hear()) is not _NONE:
                        finished[worker.position] = answer  # the first answer of each says that it is ready
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
        self._allow(START_S)
        self.pipe.send((work, state))

    @property
    def is_busy(self) -> bool:
        return self.deadline_s < math.inf

    def _allow(self, limit_s: float) -> None:
        """So much CPU time from its next word on, and as much time by the clock without a word."""
        self.limit_s = limit_s
        self.cpu_limit_s = math.inf
        self.deadline_s = time.monotonic() + limit_s

    def take(self, position: int, job: object) -> None:
        self.position, self.job = position, job
        self._allow(self.crew.stall_s)
        try:
            self.pipe.send(job)
        except OSError:
            raise self.lost("died") from None

    def hear(self) -> Any:
        """Its answer, after which it has nothing to do and no time to keep; _NONE where it only says that it is at work."""
        try:
            heard = self.pipe.recv()
        except (EOFError, OSError):
            raise self.lost("died") from None
        if not isinstance(heard, _Beat):
            self.deadline_s = math.inf
            return heard
        if self.is_busy:  # else it was said before the answer, and came behind it
            self.cpu_limit_s = min(self.cpu_limit_s, heard.cpu_s + self.limit_s)
            if heard.cpu_s > self.cpu_limit_s:
                raise self.lost("hangs")
            self.deadline_s = time.monotonic() + self.limit_s
        return _NONE

    def lost(self, what: str) -> WorkerLost:
        self.process.join(timeout=1)
        where = "before its first job" if self.position is None else self.place(self.job)
        return WorkerLost(f"{where}: the {self.crew.task} worker {what} (exit code {self.process.exitcode}); {self.crew.cure}")

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _speaking(team: Sequence[_Worker]) -> list[_Worker]:
    """Workers that have sent something, after a second at most."""
    ready = wait([worker.pipe for worker in team], timeout=1.0)
    return [worker for worker in team if worker.pipe in ready]


@dataclass(frozen=True)
class _Beat:
    """CPU seconds of a worker since it began, but for those that went into saying so."""

    cpu_s: float


def _serve(pipe: "Connection[Any, Any]") -> None:
    interrupts.start_worker()
    voice = threading.Lock()
    threading.Thread(target=_tell_cpu_time, args=(pipe, voice), name="beat", daemon=True).start()
    work, state = pipe.recv()
    answer = None
    while True:
        with voice:
            pipe.send(answer)
        try:
            job = pipe.recv()
        except EOFError:
            return
        answer = work(state, job)


def _tell_cpu_time(pipe: "Connection[Any, Any]", voice: threading.Lock) -> None:
    """Sends a _Beat whenever the process has taken CPU time: a busy worker is heard, one that waits for ever is not."""
    told_s = 0.0
    while True:
        time.sleep(BEAT_S)
        cpu_s = time.process_time() - time.thread_time()
        if cpu_s - told_s < SIGN_S:
            continue
        told_s = cpu_s
        try:
            with voice:
                pipe.send(_Beat(cpu_s))
        except OSError:  # nobody listens any longer
            return


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
