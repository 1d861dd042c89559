"""A Hugging Face model folder -> one GGUF file for llama.cpp and Ollama, written tensor by tensor and read back.

    largest = write_gguf(Path("exports/sft"), Path("exports/sft.gguf"), kind="Q8_0")

Matrices are stored as F16, BF16 or Q8_0, vectors as F32. Names, row order and metadata are llama.cpp's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vgpt2 import atomic
from vgpt2.model_config import ModelConfig
from vgpt2.rope_scaling import Rope, inverse_frequencies, yarn_attention_factor
from vgpt2.weights import HEAD, check_folder, opened

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter

KINDS = ("F16", "BF16", "Q8_0")
TOKENIZER_LIMIT = 64 << 20  # bytes
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
# How llama.cpp calls the ways of cutting text before byte-level BPE: the patterns of tokenizer.json, ByteLevel's own for the last two.
SPLITS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "llama-bpe",
    "Digits": "smollm",
    "": "gpt-2",
}
FACTORS = "rope.freqs.weight"  # of no Hugging Face folder: in a GGUF Llama 3's rotary rule is a tensor
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's token types


def write_gguf(folder: Path, out: Path, *, kind: str) -> float:
    """Writes `out` whole or not at all; returns the largest |stored - original| of a weight, read back from the file.

    kind: of the matrices, see KINDS; rows whose width is no multiple of 32 stay F16 under Q8_0. Raises ValueError for a tokenizer or
    rotary rule that llama.cpp knows by no name of ours, and for a file that exists.
    """
    from gguf import GGUFWriter

    if out.exists():
        raise ValueError(f"{out}: exists already; remove it or choose another name")
    model, files = check_folder(folder)
    cfg = model.cfg
    shapes = {name: tuple(shape) for parts in files.values() for name, shape in parts.items()}
    if cfg.tie_word_embeddings:
        shapes.pop(HEAD, None)  # llama.cpp takes the embedding where there is no head
    if cfg.rope.rule == "llama3":
        shapes = {FACTORS: (cfg.head_dim // 2,)} | shapes
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = atomic.aside(out, "tmp")
    try:
        writer = GGUFWriter(staged, ARCHITECTURES[cfg.model_type])
        describe_model(writer, cfg, kind, name=folder.name)
        describe_tokenizer(writer, folder, cfg.vocab_size)
        for name, shape in shapes.items():
            _announce(writer, gguf_name(name, cfg), shape, stored_kind(shape, kind))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, weight in tensors(files, shapes, cfg):
            writer.write_tensor_data(_encoded(weight, stored_kind(weight.shape, kind)))
        writer.close()
        largest = largest_difference(staged, tensors(files, shapes, cfg), cfg)
        atomic.fsync_file(staged)
        atomic.rename(staged, out)
    except BaseException:
        atomic.discard(staged)
        raise
    atomic.fsync_folder(out.parent)
    return largest


def describe_model(writer: GGUFWriter, cfg: ModelConfig, kind: str, *, name: str) -> None:
    """Sizes, rotary rule and file type."""
    from gguf import GGML_QUANT_VERSION, LlamaFileType, RopeScalingType

    writer.add_name(name)
    writer.add_file_type(LlamaFileType[f"MOSTLY_{kind}"])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_vocab_size(cfg.vocab_size)
    writer.add_context_length(int(cfg.passengers.get("max_position_embeddings") or 2048))
    writer.add_embedding_length(cfg.hidden_size)
    writer.add_block_count(cfg.num_hidden_layers)
    writer.add_feed_forward_length(cfg.intermediate_size)
    writer.add_head_count(cfg.num_attention_heads)
    writer.add_head_count_kv(cfg.num_key_value_heads)
    writer.add_key_length(cfg.head_dim)
    writer.add_value_length(cfg.head_dim)
    writer.add_layer_norm_rms_eps(cfg.rms_norm_eps)
    writer.add_rope_freq_base(cfg.rope.theta)
    writer.add_rope_dimension_count(cfg.head_dim)
    rope = cfg.rope
    if rope.rule in ("linear", "yarn"):
        writer.add_rope_scaling_type(RopeScalingType[rope.rule.upper()])
        writer.add_rope_scaling_factor(rope.factor)
    if rope.rule == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope.original_length)
        plain = Rope("yarn", rope.theta, rope.factor, rope.original_length, attention_factor=yarn_attention_factor(rope.factor, 0, 0))
        if rope != plain:
            raise ValueError("rope_scaling yarn with betas or factors of its own is not written to a GGUF; its defaults are")


def describe_tokenizer(writer: GGUFWriter, folder: Path, vocab_size: int) -> None:
    """Tokens, types, merges, special ids and chat template of a byte-level BPE; ids without a token are filled up as unused."""
    path = folder / "tokenizer.json"
    files = (path, folder / "tokenizer_config.json")
    tokenizer, settings = (atomic.read_json_object(file, TOKENIZER_LIMIT) for file in files)
    model = tokenizer.get("model", {})
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise ValueError(f"{path}: is no byte-level BPE; only such tokenizers are written to a GGUF")
    added = {token["id"]: token for token in tokenizer.get("added_tokens", ())}
    names = {index: token for token, index in model["vocab"].items()} | {index: token["content"] for index, token in added.items()}
    kinds = {index: CONTROL if token["special"] else USER_DEFINED for index, token in added.items()}
    ids = range(vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split_name(tokenizer.get("pre_tokenizer"), path))
    writer.add_token_list([names.get(index, f"[PAD{index}]") for index in ids])
    writer.add_token_types([kinds.get(index, NORMAL) if index in names else UNUSED for index in ids])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    by_name = {name: index for index, name in names.items()}
    adders = {"bos_token": writer.add_bos_token_id, "eos_token": writer.add_eos_token_id, "pad_token": writer.add_pad_token_id}
    for key, add in adders.items():
        token = settings.get(key)
        content = token.get("content") if isinstance(token, dict) else token
        if content in by_name:
            add(by_name[content])
    writer.add_add_bos_token(False)  # the chat template writes it where it belongs
    template = folder / "chat_template.jinja"
    text = template.read_text("utf-8") if template.is_file() else settings.get("chat_template")
    if isinstance(text, str):
        writer.add_chat_template(text)


def split_name(pre_tokenizer: Any, path: Path) -> str:
    """llama.cpp's name of the way in which tokenizer.json cuts text before the merges."""
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer] if pre_tokenizer else [])
    kinds = [step["type"] for step in steps]
    pattern = None
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        pattern = ""
    elif kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1].get("use_regex", True):
        pattern = "Digits"
    elif kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        pattern = steps[0]["pattern"].get("Regex")
    if pattern not in SPLITS:
        raise ValueError(f"{path}: cuts text in a way ({', '.join(kinds) or 'none'}) that has no name in llama.cpp known here")
    return SPLITS[pattern]


