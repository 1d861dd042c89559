"""Tiny random models of every decoder family, made and written by transformers: the oracle of model and weights.

Two layers, D=64, V=97, weights large enough that attention and gates are far from linear.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PreTrainedConfig, PreTrainedModel, Qwen2Config, Qwen3Config

from vgpt2.model import CausalLM, ModelConfig

VOCAB = 97
SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 128}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.5}

FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "llama-3.1": LlamaConfig(**SIZES, rope_parameters=LLAMA3_ROPE),
    "llama-biased": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True, rope_parameters=LINEAR_ROPE),
    "smollm2": LlamaConfig(**SIZES | {"hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1}, tie_word_embeddings=True),
    "qwen2.5": Qwen2Config(**SIZES, rms_norm_eps=1e-6),
    "qwen2.5-tied": Qwen2Config(**SIZES, tie_word_embeddings=True, rope_parameters=YARN_ROPE),
    "qwen3": Qwen3Config(**SIZES, head_dim=32),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
}


def oracle(family: str, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> PreTrainedModel:
    """transformers' random model of a family, biases and norms included in the randomness."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(FAMILIES[family]), attn_implementation="sdpa").to(dtype)
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.15)
    return model


def twin(model: PreTrainedModel) -> CausalLM:
    """Our model with the config and the weights of transformers' one, in its dtype."""
    ours = CausalLM(ModelConfig.from_hf(model.config.to_dict(), "config.json")).to(model.dtype)
    ours.load_state_dict(model.state_dict())
    return ours


def write(family: str, folder: Path, *, dtype: torch.dtype = torch.float32, **options: object) -> PreTrainedModel:
    """Saves transformers' random model of a family to `folder` and returns it."""
    model = oracle(family, dtype=dtype)
    model.save_pretrained(folder, **options)
    return model


@contextmanager
def exact_norms(model: PreTrainedModel) -> Iterator[None]:
    """transformers takes norms through fp32 even in fp64; inside this block they stay in fp64, so that 1e-10 is a fair bound."""
    norms = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    for norm in norms:
        norm.forward = _exact_norm(norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _exact_norm(norm: nn.Module):
    def forward(x: Tensor) -> Tensor:
        return norm.weight * (x / (x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).sqrt())

    return forward
