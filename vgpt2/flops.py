"""Floating point operations that a training step cannot avoid: no recomputation, no padding, no logits of unscored positions."""

from collections.abc import Sequence

from vgpt2.model_config import ModelConfig


def useful_flops(cfg: ModelConfig, *, lengths: Sequence[int], shared: Sequence[int], scored: int, trained: int | None) -> float:
    """Operations of one forward and backward over sequences of `lengths` tokens, `scored` of which have a label.

    shared: of each sequence's tokens those that another one has already computed, as `packing.Packed` has them.
    trained: adapter parameters, the base being frozen; None: every weight is trained. A product of (m, k) and (k, n) counts 2mkn. Forward
    2N + 2P a token, N the layers' matrices and P the adapters'; backward 2N for the activations, 4P, and 2N more when the weights are
    trained; causal attention 2 L H Dh l^2 a sequence forward and twice that backward; the head 2VD a scored position, each way.
    """
    tokens = sum(lengths) - sum(shared)
    squares = sum(length * length - known * known for length, known in zip(lengths, shared, strict=True))
    heads = cfg.num_attention_heads * cfg.head_dim
    attention_weights = cfg.hidden_size * (2 * heads + 2 * cfg.num_key_value_heads * cfg.head_dim)
    matrices = cfg.num_hidden_layers * (attention_weights + 3 * cfg.hidden_size * cfg.intermediate_size)  # N
    head = cfg.vocab_size * cfg.hidden_size
    attention = 3 * 2 * cfg.num_hidden_layers * heads * squares
    if trained is None:
        return 6 * matrices * tokens + 6 * head * scored + attention
    return (4 * matrices + 6 * trained) * tokens + 4 * head * scored + attention