def gguf_name(name: str, cfg: ModelConfig) -> str:
    """llama.cpp's name of a Hugging Face tensor: model.layers.3.mlp.up_proj.weight -> blk.3.ffn_up.weight."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    architecture = MODEL_ARCH[ARCHITECTURES[cfg.model_type].upper()]
    found = get_tensor_name_map(architecture, cfg.num_hidden_layers).get_name(name, try_suffixes=(".weight", ".bias"))
    if found is None:
        raise ValueError(f"tensor {name} has no place in a GGUF of {cfg.model_type}")
    return found


def stored_kind(shape: tuple[int, ...], kind: str) -> GGMLQuantizationType:
    """Vectors are F32; matrices `kind`, but F16 where Q8_0's blocks of 32 do not fit a row."""
    from gguf import GGMLQuantizationType

    if len(shape) < 2:
        return GGMLQuantizationType.F32
    return GGMLQuantizationType["F16" if kind == "Q8_0" and shape[-1] % 32 else kind]


def tensors(
    files: Mapping[Path, Mapping[str, Any]], shapes: Mapping[str, tuple[int, ...]], cfg: ModelConfig
) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor of `shapes` in fp32, one at a time; q and k of a Llama in llama.cpp's row order."""
    if FACTORS in shapes:
        yield FACTORS, (inverse_frequencies(Rope(theta=cfg.rope.theta), cfg.head_dim) / inverse_frequencies(cfg.rope, cfg.head_dim)).numpy()
    heads = {"q_proj": cfg.num_attention_heads, "k_proj": cfg.num_key_value_heads}
    is_llama = ARCHITECTURES[cfg.model_type] == "llama"
    for path, parts in files.items():
        with opened(path) as file:
            for name in parts:
                if name not in shapes:
                    continue
                weight = file.get_tensor(name).to(torch.float32).numpy()
                projection = re.search(r"([qk]_proj)\.", name)
                yield name, permute(weight, heads[projection[1]]) if is_llama and projection else weight


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows (or entries of a bias) of q_proj or k_proj from halves of a head into llama.cpp's order: rotated pairs side by side."""
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])  # (H, 2, Dh/2, ...)
    return halves.swapaxes(1, 2).reshape(weight.shape)


def largest_difference(path: Path, originals: Iterator[tuple[str, np.ndarray]], cfg: ModelConfig) -> float:
    """max |stored - original| over all tensors; raises ValueError where one is missing or extra."""
    import numpy as np
    from gguf import GGUFReader, dequantize

    stored = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    largest = 0.0
    for name, original in originals:
        tensor = stored.pop(gguf_name(name, cfg))
        largest = max(largest, float(np.abs(dequantize(tensor.data, tensor.tensor_type).reshape(original.shape) - original).max()))
    assert not stored, f"tensors that nobody wrote: {sorted(stored)[:3]}"
    return largest


def _announce(writer: GGUFWriter, name: str, shape: tuple[int, ...], kind: GGMLQuantizationType) -> None:
    import numpy as np
    from gguf import quant_shape_to_byte_shape

    in_bytes = quant_shape_to_byte_shape(shape, kind)
    writer.add_tensor_info(name, in_bytes, np.dtype(np.uint8), int(np.prod(in_bytes)), raw_dtype=kind)


def _encoded(weight: np.ndarray, kind: GGMLQuantizationType) -> np.ndarray:
    from gguf.quants import quantize

    return quantize(weight, kind)

