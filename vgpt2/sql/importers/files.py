"""Files of a source, read with care: plain files of bounded size inside their folder, in the encodings that SQL Server's tools write."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from vgpt2 import atomic
from vgpt2.sql.importers.drafts import Unread

SCRIPT_ENDINGS = frozenset((".sql", ".ddl", ".tab", ".viw", ".kci", ".fky", ".dri", ".ext"))  # the latter ones: Enterprise Manager's
MAX_SCRIPT_BYTES = 32 << 20
MAX_ROWS_BYTES = 256 << 20
MAX_FILES = 200_000
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def scripts(folder: Path) -> Iterator[Path | Unread]:
    """Scripts below the folder in the order of their names. Links are not followed: they may lead out of the folder."""
    closed: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=closed.append):
        folders.sort()
        for name in [*folders, *sorted(names)]:
            path = Path(root, name)
            if atomic.is_link(path):
                yield Unread(place_in(folder, path), "is a link, and links are not followed; put the file itself into the folder")
            elif name not in folders and path.suffix.lower() in SCRIPT_ENDINGS:
                yield path
    for error in closed:
        yield Unread(place_in(folder, Path(error.filename)), f"this folder cannot be read: {error.strerror}")


def place_in(folder: Path, path: Path) -> str:
    """A path as reports name it: from the folder that was asked for."""
    return path.relative_to(folder).as_posix()


def read_text(path: Path, limit: int = MAX_SCRIPT_BYTES) -> str:
    """The text of a plain file. Raises ValueError for a link, pipe or device, and for more than `limit` bytes."""
    return decode(atomic.read_small(path, limit))


def decode(data: bytes) -> str:
    """UTF-8 or UTF-16, with or without a mark, else Windows-1252; any bytes give a text."""
    if data[:2] in _UTF16_MARKS:
        return data.decode("utf-16", errors="replace")
    head = data[:400]
    if head.count(0) * 3 > len(head):
        return data.decode("utf-16-be" if head[:1] == b"\0" else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
