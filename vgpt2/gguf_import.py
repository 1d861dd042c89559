"""A GGUF of a Llama model into Hugging Face files: `python -m vgpt2.gguf_import FILE DIR`, run by vgpt2.embedded as a child.

The child caps its own memory and time before it opens the file, because sizes in a forged header are believed by the
reader. It reports `tensor DONE TOTAL` lines and one `facts {...}` line on stdout.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vgpt2.llama_folder import Shape, Vocabulary, write_jsons, write_safetensors

FILE_LIMIT = 2 << 30  # bytes
MAX_WEIGHTS = 10**9
MEMORY = 1 << 30  # bytes of address space beside twice the file (it is mapped); the largest tensor of the default takes 0.2 GB
SECONDS = 600  # of CPU time

NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
STRING, ARRAY = 8, 9  # GGUF's value types; the others by their width in bytes
SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
CONTROL = 3  # llama.cpp's token type of control tokens


def main(argv: Sequence[str]) -> int:
    gguf_path, folder = map(Path, argv)
    try:
        limit_this_process(gguf_path.stat().st_size)
        convert(gguf_path, folder)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def limit_this_process(file_bytes: int) -> None:
    """Caps address space and CPU time; Windows has no such limits, there the parent's clock stands alone."""
    if file_bytes > FILE_LIMIT:
        raise ValueError(f"holds {file_bytes} bytes; the limit is {FILE_LIMIT}")
    try:
        import resource
    except ImportError:
        return
    memory = MEMORY + 2 * file_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def convert(gguf_path: Path, folder: Path) -> None:
    """Writes config.json, the tokenizer's files and model.safetensors in fp32 into `folder`."""
    with open(gguf_path, "rb") as file:
        check_counts(file)
    from gguf import GGUFReader

    reader = GGUFReader(gguf_path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {hf_name(tensor.name): tensor for tensor in reader.tensors}
    if (total := sum(int(tensor.n_elements) for tensor in tensors.values())) > MAX_WEIGHTS:
        raise ValueError(f"declares {total} weights; the limit is {MAX_WEIGHTS}")
    shape, vocabulary = read_shape(fields), read_vocabulary(fields)
    write_jsons(folder, shape, vocabulary, tied="lm_head.weight" not in tensors)
    shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in tensors.items()}
    write_safetensors(folder / "model.safetensors", shapes, _dequantised(tensors, shape))
    facts = {
        "model": fields.get("general.name"),
        "licence": fields.get("general.license"),
        "tensors": dict(Counter(tensor.tensor_type.name for tensor in tensors.values())),
        "note": "weights were quantised (see tensors) and are dequantised here; results differ from the original model's",
    }
    print("facts", json.dumps(facts), flush=True)


def check_counts(file: BinaryIO) -> None:
    """Walks the header and refuses a count of keys, items, letters or tensors that the rest of the file cannot hold.

    The reader believes such counts: without this look, 49 bytes keep it busy until the memory limit stops it.
    """
    total = file.seek(0, os.SEEK_END)
    file.seek(0)

    def number(size: int) -> int:
        if len(read := file.read(size)) < size:
            raise ValueError("ends inside its header")
        return int.from_bytes(read, "little")

    def count(least_bytes: int) -> int:
        if (counted := number(8)) * least_bytes > total - file.tell():
            raise ValueError(f"declares {counted} items where {total - file.tell()} bytes are left")
        return counted

    def skip(kind: int, times: int) -> None:
        if kind in SCALAR_BYTES:
            if file.seek(SCALAR_BYTES[kind] * times, os.SEEK_CUR) > total:
                raise ValueError("ends inside its header")
        elif kind == STRING:
            for _ in range(times):
                file.seek(count(1), os.SEEK_CUR)
        else:
            raise ValueError(f"holds a value of unknown type {kind}")

    file.seek(8)  # magic and version are the reader's to judge
    tensors, keys = count(24), count(12)  # of at least so many bytes each
    for _ in range(keys):
        file.seek(count(1), os.SEEK_CUR)
        if (kind := number(4)) == ARRAY:
            skip(number(4), count(1))
        else:
            skip(kind, 1)
    for _ in range(tensors):
        file.seek(count(1), os.SEEK_CUR)
        file.seek(8 * min(number(4), 8) + 12, os.SEEK_CUR)  # sizes, type and offset


