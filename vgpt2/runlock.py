"""One trainer a run folder: run.lock tells who has it, and a dead owner's lock is taken over.

    with RunLock(run_dir, say=print):
        ...

A process is known by its id and its start time, because ids are used again. Another machine's processes cannot be asked, so its locks
are only taken over when told to.
"""

import ctypes
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from vgpt2 import atomic

UNKNOWN = "unknown"  # the process lives, but the system does not tell since when
LIMIT_BYTES = 4096


class RunLockError(ValueError):
    """Another process has the run folder, or the lock cannot be trusted."""


@dataclass(frozen=True)
class Owner:
    """What run.lock holds: a process, where it runs, and the number of this taking of the lock."""

    pid: int
    start_time: str
    host: str
    run_id: str
    since: str


class RunLock:
    """Holds run.lock in `run_dir` (made if need be) while inside `with`; `say` gets one line when a dead owner's lock is taken over.

    Raises RunLockError while another process has it. `steal` takes the lock of another machine or of an unknown owner, never that of a
    process known to live.
    """

    def __init__(self, run_dir: Path, *, steal: bool = False, say: Callable[[str], None] | None = None):
        self.path = Path(run_dir) / "run.lock"
        self.steal = steal
        self.say = say or (lambda line: None)
        self.made_folder = False
        self.me: Owner | None = None

    def __enter__(self) -> "RunLock":
        me = Owner(
            pid=os.getpid(),
            start_time=process_start_time(os.getpid()) or UNKNOWN,
            host=socket.gethostname(),
            run_id=secrets.token_hex(8),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        folder = self.path.parent
        if atomic.is_link(folder):
            raise RunLockError(f"{folder}: is a link; it is not followed, use a folder of its own")
        self.made_folder = not folder.exists()
        with _only_one(self.path):
            remark = self._why_free(_read(self.path), me)
            atomic.write_text(self.path, json.dumps(asdict(me)) + "\n")
        self.me = me
        if remark:
            self.say(f"{self.path}: taken over, {remark}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError), _only_one(self.path):
            if self.is_held():
                self.path.unlink()
        if self.made_folder:
            with suppress(OSError):  # not empty: there was a run
                self.path.parent.rmdir()
        self.me = None

    def is_held(self) -> bool:
        """Whether the lock is still ours: false after another machine stole it, and in a forked child."""
        return self.me is not None and self.me.pid == os.getpid() and _read(self.path) == self.me

    def _why_free(self, owner: Owner | str | None, me: Owner) -> str | None:
        """None where there is no lock, else the reason why it may be taken over. Raises RunLockError when it may not."""
        if owner is None:
            return None
        if isinstance(owner, str):
            if self.steal:
                return f"it {owner}"
            raise RunLockError(f"{self.path}: {owner}; if no run uses the folder, add --steal-lock")
        who = f"process {owner.pid} on {owner.host}"
        if owner.host != me.host:
            if self.steal:
                return f"stolen from {who}"
            raise RunLockError(
                f"{self.path}: held by {who} for {_age(owner)}, which cannot be asked from here; if it is dead, add --steal-lock"
            )
        start_time = process_start_time(owner.pid)
        if start_time is None:
            return f"{who} is dead"
        if start_time != owner.start_time and UNKNOWN not in (start_time, owner.start_time):
            return f"{who} is another program by now"
        if start_time == owner.start_time != UNKNOWN:
            raise RunLockError(f"{self.path}: held by {who} for {_age(owner)}; wait for it, end it, or choose another --run name")
        if self.steal:
            return f"stolen from {who}"
        raise RunLockError(f"{self.path}: held by {who} for {_age(owner)}, if that is still the same program; if not, add --steal-lock")


def _read(path: Path) -> Owner | str | None:
    """The owner; None where there is no lock; words for what is wrong with a file that is no lock of ours."""
    try:
        data: Any = json.loads(atomic.read_small(path, LIMIT_BYTES))
        owner = Owner(**data)
    except FileNotFoundError:
        return None
    except atomic.NotRegularError:
        raise RunLockError(f"{path}: is not a plain file; remove it") from None
    except (ValueError, TypeError, RecursionError):
        return "is not readable as a lock"
    if type(owner.pid) is not int or owner.pid <= 0:
        return "names no process"
    return owner


def _age(owner: Owner) -> str:
    """3 h 12 min; 0 min when the clock was set back since."""
    try:
        began = datetime.fromisoformat(owner.since)
        minutes = max(0, int((datetime.now(UTC) - began).total_seconds() // 60))
    except (ValueError, TypeError):
        return "an unknown time"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Lets one process at a time look at the lock and change it; the system frees it however that process ends.

    Without it two processes that both saw a dead owner could both replace its lock.
    """
    gate = path.with_name(f".{path.name}.gate")
    fd = _open_gate(gate)
    try:
        yield
    finally:
        if os.name != "nt":
            gate.unlink(missing_ok=True)
        os.close(fd)


def _open_gate(gate: Path) -> int:
    """A descriptor of `gate` that no other process has at the same time; waits for it."""
    while True:
        gate.parent.mkdir(parents=True, exist_ok=True)
        # Whoever was here before us may have removed the gate, and an unused folder, while we came.
        with suppress(FileNotFoundError):
            if sys.platform == "win32":
                with suppress(FileExistsError, PermissionError):
                    # Windows removes such a file when its only handle closes, also when the process is killed.
                    return os.open(gate, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_TEMPORARY)
                time.sleep(0.01)
            else:
                import fcntl  # not on Windows

                fd = os.open(gate, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
                fcntl.flock(fd, fcntl.LOCK_EX)
                if gate.exists() and os.stat(gate).st_ino == os.fstat(fd).st_ino:
                    return fd
                os.close(fd)


def process_start_time(pid: int) -> str | None:
    """A text that tells this process from any other that had or will have the id `pid`; None when there is none or it is a zombie.

    UNKNOWN for a process that lives and of which the system tells no more.
    """
    if sys.platform == "win32":
        return _start_time_windows(pid)
    if sys.platform == "linux":
        with suppress(OSError):
            # The second field, the program's name in brackets, may itself hold blanks and brackets.
            fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
            state, ticks = fields[0], fields[19]
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")[:8]
            return None if state in "ZX" else f"{ticks}@{boot}"
    else:
        argv = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        found = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C", "TZ": "UTC"})
        state, _, start_time = found.stdout.strip().partition(" ")
        return None if not state or state[0] == "Z" else start_time.strip()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return UNKNOWN


def _start_time_windows(pid: int) -> str | None:
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    query_limited_information, access_denied, still_active = 0x1000, 5, 259
    kernel32.OpenProcess.restype = ctypes.c_void_p
    handle = kernel32.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return UNKNOWN if ctypes.get_last_error() == access_denied else None  # type: ignore[attr-defined,unused-ignore]
    try:
        code, times = ctypes.c_ulong(), [ctypes.c_ulonglong() for _ in range(4)]
        pointer = ctypes.c_void_p(handle)
        kernel32.GetExitCodeProcess(pointer, ctypes.byref(code))
        kernel32.GetProcessTimes(pointer, *map(ctypes.byref, times))
        return str(times[0].value) if code.value == still_active else None
    finally:
        kernel32.CloseHandle(ctypes.c_void_p(handle))
