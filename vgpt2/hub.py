"""Models by hub name, as Qwen/Qwen2.5-7B-Instruct: found in the local cache of the hub's tools, never fetched."""

import os
import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"\w+")


def folder_of(name: str | Path) -> Path:
    """The folder that a path or a hub name means; a path that does not exist is returned as it is.

    Raises ValueError for a hub name that is not in the cache, with the command that fetches it.
    """
    path = Path(name)
    text = path.as_posix()
    if path.exists() or not _NAME.fullmatch(text) or path.parent.exists():
        return path
    model = _cache() / f"models--{text.replace('/', '--')}"
    reference = model / "refs" / "main"
    revision = reference.read_text("utf-8").strip() if reference.is_file() else ""
    snapshot = model / "snapshots" / revision
    if _REVISION.fullmatch(revision) and snapshot.is_dir():
        return snapshot
    raise ValueError(f"{text}: is no folder here and not in the hub's cache; fetch it with hf download {text}, or give a model folder")


def _cache() -> Path:
    if "HF_HUB_CACHE" in os.environ:
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "huggingface") / "hub"
