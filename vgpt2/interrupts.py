"""Ctrl+C and SIGTERM as a polite request: the first is remembered and answered at a safe point, a second ends the process at once.

    with Interrupts(say=print) as interrupts:
        with interrupts.at_once():            # nothing to save yet: the first signal raises Interrupted
            model = load(...)
        for step in steps:
            interrupts.check()                # a safe point: raises Interrupted once a signal came
    sys.exit(exit_code(number))

Python runs signal handlers on the main thread and between bytecodes only, so a backward pass or an fsync of ten seconds would delay them.
What must be quick, the reply and the second signal, is therefore done by a thread that the system wakes through a socket.
"""

import _thread
import contextlib
import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection, parent_process
from types import FrameType, TracebackType
from typing import Any

SECOND_S = 1.0  # a terminal, a shell and make may all pass one Ctrl+C on: what comes within a second is the same request
REQUESTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))


class Interrupted(BaseException):
    """A signal asked the run to end. Like KeyboardInterrupt no Exception, so that no library's handler of errors swallows it."""

    def __init__(self, number: int):
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


def exit_code(number: int) -> int:
    """143 for SIGTERM, 130 for Ctrl+C and Ctrl+Break: what shells and schedulers take for "ended by this signal"."""
    return 143 if number == signal.SIGTERM else 130


class Interrupts:
    """Answers signals inside `with`; handlers and streams are as before afterwards.

    requested: the first signal's number, or None. ignored: how many Ctrl+C came while `ignore` is on (the system merges those that come
    faster than they are seen); SIGTERM still asks. A closed terminal (SIGHUP) or a reader that went away ends output, not the run.
    Outside the main thread nothing can be handled, which `say` is told.
    """

    def __init__(self, *, ignore: bool = False, say: Callable[[str], None] | None = None):
        self.ignore = ignore
        self.say = say or (lambda line: None)
        self.requested: int | None = None
        self.ignored = 0
        self._first_s: float | None = None
        self._raises = False
        self._restore = contextlib.ExitStack()

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is not threading.main_thread():
            self.say("signals are left to the main thread: Ctrl+C will not save")
            return self
        self._restore.enter_context(lasting_output())
        for number in (*REQUESTS, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
            before = signal.signal(number, self._handle)
            self._restore.callback(signal.signal, number, signal.SIG_DFL if before is None else before)
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        watcher = threading.Thread(target=self._watch, args=(ours,), name="interrupts", daemon=True)
        watcher.start()
        self._restore.callback(watcher.join, 1.0)
        self._restore.callback(theirs.close)  # ends the watcher
        self._restore.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._first_s is not None:
            # The rest of a storm would meet the handlers from before and kill a run that stopped in good order.
            time.sleep(max(0.0, self._first_s + SECOND_S - time.monotonic()))
        self._restore.close()

    def check(self) -> None:
        """Raises Interrupted if a signal has asked: called wherever stopping loses nothing."""
        if self.requested is not None:
            raise Interrupted(self.requested)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Here the first signal raises Interrupted wherever the main thread is, as Ctrl+C does in any Python program.

        For loading, encoding and whatever else leaves nothing behind when it stops.
        """
        self.check()
        self._raises = True
        try:
            yield
        finally:
            self._raises = False
        self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """On the main thread."""
        if number not in REQUESTS:
            return
        if self.ignore and number == signal.SIGINT:
            self.ignored += 1
        elif self.requested is None:
            self.requested, self._first_s = number, time.monotonic()
            if self._raises:
                raise Interrupted(number)

    def _watch(self, ours: socket.socket) -> None:
        """On a thread of its own: replies to the first request, ends the process at the second."""
        first_s: float | None = None
        is_told = False
        with ours:
            while True:
                # Nothing that is read next came before this moment, however long this thread was kept from running since.
                earliest_s = time.monotonic()
                try:
                    numbers = ours.recv(4096)
                except TimeoutError:
                    continue
                if not numbers:
                    return
                for number in numbers:
                    if number not in REQUESTS:
                        continue
                    if self.ignore and number == signal.SIGINT:
                        if not is_told:
                            self._tell(f"Ctrl+C is ignored and counted (--ignore-interrupts); kill {os.getpid()} saves and stops")
                        is_told = True
                    elif first_s is None:
                        first_s = time.monotonic()
                        ours.settimeout(0.1)
                        self._tell(f"{signal.Signals(number).name}: stopping at the next safe point; once more, and it stops at once")
                    elif earliest_s - first_s >= SECOND_S:
                        _exit_now(exit_code(number))

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # output that is gone or closed must not end the watch
            self.say(line)


def _exit_now(code: int) -> None:
    """Ends the process within a fifth of a second, with what is already printed if the reader takes it in that time."""
    for stream in (sys.stdout, sys.stderr):
        _thread.start_new_thread(_flush, (stream,))  # a flush may hang on a full pipe or on the lock of the thread that hangs there
    time.sleep(0.2)
    os._exit(code)


def _flush(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()


class _LastingFile(io.FileIO):
    """A file descriptor on which a failing write is a write that nobody reads: terminal closed, `| head` done, disk full."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """stdout and stderr that never raise because of who reads them: a run of hours does not end with the terminal that shows it."""
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    for name, stream in before.items():
        try:
            fd = stream.fileno()
        except (OSError, AttributeError):  # a notebook's or a test's stream, or none at all
            continue
        if os.name == "nt" and stream.isatty():  # a Windows console takes characters, not bytes, and cannot go away alone
            continue
        _flush(stream)
        buffer = io.BufferedWriter(_LastingFile(fd, "w", closefd=False))
        # whole lines at once: behind a pipe Python would keep the first minutes of a run to itself
        setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=True))
    try:
        yield
    finally:
        for name, stream in before.items():
            _flush(getattr(sys, name))
            setattr(sys, name, stream)


def start_worker() -> None:
    """Initializer of a pool's processes: Ctrl+C and a closed terminal are the parent's affair; a killed parent's workers end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), name="follow parent", daemon=True).start()


def _follow(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
