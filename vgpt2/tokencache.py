"""Encoded rows on the disk, mapped into memory: built once for equal data, tokenizer and encoding, shared by runs.

    key = partial(tokencache.key_of, cfg, tokenizer.fingerprint)
    rows = tokencache.rows(cfg.data, key, store=stage.store, restore=stage.restore, build=build, say=print)

A cache is a sealed folder, see manifest.py: written aside, flushed, renamed, never changed again, and every byte is checked before it is
mapped. Rows are views into the map, so their tokens take no memory of the process's own. A data file may change or go while a run is on.
"""

import errno
import hashlib
import json
import mmap
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vgpt2 import atomic, manifest
from vgpt2.config import DataConfig, TrainConfig
from vgpt2.dropped import Dropped
from vgpt2.preflight import data_files, sha256_of
from vgpt2.registry import sources
from vgpt2.runlock import process_start_time

FORMAT = 1
PREFIX = "tokens-"
IDS, MASKS, ROWS = "input_ids.bin", "completion_masks.bin", "rows.json"
CODE = ("dataset", "encoding", "layouts", "registry", "rowfiles", "tokenizer", "chat_template", "control_tokens", "tokencache")
ABANDONED_S = 24 * 3600.0  # a half-built cache whose builder cannot be asked
NOT_FOR_US = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST})


class Sink(Protocol):
    """What takes one encoded row after the other; a list does."""

    def append(self, example: Any, /) -> None: ...


@dataclass(frozen=True)
class Row:
    """What is kept of an encoded row: ids (T,) int32 and mask (T,) bool of each sequence, and the control strings found in each."""

    where: str
    sequences: tuple[tuple[np.ndarray, np.ndarray], ...]
    markers: tuple[int, ...]
    label: bool | None = None  # KTO's


@dataclass(frozen=True)
class Rows:
    """The encoded rows of a run and what became of the others."""

    train: list[Any]
    held_out: list[Any]
    read: int
    dropped: Dropped
    cache: Path | None = None  # where their tokens are mapped from

    @property
    def counts(self) -> dict[str, int]:
        return {"read": self.read, "train": len(self.train), "held out": len(self.held_out), "dropped": self.dropped.total}


Build = Callable[[Sink, Sink], tuple[int, Dropped]]  # fills training and held-out rows; rows read, rows dropped
Store = Callable[[Any], Row]
Restore = Callable[[Row], Any]


