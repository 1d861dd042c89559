"""Files that are either whole or absent, whatever moment the process or the machine stops at.

Everything is written under a hidden name beside its target, flushed to the disk, and only then renamed. Names made here end in `.tmp`
(being written), `.old` (set aside for a replacement) or `.trash` (being deleted): a later start knows what a killed process left.
"""

import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>tmp|old|trash)")
WINDOWS_RENAME_S = 2.0
JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT
IS_WINDOWS = os.name == "nt"


class NotRegularError(ValueError):
    """A link, folder, FIFO or device stands where a plain file belongs."""


def aside(path: Path, kind: str) -> Path:
    """A fresh hidden name beside `path`; kind is tmp, old or trash."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}")


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces `path` in one step that survives a power cut; a link at `path` is replaced, never written through.

    Raises OSError with nothing left beside it, and `path` as it was unless only the last flush, that of its folder, failed.
    """
    with writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to fill that takes the place of `path` when the block ends, as write_bytes says; an error in the block leaves nothing."""
    tmp = aside(path, "tmp")
    try:
        with open(tmp, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename(tmp, path)
    except BaseException:
        with suppress(OSError):  # a sick disk must not hide the first error; the next start sweeps
            tmp.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_text(path: Path, data: str) -> None:
    """write_bytes in UTF-8, newlines as given on every platform."""
    write_bytes(path, data.encode("utf-8"))


def rename(source: Path, target: Path) -> None:
    """os.replace; on Windows a scanner that holds either name open makes it fail for a moment, so it is tried for two seconds there."""
    give_up = time.monotonic() + (WINDOWS_RENAME_S if IS_WINDOWS else 0.0)
    while True:
        try:
            return os.replace(source, target)
        except PermissionError:
            if time.monotonic() >= give_up:
                raise
            time.sleep(0.05)


def discard(path: Path) -> None:
    """Deletes a file or a folder; a folder is renamed to a trash name first, so that none is ever seen half deleted under its own name.

    A link is removed itself, what it points at stays.
    """
    if path.is_symlink() or not path.is_dir():
        return path.unlink(missing_ok=True)
    if not path.name.endswith(".trash"):
        trash = aside(path, "trash")
        rename(path, trash)
        path = trash
    shutil.rmtree(path)


def fsync_file(path: Path) -> None:
    """Flushes a file that another library wrote; opened for writing because Windows flushes no other handle."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def fsync_folder(folder: Path) -> None:
    """Makes renames inside `folder` durable. Windows has no such call and journals its renames."""
    if IS_WINDOWS:
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_link(path: Path) -> bool:
    """True for a symbolic link and for a Windows junction, also when what it points at is gone."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == JUNCTION


def open_regular(path: Path) -> BufferedReader:
    """`path` for reading, if it is a plain file itself; a FIFO is refused without waiting for its writer.

    Raises NotRegularError for anything else, FileNotFoundError when nothing is there.
    """
    # The look before the open spares a device the side effects of being opened; the look after it closes the gap between the two.
    _require_regular(path, os.lstat(path))
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _require_regular(path, os.fstat(file.fileno()))
    except NotRegularError:
        file.close()
        raise
    return file


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(f"{path}: is not a plain file; links, folders, pipes and devices are not read here")


def read_small(path: Path, limit: int) -> bytes:
    """The bytes of a plain file of at most `limit` bytes; raises ValueError for anything else."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, limit) + 1)  # reading as much as is allowed would take that much memory for any file
    if len(data) > limit:
        raise ValueError(f"{path}: holds more than {limit} bytes; a file of this kind never does, restore or remove it")
    return data


def read_json_object(path: Path, limit: int) -> dict[str, Any]:
    """The JSON object in a file of at most `limit` bytes, read as `read_small` does; raises ValueError for other content."""
    try:
        data = json.loads(read_small(path, limit))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON ({type(error).__name__}); restore it") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: is not a JSON object; restore it")
    return data
