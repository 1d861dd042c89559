"""What can be refused before torch is imported and a weight is read: names, files, folders, audits. No torch."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from vgpt2.config import TrainConfig
from vgpt2.hub import folder_of
from vgpt2.registry import sources

CONFIG_HEAD = "# the resolved config of this run, written by python -m vgpt2.train"
AUDIT_VERSION = 2  # raised when the audit's rules grow: an older verdict vouches for less
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Windows opens these as devices, whatever their ending
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def run_folder(cfg: TrainConfig) -> Path:
    return Path(cfg.output) / (cfg.run or cfg.stage)


def mistakes(cfg: TrainConfig, *, resume: bool, preview: bool = False) -> list[str]:
    """Every mistake that the file system shows, a line each; a preview needs neither a free run folder nor an audit."""
    run = [] if preview else [*_run(cfg, resume), *_adapter(cfg)]
    return [*run, *_model(cfg.model.path), *_data(cfg, audited=cfg.data.require_audit and not preview)]


def data_files(cfg: TrainConfig) -> list[Path]:
    """The files that `data.train` and `data.validation` name, registry names resolved, in order and once each."""
    names = list(cfg.data.train) + ([cfg.data.validation] if isinstance(cfg.data.validation, str) else [])
    registry, weights, caps = Path(cfg.data.registry), cfg.data.weights, cfg.data.caps
    return list(dict.fromkeys(source.path for source in sources(names, registry, weights=weights, caps=caps)))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(cfg: TrainConfig, resume: bool) -> list[str]:
    name = cfg.run or cfg.stage
    if not RUN_NAME.fullmatch(name) or RESERVED.fullmatch(name):
        return [f"--run {name[:80]!r}: not a run name; allowed is {RUN_NAME.pattern}, and no device name of Windows"]
    folder = run_folder(cfg)
    for parent in (folder, *folder.parents):
        if parent.exists() and not parent.is_dir():
            return [f"{folder}: {parent} is a file; give another folder with --set output=DIR"]
    if folder.is_symlink():
        return [f"{folder}: is a symbolic link; a run folder must be a real one, so move the link or choose --run NAME"]
    nearest = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    if not os.access(nearest, os.W_OK):
        return [f"{folder}: {nearest} is read-only; give another folder with --set output=DIR"]
    started = (folder / "run.json").exists()
    if started and not resume:
        return [f"{folder}: this run exists; go on with --resume, or choose another name with --run NAME"]
    if resume and not started:
        return [f"{folder}: no run to resume; start it without --resume"]
    if folder.is_dir() and not started and not all(map(_is_of_a_start, folder.iterdir())):
        return [f"{folder}: not empty and not a run of ours; choose another name with --run NAME"]
    return []


def _is_of_a_start(entry: Path) -> bool:
    """Whether a run that was killed before its first step may have left this file: the same command then starts again."""
    if entry.name == "config.yaml" and entry.is_file():
        with entry.open("rb") as file:
            return file.read(len(CONFIG_HEAD)) == CONFIG_HEAD.encode()
    return entry.name.startswith(".") or entry.name == "run.lock"


def _model(path: str) -> list[str]:
    try:
        folder = folder_of(path)
    except ValueError as error:
        return [f"model.path: {error}"]
    if not folder.is_dir():
        cure = "python -m vgpt2.embedded" if "smollm2-135m" in folder.name else "put the folder there, or --set model.path=DIR"
        return [f"model.path: {folder} is no folder; {cure}"]
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        return [f"model.path: {folder} holds no {' and no '.join(missing)}; it must be a Hugging Face model folder"]
    if not any(folder.glob("*.safetensors")):
        return [f"model.path: {folder} holds no *.safetensors; weights in other formats are not read"]
    return []


def _adapter(cfg: TrainConfig) -> list[str]:
    if cfg.init_adapter is None:
        return []
    if cfg.lora is None:
        return ["init_adapter: given, but lora is null; merge the adapter first: python -m vgpt2.export --checkpoint DIR --merge OUT"]
    if not Path(cfg.init_adapter).exists():
        return [f"init_adapter: {cfg.init_adapter} does not exist; train it first, or name its run folder, step folder or RUN/best"]
    return []


def _data(cfg: TrainConfig, *, audited: bool) -> list[str]:
    if not cfg.data.train:
        return ["data.train: names no file; for example --set data.train=[data/sft/train.jsonl]"]
    try:
        files = data_files(cfg)
    except ValueError as error:
        return [f"data.train: {error}"]
    errors = []
    for path in files:
        if not path.is_file():
            errors.append(f"{path}: is no file; give a .jsonl, .json or .parquet file")
        elif path.stat().st_size == 0:
            errors.append(f"{path}: is empty; it needs at least one row")
        elif audited and (mistake := audit_mistake(path)):
            errors.append(mistake)
    return errors


def audit_mistake(path: Path) -> str | None:
    """Why the file's manifest does not prove a passed audit of these very bytes, if so."""
    manifest = path.with_name(path.name + ".manifest.json")
    cure = f"python -m vgpt2.datagen audit {path}, or --set data.require_audit=false"
    if not manifest.is_file():
        return f"{path}: no audit stands beside it; {cure}"
    try:
        found: dict[str, Any] = json.loads(manifest.read_text("utf-8"))
    except (ValueError, RecursionError):
        return f"{manifest}: not JSON; {cure}"
    audit = (found.get("audit") if isinstance(found, dict) else None) or {}
    if not audit.get("passed"):
        return f"{path}: its audit has not passed; {cure}"
    if audit.get("version") != AUDIT_VERSION:
        return f"{path}: its audit is of version {audit.get('version')}, and this version asks for {AUDIT_VERSION}; {cure}"
    if audit.get("sha256") != sha256_of(path):
        return f"{path}: changed since its audit; {cure}"
    return None
