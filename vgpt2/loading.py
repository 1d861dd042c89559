"""A folder on disk -> a model that answers: base, adapter folded in, tokenizer with the system prompt of its training.

    loaded = load(Path("checkpoints/sft/best"))
    generate(loaded.model, [loaded.tokenizer.prompt(messages)], ...)
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from vgpt2 import adapter_files, atomic, checkpoint, cpu_layout, lora, weights
from vgpt2.config import DEFAULT_SYSTEM
from vgpt2.hub import folder_of
from vgpt2.model import CausalLM
from vgpt2.tokenizer import ChatTokenizer

CONFIG_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode with its tokenizer; `fingerprints` name weights and template by hash, `dtype` the arithmetic."""

    model: CausalLM
    tokenizer: ChatTokenizer
    fingerprints: dict[str, str]
    dtype: str


def load(
    path: Path,
    *,
    adapter: Path | None = None,
    base: Path | None = None,
    system: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
) -> Loaded:
    """The model that `path` means (a model folder, a run, RUN/best, a step or adapter folder), an adapter merged into its base.

    dtype nf4 quantises the base and leaves the adapter on it, unmerged; so does auto for a run that was trained on such a base.
    `adapter` goes onto a model folder; `base` takes the place of the one that an adapter names. Without `system` the prompt is that of
    the run, else the default one; an empty text means none. Raises ValueError or OSError for what the user can mend.
    """
    folder = checkpoint.resolve(path)
    if is_adapter(folder):
        if adapter is not None:
            raise ValueError(f"{path}: is an adapter itself, and --adapter gives another; a model takes one")
        folder, adapter = base or base_of(folder), folder
    adapter = None if adapter is None else checkpoint.resolve(adapter)
    if system is None:
        system = system_of(adapter or folder)
    quantization = quantization_of(adapter) if adapter and dtype == "auto" else "nf4" if dtype == "nf4" else None
    where, number_type = device_and_dtype(device, "auto" if dtype == "nf4" else dtype)
    tokenizer = ChatTokenizer.load(folder, system=system or None)
    model = weights.load_model(folder, dtype=number_type, device=where, quantization=quantization)
    prints = {"model": sha256_of([folder / "config.json", *folder.glob("model*.safetensors")]), "template": tokenizer.fingerprint}
    if adapter is not None:
        adapter_files.load_adapter(model, adapter)
        if quantization is None:
            lora.merge_lora(model)
        prints["adapter"] = sha256_of([adapter / adapter_files.WEIGHTS_FILE])
    if where.type == "cpu" and quantization is None:
        cpu_layout.lay_out(model.model.layers)
    name = str(number_type).removeprefix("torch.")
    return Loaded(model.requires_grad_(False).eval(), tokenizer, prints, f"{quantization} in {name}" if quantization else name)


def is_adapter(folder: Path) -> bool:
    return (folder / adapter_files.CONFIG_FILE).is_file()


def base_of(adapter: Path) -> Path:
    """The base model that an adapter folder names, if it is here."""
    adapter_files.read_adapter_config(adapter)
    name = atomic.read_json_object(adapter / adapter_files.CONFIG_FILE, CONFIG_LIMIT_BYTES).get("base_model_name_or_path")
    try:
        found = folder_of(name) if isinstance(name, str) else None
    except ValueError:
        found = None
    if found is None or not found.is_dir():
        place = adapter / adapter_files.CONFIG_FILE
        raise ValueError(f"{place}: its base model '{str(name)[:80]}' is no folder here; give it with --base DIR")
    return found


def system_of(folder: Path) -> str:
    """The system prompt that the run of a step folder was trained with ('' for none); the default one for any other folder."""
    system = _run_config(folder, "data").get("system", DEFAULT_SYSTEM)
    return "" if system is None else str(system)


def quantization_of(folder: Path) -> Literal["nf4"] | None:
    """What the run of a step folder quantised its base to, if it did."""
    return "nf4" if _run_config(folder, "model").get("quantization") == "nf4" else None


def _run_config(folder: Path, part: str) -> dict[str, Any]:
    """One part of the config of the run that a step folder lies in, {} for any other folder."""
    record = folder.parent / "run.json"
    config = atomic.read_json_object(record, CONFIG_LIMIT_BYTES).get("config") if record.is_file() else None
    found = config.get(part) if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


def device_and_dtype(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """`auto` is the GPU where there is one, and bfloat16 where the device computes in it."""
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ValueError("device cuda: torch sees no GPU; choose cpu, or install the CUDA build of torch")
    chosen = torch.device("cuda" if device != "cpu" and has_cuda else "cpu")
    has_bfloat16 = chosen.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    name = {"auto": "bfloat16" if has_bfloat16 else "float32"}.get(dtype, dtype)
    return chosen, {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


def sha256_of(paths: Iterable[Path]) -> str:
    """One hash over files by their names and bytes, whatever their order and folder."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
