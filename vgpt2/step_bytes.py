"""What a training step holds in GPU memory, counted from shapes: weights, what layers keep, what comes and goes beside it.

A layer that is not recomputed keeps x, q, k, v, attention's result, x + attention, gate, up and two x A^T; a recomputed one keeps x.
D hidden, I feed-forward, H heads, T tokens, S scored ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kernels.linear_logps import CHUNK, TILE_CPU, TILE_CUDA
from vgpt2.config import LoRAConfig
from vgpt2.model_config import ModelConfig
from vgpt2.targets import EMBEDDING, HEAD, is_adapted, rank_of, trained_whole
from vgpt2.tensor_adamw import BLOCK, SLICE

GIB = 2**30
FLOAT = 4  # bytes of a float32
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)  # with double quantisation: a byte for 64 weights, a float32 for 256 of those


@dataclass(frozen=True)
class Setup:
    """Shapes and what else decides the bytes. lora None: every weight is trained, in float32 under autocast."""

    model: ModelConfig
    lora: LoRAConfig | None
    compute: int  # bytes of a number in the matmuls: 2 or 4
    nf4: bool = False  # the layers' frozen matrices
    eight_bit_moments: bool = False
    paged: bool = False  # their codes lie in the host's memory, the scales on the card
    in_backward: bool = False  # every weight is trained in the matmuls' precision and steps as soon as its gradient is there
    on_cuda: bool = True
    offload: bool = False  # inputs of recomputed layers lie in the host's memory

    @property
    def residual(self) -> int:
        """Bytes of a weight that is not quantised, and so of a number of the residual stream, which the embedding begins."""
        return self.compute if self.lora or self.in_backward else FLOAT

    def trains(self, end: str) -> bool:
        """Whether the embedding or the head is trained."""
        return self.lora is None or any(name.endswith(end) for name in whole_counts(self.model, self.lora))


@dataclass(frozen=True)
class MicroBatch:
    """Tokens of one forward and backward: stored, with a label, and seen as keys (a shared prompt is seen more than once)."""

    tokens: int
    scored: int
    keys: int


def fixed_bytes(setup: Setup) -> dict[str, int]:
    """What is there for the whole run: weights, what is trained, its gradient and of AdamW's two moments what is not paged."""
    weights, matrices = weight_count(setup.model), matrix_count(setup.model)
    moment = (0 if setup.paged else 1) + FLOAT / BLOCK if setup.eight_bit_moments else FLOAT
    if setup.lora is None:
        gradients = {} if setup.in_backward else {"gradients": FLOAT * weights}
        return {"weights": setup.residual * weights} | gradients | {"moments": int(2 * moment * weights)}
    adapters, whole = adapter_count(setup.model, setup.lora), sum(whole_counts(setup.model, setup.lora).values())
    trained = adapters + whole
    frozen = setup.compute * (weights - whole)
    if setup.nf4:
        buffer = setup.compute * setup.model.hidden_size * setup.model.intermediate_size  # one matrix at a time, dequantised
        frozen = setup.compute * (weights - whole - matrices) + int(matrices * NF4_BITS / 8) + buffer
    rows = {"weights": frozen, "adapters": FLOAT * adapters} | ({"trained whole": FLOAT * whole} if whole else {})
    return rows | {"gradients": FLOAT * trained, "moments": int(2 * moment * trained)}


def paged_bytes(setup: Setup) -> int:
    """The host's, of moments that are paged: a byte each."""
    lora = setup.lora
    trained = adapter_count(setup.model, lora) + sum(whole_counts(setup.model, lora).values()) if lora else weight_count(setup.model)
    return 2 * trained if setup.paged else 0


def layer_bytes(setup: Setup, batch: MicroBatch, index: int) -> int:
    """What layer `index` keeps for its backward pass when it is not recomputed, its input included."""
    m, a = setup.model, setup.compute
    q, kv = m.num_attention_heads * m.head_dim, m.num_key_value_heads * m.head_dim
    residuals = 2 * setup.residual * m.hidden_size
    attention = 2 * a * q + FLOAT * m.num_attention_heads + (a * (q + kv) if m.qk_norm else 0)  # q, result, log-sums
    token = residuals + attention + 2 * a * m.intermediate_size
    keys = 2 * a * kv
    if setup.lora is None:
        return batch.tokens * token + batch.keys * keys
    ranks = {name: (rank_of(name, setup.lora), *shape) for name, shape in linear_shapes(m, index) if is_adapted(name, setup.lora)}
    outputs = sum(out for _, _, out in ranks.values()) if setup.lora.use_dora else 0
    token += a * outputs  # DoRA's, before the scale of the rows comes to them
    rows = 2 * FLOAT * outputs  # that scale, and the norms in it
    if setup.lora.dropout:
        # each adapted layer keeps its own dropped-out input with the mask, x A^T, and A and B in the matmuls' precision
        mask = 1 if setup.on_cuda else a
        token += sum((a + mask) * width + a * rank for rank, width, _ in ranks.values())
        casts = a * sum(rank * (width + out) for rank, width, out in ranks.values()) if a != FLOAT else 0
        return batch.tokens * token + batch.keys * keys + rows + casts
    alone = sum(rank for name, (rank, _, _) in ranks.items() if name.endswith((".o_proj", ".down_proj")))
    return batch.tokens * (token + a * alone) + batch.keys * keys + rows


