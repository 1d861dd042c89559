"""The decoder: embed -> L x [norm, attention, norm, SwiGLU] -> norm -> log-probabilities of the labels.

Module and parameter names are Hugging Face's, so a checkpoint's keys are ours. Sequences lie end to end in one axis of
T tokens; only `attend` knows where one ends. Capital letters: T tokens, D hidden, H/K query/key heads, Dh head width,
V vocabulary. LoRA, quantisation and distribution act on a built model from outside.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kernels.linear_logps import linear_logits, linear_logps
from kernels.rms_norm import add_rms_norm, rms_norm
from kernels.rope import rope, rope_tables
from kernels.swiglu import swiglu
from vgpt2.attention import Attend, packed_attention
from vgpt2.model_config import ModelConfig
from vgpt2.projections import Derived, derive, kept, project
from vgpt2.rope_scaling import inverse_frequencies

if TYPE_CHECKING:
    from vgpt2.offload import HostMemory
    from vgpt2.packing import Packed

__all__ = ["CausalLM", "ModelConfig"]


class CausalLM(nn.Module):
    """A causal language model whose output is one log-probability a label.

    recompute_layers: the first n layers keep only their input and run again in the backward pass; offload: where those inputs wait.
    The residual stream has the dtype of the embedding; under autocast the matmuls run in the autocast dtype.
    """

    def __init__(self, cfg: ModelConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.recompute_layers = 0
        self.offload: HostMemory | None = None
        self.model = Decoder(cfg)
        self.lm_head = nn.Linear(cfg.hidden_size, cfg.vocab_size, bias=False)
        if cfg.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        # Not a buffer: `model.to(torch.bfloat16)` must not round it.
        self.inv_freq = inverse_frequencies(cfg.rope, cfg.head_dim)

    def hidden(self, input_ids: Tensor, position_ids: Tensor, attend: Attend) -> Tensor:
        """Final hidden states (T, D), after the last norm, of input_ids (T,) at position_ids (T,)."""
        inv_freq = self.inv_freq.to(position_ids.device, non_blocking=True)
        tables = rope_tables(position_ids, inv_freq, self.cfg.rope.attention_factor)
        x = self.model.embed_tokens(input_ids)  # (T, D)
        run_again = self.offload.checkpoints(self.recompute_layers) if self.offload else partial(checkpoint, use_reentrant=False)
        for index, layer in enumerate(self.model.layers):
            if index < self.recompute_layers and torch.is_grad_enabled():
                x = run_again(layer, x, tables, attend)
            else:
                x = layer(x, tables, attend)
        return self.model.norm(x)

    def forward(self, packed: Packed) -> Tensor:
        """token_logps (T,) fp32: log p(labels[t] | tokens up to t), 0 where the label is ignored."""
        hidden = self.hidden(packed.input_ids, packed.position_ids, packed_attention(packed))
        return linear_logps(hidden, self.head_weight(hidden), packed.labels, scored=packed.scored)

    def logits(self, packed: Packed) -> Tensor:
        """All logits (T, V) in fp32 (fp64 of an fp64 model): for oracles and generation, never for training."""
        hidden = self.hidden(packed.input_ids, packed.position_ids, packed_attention(packed))
        return linear_logits(hidden, self.head_weight(hidden))

    def head_weight(self, hidden: Tensor) -> Tensor:
        """(V, D), in the dtype of the hidden states: another one only where the head alone is trained in fp32."""
        return self.lm_head.weight.to(hidden.dtype)


class Decoder(nn.Module):
    """The modules under Hugging Face's prefix `model.`; CausalLM.hidden runs them."""

    def __init__(self, cfg: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(cfg.vocab_size, cfg.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(cfg, index) for index in range(cfg.num_hidden_layers))
        self.norm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)


class DecoderLayer(nn.Module):
    def __init__(self, cfg: ModelConfig, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(cfg, index)
        self.mlp = MLP(cfg)
        self.input_layernorm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)

    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        update = self.self_attn(derive(self.input_layernorm, x), tables, attend)
        x, normed = self.post_attention_layernorm.of_sum(x, update)
        return x + self.mlp(Derived(normed, self.post_attention_layernorm, (x,)))


class Attention(nn.Module):
    def __init__(self, cfg: ModelConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.head_dim = cfg.head_dim
        q_width, kv_width = cfg.num_attention_heads * cfg.head_dim, cfg.num_key_value_heads * cfg.head_dim
        self.q_proj = nn.Linear(cfg.hidden_size, q_width, bias=cfg.qkv_bias)
        self.k_proj = nn.Linear(cfg.hidden_size, kv_width, bias=cfg.qkv_bias)
        self.v_proj = nn.Linear(cfg.hidden_size, kv_width, bias=cfg.qkv_bias)
        self.o_proj = nn.Linear(q_width, cfg.hidden_size, bias=cfg.o_bias)
        self.q_norm = RMSNorm(cfg.head_dim, cfg.rms_norm_eps) if cfg.qk_norm else None
        self.k_norm = RMSNorm(cfg.head_dim, cfg.rms_norm_eps) if cfg.qk_norm else None

    def forward(self, x: Derived, tables: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        projected = project(x, self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (each.unflatten(-1, (-1, self.head_dim)) for each in projected)  # (T, H, Dh), (T, K, Dh), (T, K, Dh)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rope(q, k, *tables)
        (update,) = project(kept(attend(self.index, q, k, v).flatten(-2)), self.o_proj)
        return update


class MLP(nn.Module):
    def __init__(self, cfg: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(cfg.hidden_size, cfg.intermediate_size, bias=cfg.mlp_bias)
        self.up_proj = nn.Linear(cfg.hidden_size, cfg.intermediate_size, bias=cfg.mlp_bias)
        self.down_proj = nn.Linear(cfg.intermediate_size, cfg.hidden_size, bias=cfg.mlp_bias)

    def forward(self, x: Derived) -> Tensor:
        (update,) = project(derive(swiglu, *project(x, self.gate_proj, self.up_proj)), self.down_proj)
        return update


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)

    def of_sum(self, x: Tensor, update: Tensor) -> tuple[Tensor, Tensor]:
        """x + update and its norm."""
        return add_rms_norm(x, update, self.weight, self.eps)
