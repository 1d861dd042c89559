"""run.json: what a run was started with, so that it can be repeated, and refused when something under it changed."""

import json
import platform
import secrets
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vgpt2 import __version__, atomic, checkpoint
from vgpt2.config import TrainConfig
from vgpt2.configfile import flat
from vgpt2.preflight import data_files, sha256_of

# keys that change what is shown or kept, not what is learned
FREE_KEYS = frozenset(
    {
        "run",
        "output",
        "log_every",
        "nonfinite_limit",
        "data.workers",
        "data.cache",
        "data.cache_gib",
        "data.require_audit",
        "checkpoint.save_every",
        "checkpoint.keep",
        "checkpoint.patience",
    }
)
# keys that change what memory a step takes, and with it perhaps the last bits of its sums, but not what is computed
MEMORY_KEYS = frozenset({"batch.micro_batch_tokens", "model.gradient_checkpointing", "model.offload_checkpoints", "optim.paged"})
FORMAT = 1
RECORD, SUMMARY = "run.json", "summary.json"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "sqlparse")


def describe(cfg: TrainConfig, *, rows: dict[str, int], tokenizer: str, device: torch.device) -> dict[str, Any]:
    """The record of a run that starts here; paths as the user gave them."""
    return {
        "format": FORMAT,
        "id": secrets.token_hex(8),
        "vgpt2": __version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["python", "-m", "vgpt2.train", *sys.argv[1:]],
        "config": cfg.model_dump(mode="json"),
        "seed": cfg.seed,
        "rows": rows,
        "fingerprints": {
            "model": model_fingerprint(Path(cfg.model.path)),
            "tokenizer, template and system prompt": tokenizer,
            **{path.as_posix(): sha256_of(path) for path in data_files(cfg)},
        },
        "lineage": lineage(cfg.init_adapter),
        "resumed": [],
        "environment": environment(device),
    }


def lineage(init_adapter: str | None) -> list[dict[str, Any]]:
    """The runs whose adapter this one goes on from, oldest first; the adapter's own hash is what counts."""
    if init_adapter is None:
        return []
    folder = checkpoint.resolve(init_adapter)
    adapter = {"adapter": folder.as_posix(), "sha256": sha256_of(folder / "adapter_model.safetensors")}
    if not (folder.parent / RECORD).is_file():
        return [adapter]
    parent = read(folder.parent)
    return [*parent["lineage"], adapter | {"stage": parent["config"]["stage"], "vgpt2": parent["vgpt2"]}]


def model_fingerprint(folder: Path) -> str:
    """sha256 over the config's and the weights' own hashes: other weights, other fingerprint."""
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return " ".join(sha256_of(path)[:16] for path in files)


def environment(device: torch.device) -> dict[str, Any]:
    """What bit-exactness depends on beside the record's other parts."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "system": platform.system(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def write(folder: Path, record: dict[str, Any]) -> None:
    atomic.write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")


def note_resumption(folder: Path, *, step: int) -> None:
    """Adds one to the times that the run went on after an interruption, with the step that it went on from."""
    record = read(folder)
    record["resumed"].append({"step": step, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    write(folder, record)


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """The last file of a run: where it stands and every planned step is done, nothing is left to do."""
    atomic.write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")


def read_summary(folder: Path) -> dict[str, Any]:
    return _read_json(folder / SUMMARY)


def read(folder: Path) -> dict[str, Any]:
    record = _read_json(folder / RECORD)
    if record.get("format") != FORMAT:
        raise ValueError(f"{folder / RECORD}: format {record.get('format')!r}; this version reads {FORMAT}")
    return record


def differences(before: dict[str, Any], now: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(what forbids going on, what may change the bits), one line `name: before -> now` each."""
    old, new = flat(before["config"]), flat(now["config"])
    changed = {
        key: f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if key not in FREE_KEYS and old.get(key) != new.get(key)
    }
    forbids = [line for key, line in changed.items() if key not in MEMORY_KEYS]
    forbids += _changed(before["fingerprints"], now["fingerprints"], 12)
    forbids += _changed(before["rows"], now["rows"], 12)
    warns = [line for key, line in changed.items() if key in MEMORY_KEYS]
    return forbids, warns + _changed(before["environment"], now["environment"], 40)


def _changed(before: dict[str, Any], now: dict[str, Any], width: int) -> list[str]:
    keys = sorted(before.keys() | now.keys())
    return [f"{key}: {str(before.get(key))[:width]} -> {str(now.get(key))[:width]}" for key in keys if before.get(key) != now.get(key)]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read ({type(error).__name__}); restore it, or start anew with --run NAME") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: is not a JSON object; restore it, or start anew with --run NAME")
    return data
