"""What a Hugging Face config.json says about the decoder, checked and refused by name and effect.

Accepted: Llama (SmolLM2 is one), Qwen2 / Qwen2.5, Qwen3 and Mistral, in both spellings (rope_theta + rope_scaling +
torch_dtype; rope_parameters + dtype). A key that changes the mathematics in a way that this code does not follow is
refused where it is switched on; where it is present but off it is accepted. All other keys are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from vgpt2.rope_scaling import RULES, Rope, yarn_attention_factor

MODEL_TYPES = ("llama", "qwen2", "qwen3", "mistral")

# Carried from the source config to an exported one; the model itself reads none of them.
PASSENGERS = ("bos_token_id", "eos_token_id", "pad_token_id", "initializer_range", "max_position_embeddings")

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
}


@dataclass(frozen=True)
class ModelConfig:
    """Shapes and switches of one decoder. Sizes are counts of features, heads, layers or tokens."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    rope: Rope = field(default_factory=Rope)
    passengers: dict[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def from_hf(cls, config: dict[str, Any], where: str) -> ModelConfig:
        """The parsed config.json; `where` (a file name) opens every ValueError."""
        try:
            return _parse(config)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def to_hf(self, dtype: str) -> dict[str, Any]:
        """A config.json that every transformers since 4.37 reads: the older spelling, which newer versions still take.

        `dtype` is torch's name without the prefix ("bfloat16").
        """
        attention_bias = {"attention_bias": self.o_bias} if self.model_type in ("llama", "qwen3") else {}
        mlp_bias = {"mlp_bias": self.mlp_bias} if self.model_type == "llama" else {}
        window = {"sliding_window": None} if self.model_type != "llama" else {}  # Mistral's absent key means 4,096
        return {
            "architectures": [ARCHITECTURES[self.model_type]],
            "model_type": self.model_type,
            "torch_dtype": dtype,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "tie_word_embeddings": self.tie_word_embeddings,
            "rope_theta": self.rope.theta,
            "rope_scaling": _rope_to_hf(self.rope),
            **attention_bias,
            **mlp_bias,
            **window,
            **self.passengers,
        }


def _parse(config: dict[str, Any]) -> ModelConfig:
    if not isinstance(config, dict):
        raise ValueError(f"holds a JSON {type(config).__name__}; a model config is an object")
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type {_brief(model_type)} is not supported; known are {', '.join(MODEL_TYPES)}")
    for key, (is_off, effect) in REFUSED.items():
        if key in config and not is_off(config[key]):
            raise ValueError(f"{key}={_brief(config[key])} {effect}, which is not supported")
    _refuse_sliding_window(config, model_type)

    heads = _count(config, "num_attention_heads", most=1024)
    kv_heads = _count(config, "num_key_value_heads", most=1024, default=heads)
    if heads % kv_heads:
        raise ValueError(f"num_key_value_heads={kv_heads} does not divide num_attention_heads={heads}")
    hidden_size = _count(config, "hidden_size")
    head_dim = _count(config, "head_dim", most=4096, default=128 if model_type == "qwen3" else hidden_size // heads)
    if head_dim % 2:
        raise ValueError(f"head_dim={head_dim} is odd; rotary embeddings turn channels in pairs")
    attention_bias = model_type in ("llama", "qwen3") and _flag(config, "attention_bias")
    return ModelConfig(
        model_type=model_type,
        vocab_size=_count(config, "vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=_count(config, "intermediate_size"),
        num_hidden_layers=_count(config, "num_hidden_layers", most=1024),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        rms_norm_eps=_number(config, "rms_norm_eps", default=1e-6, least=0.0),
        tie_word_embeddings=_flag(config, "tie_word_embeddings"),
        qkv_bias=model_type == "qwen2" or attention_bias,
        o_bias=attention_bias,
        mlp_bias=model_type == "llama" and _flag(config, "mlp_bias"),
        qk_norm=model_type == "qwen3",
        rope=_parse_rope(config, head_dim),
        passengers={key: config[key] for key in PASSENGERS if key in config},
    )


def _parse_rope(config: dict[str, Any], head_dim: int) -> Rope:
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(scaling, dict):
        raise ValueError(f"rope_scaling={_brief(scaling)} is not an object")
    if any(isinstance(value, dict) for value in scaling.values()):
        raise ValueError("rope_parameters differ between layer types, which is not supported")
    for key in ("partial_rotary_factor", "mrope_section"):
        is_off, effect = REFUSED[key]
        if key in scaling and not is_off(scaling[key]):
            raise ValueError(f"rope {key}={_brief(scaling[key])} {effect}, which is not supported")
    rule = scaling.get("rope_type", scaling.get("type", "default"))
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"rope type {_brief(rule)} is not supported; known are {', '.join(RULES)}")

    theta = _number(scaling, "rope_theta", default=_number(config, "rope_theta", default=10_000.0, least=2.0), least=2.0)
    rope = Rope(rule=rule, theta=theta)
    if rule == "default":
        return rope
    rope = replace(rope, factor=_number(scaling, "factor", default=None, least=1.0))
    if rule == "linear":
        return rope
    # A length beside the scaling wins over one inside it, and the trained context stands in for both, as in transformers.
    inside = _count(scaling, "original_max_position_embeddings", default=config.get("max_position_embeddings"))
    rope = replace(rope, original_length=_count(config, "original_max_position_embeddings", default=inside))
    if rule == "llama3":
        low, high = _number(scaling, "low_freq_factor", default=None), _number(scaling, "high_freq_factor", default=None)
        if low >= high:
            raise ValueError(f"rope low_freq_factor={low} must be below high_freq_factor={high}")
        return replace(rope, low_freq_factor=low, high_freq_factor=high)
    mscales = [_number(scaling, key, default=0.0, least=0.0) for key in ("mscale", "mscale_all_dim")]
    return replace(
        rope,
        beta_fast=_number(scaling, "beta_fast", default=32.0),
        beta_slow=_number(scaling, "beta_slow", default=1.0),
        truncate=scaling.get("truncate") is not False,
        attention_factor=_number(scaling, "attention_factor", default=yarn_attention_factor(rope.factor, *mscales)),
    )


def _rope_to_hf(rope: Rope) -> dict[str, Any] | None:
    if rope.rule == "default":
        return None
    written: dict[str, Any] = {"rope_type": rope.rule, "factor": rope.factor}
    if rope.rule in ("llama3", "yarn"):
        written["original_max_position_embeddings"] = rope.original_length
    if rope.rule == "llama3":
        written |= {"low_freq_factor": rope.low_freq_factor, "high_freq_factor": rope.high_freq_factor}
    if rope.rule == "yarn":
        written |= {"beta_fast": rope.beta_fast, "beta_slow": rope.beta_slow}
        written |= {"truncate": rope.truncate, "attention_factor": rope.attention_factor}
    return written


def _refuse_sliding_window(config: dict[str, Any], model_type: str) -> None:
    """Refuse a window that some layer applies within the trained context.

    Mistral applies it in every layer, and an absent key means 4,096 there; Qwen applies it from layer max_window_layers
    upwards and only where use_sliding_window is true; Llama ignores the key.
    """
    window = config.get("sliding_window", 4096)
    if model_type == "mistral":
        first_layer = 0
    elif model_type in ("qwen2", "qwen3") and config.get("use_sliding_window"):
        first_layer = _count(config, "max_window_layers", least=0, default=28)
    else:
        return
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        is_on = "sliding_attention" in kinds
    else:
        is_on = first_layer < _count(config, "num_hidden_layers")
    if (
        is_on
        and window is not None
        and _count(config, "sliding_window", default=4096) < _count(config, "max_position_embeddings", most=2**31, default=2**31)
    ):
        raise ValueError(f"sliding_window={window} hides tokens further back, which is not supported; null turns it off")


def _count(config: dict[str, Any], key: str, *, least: int = 1, most: int = 2**24, default: Any = None) -> int:
    value = config.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{key}={_brief(value)} must be a whole number from {least} to {most}")
    return value


def _number(config: dict[str, Any], key: str, *, default: float | None, least: float = 1e-9) -> float:
    value = config.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
        raise ValueError(f"{key}={_brief(value)} must be a number of at least {least:g}")
    return float(value)


def _flag(config: dict[str, Any], key: str) -> bool:
    value = config.get(key) or False
    if not isinstance(value, bool):
        raise ValueError(f"{key}={_brief(value)} must be true or false")
    return value


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _is_none_or(off: object) -> Callable[[object], bool]:
    return lambda value: value is None or value == off


# key -> (is the value off, what it would do). `None` always means off.
REFUSED: dict[str, tuple[Callable[[object], bool], str]] = {
    "auto_map": (_is_none_or({}), "asks for Python code of the model folder to be run"),
    "quantization_config": (_is_none_or({}), "says that the weights are stored quantised"),
    "hidden_act": (lambda value: value in (None, "silu", "swish"), "is another activation than silu"),
    "partial_rotary_factor": (_is_none_or(1.0), "rotates a part of each head only"),
    "mrope_section": (_is_none_or([]), "gives each axis of an image its own angles"),
    "attention_dropout": (_is_none_or(0.0), "drops attention weights while training"),
    "attn_logit_softcapping": (_is_none_or(0.0), "caps the attention scores"),
    "final_logit_softcapping": (_is_none_or(0.0), "caps the logits"),
    "query_pre_attn_scalar": (_is_none_or(None), "scales the attention scores"),
    "attention_multiplier": (_is_none_or(None), "scales the attention scores"),
    "embedding_multiplier": (_is_none_or(1.0), "scales the embeddings"),
    "residual_multiplier": (_is_none_or(1.0), "scales the residual branches"),
    "logits_scaling": (_is_none_or(1.0), "divides the logits"),
    "logit_scale": (_is_none_or(1.0), "scales the logits"),
    "clip_qkv": (_is_none_or(None), "clips queries, keys and values"),
    "no_rope_layers": (_is_none_or([]), "leaves some layers without positions"),
    "attention_chunk_size": (_is_none_or(None), "cuts attention into chunks"),
    "num_experts": (lambda value: value in (None, 0, 1), "makes the feed-forward blocks mixtures of experts"),
    "num_local_experts": (lambda value: value in (None, 0, 1), "makes the feed-forward blocks mixtures of experts"),
    "is_causal": (_is_none_or(True), "lets tokens see later ones"),
}