def read_shape(fields: Mapping[str, Any]) -> Shape:
    """The sizes in a GGUF's metadata; raises ValueError for another architecture or scaled rotary angles."""
    if (architecture := fields.get("general.architecture")) != "llama":
        raise ValueError(f"architecture {architecture!r} is not supported; only 'llama' is")
    if fields.get("llama.rope.scaling.type", "none") != "none":
        raise ValueError("scaled rotary angles are not supported in a GGUF; use the original Hugging Face folder")
    heads, width = int(_field(fields, "llama.attention.head_count")), int(_field(fields, "llama.embedding_length"))
    if heads < 1 or width % heads or fields.get("llama.rope.dimension_count", width // heads) != width // heads:
        raise ValueError(f"heads of {width}/{heads} features with partly rotated channels are not supported")
    return Shape(
        vocab_size=len(_field(fields, "tokenizer.ggml.tokens")),
        hidden_size=width,
        intermediate_size=int(_field(fields, "llama.feed_forward_length")),
        num_hidden_layers=int(_field(fields, "llama.block_count")),
        num_attention_heads=heads,
        num_key_value_heads=int(fields.get("llama.attention.head_count_kv", heads)),
        max_position_embeddings=int(_field(fields, "llama.context_length")),
        rms_norm_eps=_shortest(_field(fields, "llama.attention.layer_norm_rms_epsilon")),
        rope_theta=_shortest(fields.get("llama.rope.freq_base", 10_000.0)),
    )


def read_vocabulary(fields: Mapping[str, Any]) -> Vocabulary:
    """The byte-level BPE in a GGUF's metadata; raises ValueError for another kind of tokenizer."""
    kind = (fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre"))
    if kind != ("gpt2", "smollm"):
        raise ValueError(f"tokenizer {kind} is not supported; only byte-level BPE with single digits ('gpt2', 'smollm') is")
    tokens = _field(fields, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _field(fields, "tokenizer.ggml.merges")]
    if any(len(merge) != 2 for merge in merges):
        raise ValueError("a merge of the tokenizer does not have two parts")
    kinds = _field(fields, "tokenizer.ggml.token_type")
    return Vocabulary(
        tokens=tokens,
        merges=merges,
        special=[token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL],
        bos=tokens[_field(fields, "tokenizer.ggml.bos_token_id")],
        eos=tokens[_field(fields, "tokenizer.ggml.eos_token_id")],
        unk=tokens[fields.get("tokenizer.ggml.unknown_token_id", 0)],
        chat_template=_field(fields, "tokenizer.chat_template"),
    )


def hf_name(name: str) -> str:
    """Hugging Face's name of a GGUF tensor: blk.3.ffn_up.weight -> model.layers.3.mlp.up_proj.weight."""
    block = re.fullmatch(r"blk\.(\d{1,4})\.(.+)", name)
    inner = NAMES.get(block[2] if block else name)
    if inner is None:
        raise ValueError(f"tensor {name[:60]!r} has no place in a Llama model")
    return f"model.layers.{block[1]}.{inner}" if block else inner


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q_proj or k_proj from llama.cpp's order (pairs of rotated channels side by side) into halves of a head.

    weight (heads * Dh, D). Row 2i + j of a head goes to row j * Dh/2 + i.
    """
    pairs = weight.reshape(heads, -1, 2, weight.shape[-1])  # (H, Dh/2, 2, D)
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def _dequantised(tensors: Mapping[str, Any], shape: Shape) -> Iterator[tuple[str, np.ndarray]]:
    from gguf import dequantize

    heads = {"q_proj": shape.num_attention_heads, "k_proj": shape.num_key_value_heads}
    for done, (name, tensor) in enumerate(tensors.items(), start=1):
        weight = dequantize(tensor.data, tensor.tensor_type)
        projection = name.split(".")[-2]
        yield name, unpermute(weight, heads[projection]) if projection in heads else weight
        print("tensor", done, len(tensors), flush=True)


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise ValueError(f"metadata lack {name}")
    return fields[name]


def _shortest(value: float) -> float:
    """The decimal number that an fp32 was written for: 9.999999747e-06 -> 1e-05."""
    return float(str(np.float32(value)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