def key_of(cfg: TrainConfig, tokenizer: str) -> str:
    """sha256 over what decides the encoded rows: the files' bytes, their layouts and mix, tokenizer and template, stage, our own code."""
    data, registry = cfg.data, Path(cfg.data.registry)
    mixed = sources(data.train, registry, weights=data.weights, caps=data.caps)
    held_out = sources([data.validation], registry) if isinstance(data.validation, str) else []
    parts = {
        "format": FORMAT,
        "stage": cfg.stage,
        "seed": cfg.seed,
        "data": data.model_dump(mode="json", exclude={"workers", "require_audit", "cache", "cache_gib"}),
        "sources": [repr(source) for source in (*mixed, *held_out)],
        "files": [sha256_of(path) for path in data_files(cfg)],
        "tokenizer": tokenizer,
        "packages": [version(name) for name in ("tokenizers", "transformers")],
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def rows(data: DataConfig, key: Callable[[], str], *, store: Store, restore: Restore, build: Build, say: Callable[[str], None]) -> Rows:
    """The rows that `build` makes, from the cache where they were made before.

    key(): of the data as they lie there. A folder that cannot be written leaves the rows in memory, which `say` is told.
    Raises ValueError when the disk is full, and when a data file changed while it was read.
    """
    if data.cache is None:
        return in_memory(build)
    folder = Path(data.cache)
    before = key()
    path = folder / f"{PREFIX}{before[:32]}"
    found = _load(path, restore, say)
    if found is None:
        try:
            shelf = Shelf(path, store)
        except OSError as error:
            if error.errno not in NOT_FOR_US:
                raise _refusal(folder, 0, error) from error
            say(f"warning: data.cache: {folder} cannot be written ({(error.strerror or 'refused').lower()}); tokens stay in memory")
            return in_memory(build)
        with shelf:
            read, dropped = build(shelf.train, shelf.held_out)
            if key() != before:
                raise ValueError(f"{', '.join(data.train)[:80]}: changed while it was read; start again once it is complete")
            shelf.publish(read, dropped)
        found = load(path, restore)
    sweep(folder, limit_bytes=int(data.cache_gib * 2**30), used=path)
    return found


def in_memory(build: Build) -> Rows:
    train: list[Any] = []
    held_out: list[Any] = []
    read, dropped = build(train, held_out)
    return Rows(train, held_out, read, dropped)


class Shelf:
    """A cache that is being built in a hidden folder beside `path`; leaving the block without `publish` leaves nothing."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path, self._store = path, store
        path.parent.mkdir(parents=True, exist_ok=True)
        if atomic.is_link(path.parent):
            raise NotADirectoryError(errno.ENOTDIR, "is a link", str(path.parent))
        self._folder = atomic.aside(path.with_name(f"{path.name}-{_host()}-{os.getpid()}"), "tmp")
        self._folder.mkdir()
        self._open = ExitStack()
        self._entries: dict[str, list[dict[str, Any]]] = {"train": [], "held_out": []}
        try:
            self._ids = self._open.enter_context((self._folder / IDS).open("xb"))
            self._masks = self._open.enter_context((self._folder / MASKS).open("xb"))
        except OSError:
            self.__exit__()
            raise
        self.train, self.held_out = (_Side(self._append, name) for name in self._entries)

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what a full disk could not flush is thrown away
            self._open.close()
        with suppress(OSError):  # a sick disk must not hide the first error; the next build sweeps
            atomic.discard(self._folder)

    def publish(self, read: int, dropped: Dropped) -> None:
        """Makes the cache visible, whole; where another run was faster, its cache is the one."""
        about = {"read": read, "dropped": dropped.counts, "places": dropped.places, **self._entries}
        try:
            self._open.close()
            (self._folder / ROWS).write_text(json.dumps(about), "utf-8")
            manifest.seal(self._folder, 0, {"format": FORMAT})
            try:
                atomic.rename(self._folder, self.path)
            except OSError:
                if not self.path.is_dir():
                    raise
                return
            atomic.fsync_folder(self.path.parent)
        except OSError as error:
            raise _refusal(self.path.parent, self._bytes(), error) from error

    def _append(self, side: str, example: Any) -> None:
        row = self._store(example)
        lengths = [len(ids) for ids, _ in row.sequences]
        self._entries[side].append({"where": row.where, "lengths": lengths, "markers": row.markers, "label": row.label})
        try:
            for ids, mask in row.sequences:
                self._ids.write(np.asarray(ids, "<i4").tobytes())
                self._masks.write(np.asarray(mask, bool).tobytes())
        except OSError as error:
            raise _refusal(self.path.parent, self._bytes(), error) from error

    def _bytes(self) -> int:
        return 5 * sum(sum(entry["lengths"]) for entries in self._entries.values() for entry in entries)


@dataclass(frozen=True)
class _Side:
    take: Callable[[str, Any], None]
    name: str

    def append(self, example: Any, /) -> None:
        self.take(self.name, example)


def load(path: Path, restore: Restore) -> Rows:
    """The rows of a cache, views into its files.

    Raises manifest.CheckpointError for a byte that is not as it was sealed, FileNotFoundError where there is no cache.
    """
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no such cache", str(path))
    manifest.verify(path)
    about = json.loads((path / ROWS).read_text("utf-8"))
    entries = [*about["train"], *about["held_out"]]
    tokens = sum(sum(entry["lengths"]) for entry in entries)
    ids, masks = _map(path / IDS, tokens, "<i4"), _map(path / MASKS, tokens, "?")
    restored, start = [], 0
    for entry in entries:
        sequences = []
        for length in entry["lengths"]:
            sequences.append((ids[start : start + length], masks[start : start + length]))
            start += length
        restored.append(restore(Row(entry["where"], tuple(sequences), tuple(entry["markers"]), entry["label"])))
    dropped = Dropped()
    dropped.counts, dropped.places = about["dropped"], about["places"]
    with suppress(OSError):  # only the order of sweeping depends on it
        os.utime(path)
    cut = len(about["train"])
    return Rows(restored[:cut], restored[cut:], about["read"], dropped, path)


def sweep(folder: Path, *, limit_bytes: int, used: Path) -> None:
    """Removes what killed builders left, and the caches unused for longest while all are larger than `limit_bytes`; never `used`."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if _is_abandoned(entry):
                with suppress(OSError):
                    atomic.discard(entry)
    total = 0
    for path, _, size in sorted(_caches(folder), key=lambda cache: (cache[0] != used, -cache[1])):
        total += size
        if total > limit_bytes and path != used:
            with suppress(OSError):  # Windows removes no file that another run has mapped
                atomic.discard(path)


def _load(path: Path, restore: Restore, say: Callable[[str], None]) -> Rows | None:
    """The cache at `path`; None where there is none, or where it is damaged and was removed."""
    try:
        return load(path, restore)
    except FileNotFoundError:
        return None
    except manifest.CheckpointError as damage:
        if path.exists():  # another run may just have swept it
            say(f"warning: {damage}; the tokens are made anew")
            atomic.discard(path)
        return None


def _map(path: Path, count: int, dtype: str) -> np.ndarray:
    """`count` numbers of the file, (count,), read-only; a shorter file is refused before anything touches it."""
    if not count:
        return np.empty(0, dtype)
    with open(path, "rb") as file:
        size = count * np.dtype(dtype).itemsize
        if os.fstat(file.fileno()).st_size != size:
            raise manifest.CheckpointError(f"{path.parent}: {path.name} does not hold the {count:,} tokens of its rows")
        return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), dtype)


def _caches(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Path, time of last use and bytes of every cache."""
    with suppress(OSError):
        for path in folder.glob(f"{PREFIX}*"):
            with suppress(OSError):  # gone meanwhile
                yield path, path.stat().st_mtime, sum(entry.stat().st_size for entry in path.iterdir())


def _is_abandoned(entry: Path) -> bool:
    """Whether a killed process left this: its own machine knows at once, any other after a day."""
    found = atomic.LEFTOVER.fullmatch(entry.name)
    if not found or not found["name"].startswith(PREFIX):
        return False
    if found["kind"] != "tmp":
        return True
    *_, host, pid = found["name"].split("-")
    if host == _host() and pid.isdecimal():
        return process_start_time(int(pid)) is None
    return time.time() - entry.stat().st_mtime > ABANDONED_S


def _refusal(folder: Path, needed: int, error: OSError) -> ValueError:
    free = shutil.disk_usage(folder if folder.is_dir() else folder.parent).free if error.errno == errno.ENOSPC else None
    room = f" (needs over {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB free)" if free is not None else ""
    reason = (error.strerror or "cannot be written").lower()
    return ValueError(f"data.cache: {folder}: {reason}{room}; free some, or --set data.cache=DIR, or null to keep tokens in memory")


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _code() -> str:
    """sha256 over the source that makes rows: whoever edits it gets new ones."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in [*(here / f"{name}.py" for name in CODE), *sorted((here / "stages").glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
