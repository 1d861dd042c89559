"""Checkpoints that are whole or invisible: saved, pointed at, rotated, found again.

A run folder holds step folders, each sealed by a manifest, and two text files, `latest` and `best`, that name one of them each. What is
in a checkpoint is the caller's affair: no tensor is loaded here.

    folder = save(run_dir, step, write)        # SaveFailed: nothing half-written is left; go on and try again at the next interval
    point(run_dir, "latest", folder)
    rotate(run_dir, keep=3, protect=[resumed_from])
"""

import difflib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError

from vgpt2 import atomic
from vgpt2.manifest import MANIFEST, STEP, CheckpointError, seal, verify

POINTERS = ("best", "latest")
MODEL_FILES = ("adapter_config.json", "config.json")


class SaveFailed(OSError):
    """The disk did not take a checkpoint; nothing half-written is left of it, training may go on and try again later.

    needed_bytes is a lower bound (the last checkpoint's size, or what was written when that is more), free_bytes what is free now.
    """

    def __init__(self, place: Path, reason: str, *, needed_bytes: int, free_bytes: int):
        super().__init__(f"{place}: not saved, {reason} (needs {_size(needed_bytes)}, {_size(free_bytes)} free)")
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


def step_dir(run_dir: Path, step: int) -> Path:
    return run_dir / f"step-{step:06d}"


def step_of(folder: Path) -> int:
    """The step in a step folder's name."""
    match = STEP.fullmatch(folder.name)
    assert match, folder
    return int(match[1])


def steps(run_dir: Path) -> list[Path]:
    """Everything in run_dir with a step folder's name, highest step first whatever its dates say; unchecked."""
    found = [path for path in run_dir.iterdir() if STEP.fullmatch(path.name)] if run_dir.is_dir() else []
    return sorted(found, key=lambda path: (step_of(path), path.name), reverse=True)


def save(run_dir: Path, step: int, write: Callable[[Path], None], *, meta: dict[str, Any] | None = None) -> Path:
    """The durable step folder with the plain files that `write(folder)` made, and `meta` in its manifest.

    A folder of the same step is replaced, and put back if anything fails. A file whose fsync failed is never flushed again, because the
    kernel may drop its pages and report success the second time: everything is discarded. Raises SaveFailed for what a disk does.
    """
    final = step_dir(run_dir, step)
    _refuse_links(run_dir, final)
    tmp, old = atomic.aside(final, "tmp"), atomic.aside(final, "old")
    try:
        tmp.mkdir()
        write(tmp)
        seal(tmp, step, meta or {})
        if final.exists():
            atomic.rename(final, old)
        atomic.rename(tmp, final)
    except BaseException as error:
        needed_bytes = max(map(_folder_bytes, [tmp, *steps(run_dir)[:1]]))
        with suppress(OSError):
            if old.exists():
                atomic.rename(old, final)
        with suppress(OSError):  # what stays goes with the next sweep
            atomic.discard(tmp)
        if isinstance(error, OSError | SafetensorError):
            _raise_save_failed(error, final, needed_bytes)
        raise
    try:
        atomic.fsync_folder(run_dir)
    except OSError as error:  # whole, but perhaps not durable: not to be relied on, no reason to delete it
        _raise_save_failed(error, final, _folder_bytes(final))
    with suppress(OSError):
        atomic.discard(old)
    return final


def point(run_dir: Path, name: str, folder: Path) -> None:
    """Makes the file run_dir/`name` (latest or best) name a step folder of this run. Raises SaveFailed for what a disk does."""
    assert name in POINTERS, name
    _refuse_links(run_dir, run_dir / name)
    text = f"step-{step_of(folder):06d}\n"
    try:
        atomic.write_text(run_dir / name, text)
    except OSError as error:
        _raise_save_failed(error, run_dir / name, len(text))


def rotate(run_dir: Path, keep: int, protect: Iterable[Path] = ()) -> list[Path]:
    """Deletes all but the `keep` highest steps, the best, the latest and `protect`; the deleted ones, oldest first.

    Steps above `latest` are what a resumed run went back over: they neither count nor go, and `save` replaces them on its way. Raises
    SaveFailed for what a disk does.
    """
    assert keep >= 1, f"keep={keep}: a run without a checkpoint cannot be resumed"
    _refuse_links(run_dir)
    named = {name: pointed(run_dir, name) for name in POINTERS}
    latest = named["latest"]
    counted = [path for path in steps(run_dir) if not atomic.is_link(path) and (latest is None or step_of(path) <= step_of(latest))]
    spared = {path.name for path in (*counted[:keep], *filter(None, named.values()), *protect)}
    doomed = [path for path in reversed(counted) if path.name not in spared]
    for path in doomed:
        try:
            atomic.discard(path)
        except OSError as error:
            _raise_save_failed(error, path, 0)
    return doomed


