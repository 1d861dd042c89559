"""Counts the file events of a process, and stops or fails it at one of them. For children started by tests/faults/injection.py only.

An event is an open for writing, a rename, removal, mkdir, rmdir, chmod or link below FAULT_ROOT, seen by an audit hook, and an fsync
there, seen by a wrapper because fsync raises no audit event. At event number FAULT_AT the action happens instead of the event. Files
that Rust or C++ code writes are not seen; our own fsync straight after them is.
"""

import errno
import os
import signal
import sys
import time

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PATH_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate"}
TAKES_SPACE = {"open", "os.mkdir", "fsync"}


def install(root: str, at: int, action: str, log: str) -> None:
    log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seen = 0
    real_fsync = os.fsync

    def happen(event: str, path: str) -> None:
        nonlocal seen
        if not path.startswith(root) or (FAULT_SKIP and FAULT_SKIP in path):
            return
        seen += 1
        os.write(log_fd, f"{event} {path[len(root) :]}\n".encode())
        if action == "full":  # from this event on, as a disk without space behaves
            if seen >= at and event in TAKES_SPACE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        elif action.startswith("slow"):
            if event == "fsync":
                time.sleep(float(action.removeprefix("slow")))
        elif seen == at and action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif seen == at and action == "wait":  # until somebody sends a signal; the log tells them when
            os.write(log_fd, b"waiting\n")
            time.sleep(600)
        elif seen == at:
            number = getattr(errno, action)
            raise OSError(number, os.strerror(number), path)

    def absolute(path: object, dir_fd: object = -1) -> str:
        text = os.fsdecode(path) if isinstance(path, bytes | str | os.PathLike) else ""
        if isinstance(dir_fd, int) and dir_fd >= 0 and not os.path.isabs(text):
            text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
        return os.path.abspath(text) if text else ""

    def hook(event: str, args: tuple) -> None:
        if event == "open" and isinstance(args[2], int) and args[2] & WRITES:
            happen("open", absolute(args[0]))
        elif event in PATH_EVENTS:
            dir_fd = args[2] if event in ("os.mkdir", "os.chmod", "os.rename") else args[1] if event in ("os.remove", "os.rmdir") else -1
            happen(event, absolute(args[0], dir_fd))

    def fsync(fd: int) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        happen("fsync", os.readlink(f"/proc/self/fd/{number}"))
        real_fsync(fd)

    os.fsync = fsync
    sys.addaudithook(hook)


FAULT_SKIP = os.environ.get("FAULT_SKIP", "")
if "FAULT_ROOT" in os.environ:
    install(os.environ["FAULT_ROOT"], int(os.environ["FAULT_AT"]), os.environ["FAULT_ACTION"], os.environ["FAULT_LOG"])
