"""Hugging Face model folders in and out: config.json beside one safetensors file or several. Nothing is ever unpickled.

Names and shapes are checked both ways before a byte of weights is read, and tensors are converted one at a time.
"""

from __future__ import annotations

import glob
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vgpt2.atomic import (
    NotRegularError,
    aside,
    discard,
    fsync_file,
    fsync_folder,
    open_regular,
    read_small,
    rename,
    write_bytes,
    write_text,
)
from vgpt2.model import CausalLM
from vgpt2.model_config import ModelConfig
from vgpt2.qlora import empty_nf4

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "tokenizer.model", "chat_template.jinja", "generation_config.json",
)  # fmt: skip
JSON_LIMIT, TOKENIZER_LIMIT = 16 << 20, 256 << 20  # bytes
MAX_SHARD_BYTES = 5 * 10**9
ABANDONED_S = 3600
FLOATS = ("F64", "F32", "F16", "BF16")


def load_model(
    folder: Path | str, *, dtype: torch.dtype, device: torch.device | str, quantization: Literal["nf4"] | None = None
) -> CausalLM:
    """The model in a Hugging Face folder, all weights in `dtype` on `device`, trainable and in training mode.

    quantization: the decoder's matrices become frozen NF4 as they are read. Peak memory is the model plus one tensor, and the pages of
    the open file, which the system takes back when it wants them. Raises ValueError naming what is missing, unexpected or misshapen.
    """
    folder = Path(folder)
    model, files = check_folder(folder)
    quantised = empty_nf4(model) if quantization else {}
    weights: dict[str, Tensor] = {}
    for path, shapes in files.items():
        with opened(path) as tensors:
            for name in shapes:
                # A copy even where nothing is converted: a mapped file that changes later would change the weights.
                weight = tensors.get_tensor(name).to(device=device, dtype=dtype, copy=True)
                if name in quantised:
                    quantised[name].store(weight, name)
                else:
                    weights[name] = weight
    if model.cfg.tie_word_embeddings and not weights.setdefault(HEAD, weights[EMBEDDING]).equal(weights[EMBEDDING]):
        raise ValueError(f"{folder}: {HEAD} differs from the embedding, yet tie_word_embeddings is true; set it to false in {CONFIG}")
    model.load_state_dict(weights, assign=True)
    if model.cfg.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model


def check_folder(folder: Path | str) -> tuple[CausalLM, dict[Path, dict[str, list[int]]]]:
    """The model on the meta device and the shapes in each weight file, once config and weights are known to agree.

    Reads headers only. Raises ValueError as load_model does.
    """
    folder = Path(folder)
    with torch.device("meta"):
        model = CausalLM(read_config(folder))
    files = _weight_files(folder)
    _check_names(folder, model, files)
    return model, files


def read_config(folder: Path | str) -> ModelConfig:
    """The checked config.json of a model folder; no weights are opened."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such model folder")
    path = folder / CONFIG
    return ModelConfig.from_hf(_read_json(path), str(path))


def save_model(
    model: CausalLM, folder: Path | str, *, tokenizer_from: Path | str | None = None, max_shard_bytes: int = MAX_SHARD_BYTES
) -> None:
    """Writes a Hugging Face folder that plain transformers loads; every file is flushed to the disk.

    Files larger than `max_shard_bytes` are split at tensor borders. `tokenizer_from` names the folder whose tokenizer files
    come along. The folder is made if need be, its own files are overwritten: wrap the call in `staged_folder` to be atomic.
    """
    folder, state = Path(folder), model.state_dict()
    with torch.device("meta"):
        if state.keys() != CausalLM(model.cfg).state_dict().keys():
            raise ValueError(f"{folder}: the model has other modules than its config says; merge the adapter first")
    folder.mkdir(parents=True, exist_ok=True)
    if model.cfg.tie_word_embeddings:
        del state[HEAD]
    dtype = str(state[EMBEDDING].dtype).removeprefix("torch.")
    write_text(folder / CONFIG, json.dumps(model.cfg.to_hf(dtype), indent=2) + "\n")
    shards = _shards(state, max_shard_bytes)
    files = [SINGLE] if len(shards) == 1 else [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for file, names in zip(files, shards):
        save_file({name: state[name].cpu().contiguous() for name in names}, folder / file, metadata={"format": "pt"})
        shutil.copymode(folder / CONFIG, folder / file)  # the library makes it readable by its owner alone
        fsync_file(folder / file)
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(tensor.nbytes for tensor in state.values())},
            "weight_map": {name: file for file, names in zip(files, shards) for name in names},
        }
        write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")
    if tokenizer_from is not None:
        _copy_tokenizer(Path(tokenizer_from), folder)
    fsync_folder(folder)


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """A hidden empty folder beside `folder` that takes its name when the block ends well and vanishes when it does not.

    What a killed process left half-written for the same folder an hour ago or more is removed first.
    Raises ValueError where `folder` exists and holds anything.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise ValueError(f"{folder}: exists already; remove it or choose another place")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp"):
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            discard(left)
    tmp = aside(folder, "tmp")
    tmp.mkdir()
    try:
        yield tmp
        if folder.exists():
            folder.rmdir()
        rename(tmp, folder)
    except BaseException:
        discard(tmp)
        raise
    fsync_folder(folder.parent)