def sweep(run_dir: Path) -> list[str]:
    """Removes what a killed process left half-written or half-deleted in run_dir, whose lock the caller holds; the names removed.

    A checkpoint that was set aside for one that never came takes its place again.
    """
    _refuse_links(run_dir)
    removed = []
    for path in sorted(run_dir.iterdir()) if run_dir.is_dir() else []:
        leftover = atomic.LEFTOVER.fullmatch(path.name)
        if not leftover:
            continue
        final = run_dir / leftover["name"]
        if leftover["kind"] == "old" and not final.exists():
            atomic.rename(path, final)
        else:
            atomic.discard(path)
            removed.append(path.name)
    return removed


def newest_good(run_dir: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that verifies and one line for each newer one that does not; (None, []) where there is none at all.

    Raises CheckpointError with every reason when all are damaged: a run never starts over silently.
    """
    _refuse_links(run_dir)
    refused: list[tuple[int, str]] = []
    for path in steps(run_dir):
        try:
            verify(path)
        except CheckpointError as error:
            refused.append((step_of(path), str(error)))
        else:
            return path, [f"{why}; using {path.name}, {step - step_of(path):,} steps will be repeated" for step, why in refused]
    if not refused:
        return None, []
    first = f"{run_dir}: none of its {len(refused)} checkpoints is whole; restore one from a copy, or start anew under another --run name"
    raise CheckpointError("\n    ".join([first, *(why for _, why in refused)]))


def resolve(path: Path | str) -> Path:
    """The folder that `path` means: a step folder, run/best, run/latest, a run (its best, else its latest), an adapter or a model folder.

    What we saved is verified, what another tool saved is only found. Raises CheckpointError that says what there is instead.
    """
    path = Path(path)
    if path.name in POINTERS and not path.is_dir():
        return _resolve_in_run(path.parent, (path.name,))
    if (STEP.fullmatch(path.name) and path.is_dir()) or (path / MANIFEST).exists():
        verify(path)
        return path
    if any((path / name).is_file() for name in MODEL_FILES):
        return path
    if steps(path):
        return _resolve_in_run(path, POINTERS)
    raise CheckpointError(f"{path}: {_what_is_there(path)}")


def require_space(folder: Path, *, copies: int, bytes_each: int) -> None:
    """Refuses a start whose checkpoints cannot all fit on the disk of `folder`, which need not exist yet."""
    free = _free_bytes(folder)
    if free < copies * bytes_each:
        raise CheckpointError(f"{folder}: needs {copies} x {_size(bytes_each)}, {_size(free)} free; free some, or lower checkpoint.keep")


def _resolve_in_run(run_dir: Path, names: tuple[str, ...]) -> Path:
    """The checkpoint that the first existing pointer of `names` means; the newest good one where `latest` was never written."""
    _refuse_links(run_dir)
    for name in names:
        named = pointed(run_dir, name)
        if named:
            verify(named)
            return named
    newest = newest_good(run_dir)[0] if "latest" in names else None
    if newest is None:
        raise CheckpointError(f"{run_dir / names[0]}: {_what_is_there(run_dir / names[0])}")
    return newest


def pointed(run_dir: Path, name: str) -> Path | None:
    """The step folder that run_dir/`name` names, unchecked; None where that file does not exist."""
    try:
        text = atomic.read_small(run_dir / name, 64).decode("ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise CheckpointError(f"{run_dir / name}: is not a short text file that names a step folder; delete it") from error
    if not STEP.fullmatch(text):
        raise CheckpointError(f"{run_dir / name}: names {text[:40]!a}; allowed is a step folder of this run such as step-000200; delete it")
    return run_dir / text


def _what_is_there(path: Path) -> str:
    """Why nothing was found at `path`, and at most three names that could have been meant."""
    if path.is_dir():
        return "holds no checkpoint, adapter or model; name a run, a step folder, or a folder with adapter_config.json or config.json"
    beside = sorted(entry.name for entry in path.parent.iterdir() if entry.name[0] != ".") if path.parent.is_dir() else []
    ours = [name for name in beside if STEP.fullmatch(name) or name in POINTERS]
    names = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.7) or ours[-3:]
    return "does not exist" + (f"; there is {', '.join(str(path.parent / name) for name in names)}" if names else "; check its spelling")


def _refuse_links(*paths: Path) -> None:
    for path in paths:
        if atomic.is_link(path):
            raise CheckpointError(f"{path}: is a link; it is neither followed nor replaced, use a folder of its own")


def _raise_save_failed(error: OSError | SafetensorError, place: Path, needed_bytes: int) -> NoReturn:
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number).lower() if number else str(error)
    raise SaveFailed(place, reason, needed_bytes=needed_bytes, free_bytes=_free_bytes(place)) from error


def _free_bytes(path: Path) -> int:
    """Of the disk that holds `path` or would hold it."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _folder_bytes(folder: Path) -> int:
    with suppress(OSError):
        return sum(path.lstat().st_size for path in folder.iterdir())
    return 0


def _size(count: int) -> str:
    """412.0 MB for 412 000 000."""
    scale, unit = next(((scale, unit) for scale, unit in ((10**9, "GB"), (10**6, "MB")) if count >= scale), (1000, "kB"))
    return f"{count / scale:,.1f} {unit}"