def checkpoint_bytes(setup: Setup, batch: MicroBatch) -> int:
    """What a recomputed layer keeps: its input."""
    return batch.tokens * setup.residual * setup.model.hidden_size


def page_locked(size: int) -> int:
    """Bytes that torch takes from the host for `size` page-locked ones: a power of two."""
    return 1 << (size - 1).bit_length()


def outside_bytes(setup: Setup, batch: MicroBatch) -> int:
    """Kept outside of the layers: the last residual, rotary tables, ids, labels and positions, rows of attention's keys."""
    m = setup.model
    tables = 2 * FLOAT * (m.head_dim // 2)
    rows = 8 * batch.keys if batch.keys > batch.tokens else 0
    return batch.tokens * (setup.residual * m.hidden_size + tables + 3 * 8) + rows


def head_bytes(setup: Setup, batch: MicroBatch, *, wants_grad: bool = True) -> int:
    """The most that the head holds at one moment, its own kept Jacobian included; see kernels/linear_logps.py."""
    m = setup.model
    width, row, wide = m.hidden_size, setup.residual * m.hidden_size, FLOAT * m.hidden_size
    copies = not setup.on_cuda and setup.residual != FLOAT  # operands go to float32 on the CPU
    tile, chunk = min(TILE_CUDA if setup.on_cuda else TILE_CPU, m.vocab_size), min(CHUNK, batch.scored)
    halves = setup.on_cuda and setup.residual != FLOAT  # the softmax goes to 16 bits for the second matmul
    walk = chunk * (tile * (FLOAT + (setup.residual if halves and wants_grad else 0)) + 2 * wide) + (tile * wide if copies else 0)
    hidden = batch.tokens * row + batch.scored * row
    if not wants_grad:
        return hidden + walk + (batch.scored * wide if copies else 0)
    forward = hidden + batch.scored * wide + max(walk + (batch.scored * wide if copies else 0), batch.scored * (wide + row))
    jacobian = batch.scored * wide
    backward = jacobian + batch.scored * row + max(batch.scored * wide, batch.tokens * row)
    if not setup.trains(HEAD):
        return max(forward, backward)
    # of the head's weight a tile's gradient, its last summand, and logits; the whole beside the one that it is added to, or stepped tiles
    weight = m.vocab_size * width
    halved = setup.residual if halves else 0
    one = 2 * tile * wide + chunk * tile * (FLOAT + halved) + (tile * wide + batch.scored * wide if copies else 0)
    if steps_in_tiles(setup):
        one = max(one, tile * wide + stepping_bytes(setup, tile * width))
    else:
        one += setup.residual * weight
    backward += one + batch.scored * row
    if setup.residual == FLOAT or setup.lora is None:
        return max(forward, backward)
    # the matmuls take a copy in their own precision, whose gradient goes to float32 in the end
    return max(head_copy_bytes(setup) + max(forward, backward), batch.tokens * row + (setup.residual + FLOAT) * weight)


def steps_in_tiles(setup: Setup) -> bool:
    """Whether the head steps a tile of its gradient after the other; one that is also the embedding waits for the other part of it."""
    return setup.in_backward and not setup.model.tie_word_embeddings


def stepping_bytes(setup: Setup, values: int) -> int:
    """What a step in the backward pass holds beside the gradient of so many values: see TensorAdamW.

    The root of a float32 moment; of 16-bit weights, in float32, the weight, noise, and both with it and cut.
    """
    if not setup.in_backward:
        return 0
    each = 4 * FLOAT + setup.residual if setup.residual != FLOAT else 0 if setup.eight_bit_moments else FLOAT
    return min(values, SLICE) * each


def head_copy_bytes(setup: Setup) -> int:
    """What the head keeps of a weight that is trained in float32 beside adapters: itself in the precision of the matmuls."""
    is_copied = setup.lora is not None and setup.residual != FLOAT and setup.trains(HEAD)
    return setup.residual * setup.model.vocab_size * setup.model.hidden_size if is_copied else 0


def waiting_bytes(setup: Setup) -> int:
    """The gradient of a head that is also the embedding waits, from the head to the end of the backward pass, for the embedding's."""
    m = setup.model
    if not (m.tie_word_embeddings and setup.trains(HEAD)):
        return 0
    return (FLOAT if setup.lora else setup.residual) * m.vocab_size * m.hidden_size


def embedding_backward_bytes(setup: Setup, batch: MicroBatch) -> int:
    """The gradient of the whole table, from that of the stream, which goes to float32 where the table is."""
    r, m = setup.residual, setup.model
    wide = FLOAT if setup.lora else r
    return m.hidden_size * (batch.tokens * (r + (wide if wide != r else 0)) + wide * m.vocab_size)


def layer_backward_bytes(setup: Setup, batch: MicroBatch) -> int:
    """The most that a layer's backward pass holds beside what the layer kept: in the feed-forward block, or in a norm."""
    m, a, r = setup.model, setup.compute, setup.residual
    stream, wide = batch.tokens * r * m.hidden_size, batch.tokens * a * m.intermediate_size
    # d product, d gate and d up, or what they are made of; with dropout the adapter's kept input has gone by then
    swiglu = (2 if setup.lora and setup.lora.dropout else 3) * wide
    norm = norm_backward_bytes(setup, batch) - stream - 2 * wide  # gate and up have gone
    if setup.lora:
        return stream + max(swiglu, norm)
    matrix, cast = m.hidden_size * m.intermediate_size, a if a != r else 0
    x = batch.tokens * a * m.hidden_size
    down = 2 * wide + x + (r + cast) * matrix  # the new gradient beside the old one
    down_steps = wide + x + r * matrix + stepping_bytes(setup, matrix)  # what the gradient was made of has gone
    gate_and_up = 2 * x + 2 * (r + cast) * matrix  # d gate and d up are there, gate and up have gone
    return stream + max(swiglu, norm, down, down_steps, gate_and_up)


def norm_backward_bytes(setup: Setup, batch: MicroBatch) -> int:
    """The gradient on both sides and five float32 values between, as plain PyTorch makes them."""
    return batch.tokens * setup.model.hidden_size * (2 * setup.residual + 5 * FLOAT)


def reference_bytes(setup: Setup, batch: MicroBatch) -> int:
    """A forward without gradients (reference pass, evaluation, KTO's mismatched answers): one layer at a time, then the head.

    In a layer's feed-forward block: x before and after attention, its norm, attention's update, gate, up, their product, rotary tables.
    """
    m = setup.model
    streams = (3 * setup.residual + setup.compute) * m.hidden_size
    wide = 4 if setup.lora and setup.lora.use_dora else 3
    layer = batch.tokens * (streams + wide * setup.compute * m.intermediate_size + 2 * FLOAT * (m.head_dim // 2))
    return max(layer, head_copy_bytes(setup) + head_bytes(setup, batch, wants_grad=False))


def weight_count(m: ModelConfig) -> int:
    """Numbers of the whole model."""
    q, kv = m.num_attention_heads * m.head_dim, m.num_key_value_heads * m.head_dim
    biases = (q + 2 * kv if m.qkv_bias else 0) + (m.hidden_size if m.o_bias else 0)
    biases += 2 * m.intermediate_size + m.hidden_size if m.mlp_bias else 0
    norms = 2 * m.hidden_size + (2 * m.head_dim if m.qk_norm else 0)
    ends = m.vocab_size * m.hidden_size * (1 if m.tie_word_embeddings else 2) + m.hidden_size
    return matrix_count(m) + m.num_hidden_layers * (biases + norms) + ends


def matrix_count(m: ModelConfig) -> int:
    """Numbers of the layers' matrices."""
    return m.num_hidden_layers * sum(width * out for _, (width, out) in linear_shapes(m, 0))


def adapter_count(m: ModelConfig, lora: LoRAConfig) -> int:
    """Numbers of the adapters."""
    layers = range(m.num_hidden_layers)
    shapes = (named for index in layers for named in linear_shapes(m, index) if is_adapted(named[0], lora))
    return sum(rank_of(name, lora) * (width + out) + (out if lora.use_dora else 0) for name, (width, out) in shapes)


def whole_counts(m: ModelConfig, lora: LoRAConfig) -> dict[str, int]:
    """Numbers of each embedding, head and norm that is trained beside the adapters, by module; nothing for a head that is the embedding."""
    counts = {f"model.{EMBEDDING}": m.vocab_size * m.hidden_size}
    for index in range(m.num_hidden_layers):
        layer = f"model.layers.{index}"
        counts |= {f"{layer}.{name}": m.hidden_size for name in ("input_layernorm", "post_attention_layernorm")}
        counts |= {f"{layer}.self_attn.{name}": m.head_dim for name in ("q_norm", "k_norm") if m.qk_norm}
    tied = m.tie_word_embeddings
    counts |= {"model.norm": m.hidden_size, HEAD: 0 if tied else m.vocab_size * m.hidden_size}
    others = [name for index in range(m.num_hidden_layers) for name, _ in linear_shapes(m, index)]
    return {name: counts[name] for name in trained_whole([*counts, *others], lora, is_tied=tied)} if lora.modules_to_save else {}


def linear_shapes(m: ModelConfig, index: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """(name, (inputs, outputs)) of the linear layers of layer `index`."""
    q, kv = m.num_attention_heads * m.head_dim, m.num_key_value_heads * m.head_dim
    attention = {"q_proj": (m.hidden_size, q), "k_proj": (m.hidden_size, kv), "v_proj": (m.hidden_size, kv), "o_proj": (q, m.hidden_size)}
    wide = (m.hidden_size, m.intermediate_size)
    mlp = {"gate_proj": wide, "up_proj": wide, "down_proj": wide[::-1]}
    for group, shapes in (("self_attn", attention), ("mlp", mlp)):
        for name, shape in shapes.items():
            yield f"model.layers.{index}.{group}.{name}", shape