def check_finite(model: torch.nn.Module) -> None:
    """Raises ValueError naming the first parameter that holds NaN or an infinity."""
    for name, parameter in model.named_parameters():
        low, high = parameter.detach().aminmax()  # NaN comes through both, and no mask of the tensor's size is made
        if not (low.isfinite() and high.isfinite()):  # sync
            raise ValueError(f"{name}: holds NaN or infinite weights; the file is damaged or overflowed in {parameter.dtype}")


def _weight_files(folder: Path) -> dict[Path, dict[str, list[int]]]:
    """The shapes of the weights in each safetensors file of the folder, from the files' headers."""
    if (folder / SINGLE).exists():
        return {folder / SINGLE: _header(folder / SINGLE)}
    if not (folder / INDEX).exists():
        if pickled := sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in folder.glob(kind)):
            raise ValueError(f"{folder}: holds {pickled[0]}, a pickle that could run code when read; convert it to {SINGLE}")
        raise ValueError(f"{folder}: holds neither {SINGLE} nor {INDEX}")
    index = _read_json(folder / INDEX)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{folder / INDEX}: has no 'weight_map' from names to files")
    files: dict[Path, dict[str, list[int]]] = {}
    for file in sorted({str(file) for file in weight_map.values()}):
        if Path(file).name != file or "\\" in file or not file.endswith(".safetensors"):
            raise ValueError(f"{folder / INDEX}: {file!r} is not the name of a safetensors file in this folder")
        shapes = files[folder / file] = _header(folder / file)
        if lost := [name for name, home in weight_map.items() if home == file and name not in shapes and not _is_legacy(name)]:
            raise ValueError(f"{folder / file}: lacks {_some(lost)}, which {INDEX} places there")
    return files


def _check_names(folder: Path, model: CausalLM, files: dict[Path, dict[str, list[int]]]) -> None:
    """Raises ValueError where the weights in `files` are not exactly those of `model`; a tied head may be absent."""
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    found = [(name, shape) for shapes in files.values() for name, shape in shapes.items()]
    names = {name for name, _ in found}
    optional = {HEAD} if model.cfg.tie_word_embeddings else set()
    if missing := [name for name in expected if name not in names | optional]:
        raise ValueError(f"{folder}: weights lack {_some(missing)}; {CONFIG} asks for them")
    if unexpected := [name for name, _ in found if name not in expected]:
        raise ValueError(f"{folder}: weights hold {_some(unexpected)}; {CONFIG} has no place for them")
    if wrong := [f"{name} {shape} not {expected[name]}" for name, shape in found if shape != expected[name]]:
        raise ValueError(f"{folder}: shapes disagree with {CONFIG}: {_some(wrong, shown=2)}")
    if len(found) > len(names):
        raise ValueError(f"{folder}: a weight stands in two files; one of them is left over from another save")


def _header(path: Path) -> dict[str, list[int]]:
    shapes = {}
    with opened(path) as tensors:
        for name in tensors.keys():  # noqa: SIM118 - not a mapping
            piece = tensors.get_slice(name)
            if piece.get_dtype() not in FLOATS:
                raise ValueError(f"{path}: {name} is stored as {piece.get_dtype()}; only {', '.join(FLOATS)} are read")
            if not _is_legacy(name):
                shapes[name] = list(piece.get_shape())
    return shapes


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The safetensors file at `path`; links are followed, as hub caches are made of them."""
    try:
        real = path.resolve(strict=True)
        open_regular(real).close()  # a FIFO would make the library wait for ever
        with safe_open(real, framework="pt") as tensors:
            yield tensors
    except (FileNotFoundError, NotRegularError):
        raise ValueError(f"{path}: is not there or not a plain file") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: is damaged ({str(error)[:80]}); fetch or copy it again") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_small(path.resolve(strict=True), JSON_LIMIT))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested too deeply for a model's JSON") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not JSON ({error})") from None


def _shards(state: dict[str, Tensor], max_bytes: int) -> list[list[str]]:
    """Names in order, cut so that each part holds at most `max_bytes` (a larger tensor stands alone)."""
    shards: list[list[str]] = [[]]
    room = max_bytes
    for name, tensor in state.items():
        if tensor.nbytes > room and shards[-1]:
            shards.append([])
            room = max_bytes
        shards[-1].append(name)
        room -= tensor.nbytes
    return shards


def _copy_tokenizer(source: Path, target: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).exists():
            write_bytes(target / name, read_small((source / name).resolve(), TOKENIZER_LIMIT))


def _is_legacy(name: str) -> bool:
    """Tables that early Llama checkpoints carry beside the weights; they follow from config.json."""
    return name.endswith(".rotary_emb.inv_freq")


def _some(items: list[str], shown: int = 3) -> str:
    return ", ".join(items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")
