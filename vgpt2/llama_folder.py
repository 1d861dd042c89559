"""Writing a Llama model folder with a byte-level BPE tokenizer from plain values and numpy arrays. Imports no torch.

SmolLM2's conventions: digits stand alone before byte-level splitting, and end-of-turn is the end token.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgpt2.atomic import write_text

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama decoder without biases and with a tied head."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their ids, merges as (left, right) in the order of their rank, and the chat's own ids."""

    tokens: Sequence[str]
    merges: Sequence[tuple[str, str]]
    special: Sequence[str]  # encoded only where the template writes them
    bos: str
    eos: str
    unk: str
    chat_template: str


def write_jsons(folder: Path, shape: Shape, vocabulary: Vocabulary, *, tied: bool = True) -> None:
    """config.json, tokenizer.json, tokenizer_config.json and generation_config.json of a model in fp32."""
    files = {
        "config.json": model_config(shape, vocabulary, tied=tied),
        "tokenizer.json": tokenizer_json(vocabulary),
        "tokenizer_config.json": tokenizer_config(vocabulary, max_length=shape.max_position_embeddings),
        "generation_config.json": _special_ids(vocabulary),
    }
    for name, content in files.items():
        write_text(folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], tensors: Iterable[tuple[str, np.ndarray]]) -> None:
    """An fp32 safetensors file from tensors that come one at a time, in the order of `shapes`, so that memory holds one only.

    Layout: eight bytes of header length, the header in JSON padded to eight bytes, then the numbers, little-endian.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for (expected, shape), (name, tensor) in zip(shapes.items(), tensors, strict=True):
            assert (name, tensor.shape) == (expected, shape)
            file.write(tensor.astype("<f4", order="C", copy=False).data)
        file.flush()
        os.fsync(file.fileno())


def model_config(shape: Shape, vocabulary: Vocabulary, *, tied: bool = True) -> dict[str, Any]:
    """config.json of fp32 weights."""
    ids = _special_ids(vocabulary)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float32",
        **vars(shape),
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "initializer_range": 0.02,
        **ids,
    }


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """tokenizer.json of Hugging Face's `tokenizers`."""
    index = {token: i for i, token in enumerate(vocabulary.tokens)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index[token],
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token in vocabulary.special
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": index,
            "merges": [list(merge) for merge in vocabulary.merges],
        },
    }


def tokenizer_config(vocabulary: Vocabulary, *, max_length: int) -> dict[str, Any]:
    """tokenizer_config.json: the class that takes tokenizer.json as it stands, and the chat template."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": vocabulary.bos,
        "eos_token": vocabulary.eos,
        "pad_token": vocabulary.eos,
        "unk_token": vocabulary.unk,
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        "chat_template": vocabulary.chat_template,
    }


def _special_ids(vocabulary: Vocabulary) -> dict[str, int]:
    index = {token: vocabulary.tokens.index(token) for token in (vocabulary.bos, vocabulary.eos)}
    return {"bos_token_id": index[vocabulary.bos], "eos_token_id": index[vocabulary.eos], "pad_token_id": index[vocabulary.eos]}
