"""What makes a folder a checkpoint: manifest.json with the size and SHA-256 of every file beside it, and of itself.

seal(folder) writes it when all else is on the disk; verify(folder) finds any byte that has changed since. Nothing here knows what the
files mean.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from vgpt2 import atomic

FORMAT = 1
MANIFEST = "manifest.json"
LIMIT_BYTES = 16 << 20
STEP = re.compile(r"step-(\d{6}|[1-9]\d{6,})")


class CheckpointError(ValueError):
    """A checkpoint, pointer or run folder that must not be used; the message names the file."""


def seal(folder: Path, step: int, meta: dict[str, Any]) -> None:
    """Flushes every file of `folder` to the disk, then writes and flushes the manifest, then the folder itself."""
    mode = folder.stat().st_mode & 0o666  # what the umask leaves; safetensors makes its files 0600
    files = {}
    for path in sorted(folder.iterdir()):
        os.chmod(path, mode)
        atomic.fsync_file(path)
        with atomic.open_regular(path) as file:
            files[path.name] = {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": os.fstat(file.fileno()).st_size}
    data = _render({"format": FORMAT, "step": step, "files": files, "meta": meta})
    assert len(data) <= LIMIT_BYTES, f"meta of {len(data)} bytes: it describes a checkpoint, data belong into a file"
    with open(folder / MANIFEST, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    atomic.fsync_folder(folder)


def verify(folder: Path) -> dict[str, Any]:
    """The meta of a checkpoint of which every file is present, listed and byte for byte what was saved.

    Files are hashed as a stream. Raises CheckpointError naming the file.
    """
    if atomic.is_link(folder) or not folder.is_dir():
        raise CheckpointError(f"{folder}: is not a folder of its own; links and files are not followed")
    try:
        body = _read(folder)
        listed, present = body["files"], {path.name for path in folder.iterdir()} - {MANIFEST}
        for name in sorted(listed.keys() - present):
            what = "is missing" if Path(name).name == name else "is listed in its manifest and is no name inside the folder"
            raise CheckpointError(f"{folder}: {name[:80]!a} {what}")
        for name in sorted(present - listed.keys()):
            raise CheckpointError(f"{folder}: {name!a} is not in its manifest")
        for name, entry in listed.items():
            _verify_file(folder, name, entry)
    except OSError as error:
        raise CheckpointError(f"{folder}: {Path(error.filename or folder).name} cannot be read ({error.strerror})") from error
    meta: dict[str, Any] = body["meta"]
    return meta


def meta_of(folder: Path) -> dict[str, Any]:
    """The meta of a checkpoint that verify has found whole."""
    meta: dict[str, Any] = _read(folder)["meta"]
    return meta


def _render(body: dict[str, Any]) -> bytes:
    """The manifest's bytes: `body` and, last, the SHA-256 of `body` rendered the same way; so no byte of them is free to change."""
    digest = hashlib.sha256(json.dumps(body, indent=1).encode()).hexdigest()
    return (json.dumps(body | {"sha256": digest}, indent=1) + "\n").encode()


def _read(folder: Path) -> dict[str, Any]:
    try:
        data = atomic.read_small(folder / MANIFEST, LIMIT_BYTES)
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: {MANIFEST} is missing") from None
    except ValueError as error:
        raise CheckpointError(f"{folder}: {MANIFEST} is not a plain file of at most {LIMIT_BYTES >> 20} MiB") from error
    try:
        body: dict[str, Any] = json.loads(data)
        del body["sha256"]
        is_intact = _render(body) == data
    except (ValueError, TypeError, KeyError, RecursionError):
        is_intact = False
    if not is_intact:
        raise CheckpointError(f"{folder}: {MANIFEST} was altered or cut short")
    if body["format"] != FORMAT:
        raise CheckpointError(f"{folder}: {MANIFEST} has format {body['format']}; this version reads {FORMAT}, use the one that wrote it")
    step = STEP.fullmatch(folder.name)
    if step and body["step"] != int(step[1]):
        raise CheckpointError(f"{folder}: {MANIFEST} is that of step {body['step']}; the folder was renamed or its content swapped")
    return body


def _verify_file(folder: Path, name: str, entry: dict[str, Any]) -> None:
    try:
        file = atomic.open_regular(folder / name)
    except atomic.NotRegularError:
        raise CheckpointError(f"{folder}: {name} is not a plain file; links, folders, pipes and devices are not followed") from None
    with file:
        size = os.fstat(file.fileno()).st_size
        if size != entry["size"]:
            raise CheckpointError(f"{folder}: {name} does not match its manifest ({size:,} bytes instead of {entry['size']:,})")
        if _looks_pickled(file.read(9)):
            raise CheckpointError(f"{folder}: {name} is a pickle, which can run code when read; allowed are safetensors and text")
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != entry["sha256"]:
        raise CheckpointError(f"{folder}: {name} does not match its manifest (sha256 {sha256[:4]}.. instead of {entry['sha256'][:4]}..)")


def _looks_pickled(head: bytes) -> bool:
    """A torch archive (zip) or a pickle of protocol 2 to 5. A safetensors header of 640 bytes starts like one, but has { at byte 8."""
    return head[:4] == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5") and head[8:9] != b"{")
