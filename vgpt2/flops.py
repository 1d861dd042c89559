"""Floating point operations that a training step cannot avoid: no recomputation, no padding, no logits of unscored positions."""

from collections.abc import Sequence

from vgpt2.model_config import ModelConfig


def useful_flops(
    cfg: ModelConfig, *, lengths: Sequence[int], shared: Sequence[int], scored: int, trained: int | None, trains_head: bool = False
) -> float:
    """Operations of one forward and backward over sequences of `lengths` tokens, `scored` of which have a label.

    shared: of each sequence's tokens those that another one has already computed, as `packing.Packed` has them.
    trained: adapter parameters, the base being frozen; None: every weight is trained. A product of (m, k) and (k, n) counts 2mkn. Forward
    2N + 2P a token, N the layers' matrices and P the adapters'; backward 2N for the activations, 4P, and 2N more when the weights are
    trained; causal attention 2 L H Dh l^2 a sequence forward and twice that backward; the head 2VD a scored position, each way, and 2VD
    more where it is trained.
    """
    tokens = sum(lengths) - sum(shared)
    head = cfg.vocab_size * cfg.hidden_size
    attention = 3 * _attention(cfg, lengths, shared)
    if trained is None:
        return 6 * _matrices(cfg) * tokens + 6 * head * scored + attention
    return (4 * _matrices(cfg) + 6 * trained) * tokens + (6 if trains_head else 4) * head * scored + attention


def recomputed_flops(cfg: ModelConfig, *, lengths: Sequence[int], shared: Sequence[int], trained: int | None, layers: int) -> float:
    """Operations that running `layers` layers again in the backward pass adds to `useful_flops`: their forward, the head's is not."""
    tokens = sum(lengths) - sum(shared)
    forward = 2 * (_matrices(cfg) + (trained or 0)) * tokens + _attention(cfg, lengths, shared)
    return forward * layers / cfg.num_hidden_layers


def _matrices(cfg: ModelConfig) -> int:
    """Numbers of the layers' matrices."""
    heads = cfg.num_attention_heads * cfg.head_dim
    attention_weights = cfg.hidden_size * (2 * heads + 2 * cfg.num_key_value_heads * cfg.head_dim)
    return cfg.num_hidden_layers * (attention_weights + 3 * cfg.hidden_size * cfg.intermediate_size)


def _attention(cfg: ModelConfig, lengths: Sequence[int], shared: Sequence[int]) -> int:
    """Operations of causal attention's forward."""
    squares = sum(length * length - known * known for length, known in zip(lengths, shared, strict=True))
    return 2 * cfg.num_hidden_layers * cfg.num_attention_heads * cfg.head_dim * squares
