"""config.json: what is read, in both spellings, and what is refused by name and effect."""

import json

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import FAMILIES, LLAMA3_ROPE, YARN_ROPE
from torch.testing import assert_close

from vgpt2.model_config import ModelConfig
from vgpt2.rope_scaling import Rope, inverse_frequencies

BASE = {
    "model_type": "llama",
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def parse(**changes):
    return ModelConfig.from_hf(BASE | changes, "config.json")


def test_absent_keys_mean_what_they_mean_in_transformers():
    for kind in ("llama", "qwen2", "qwen3"):
        theirs = transformers.AutoConfig.for_model(**BASE | {"model_type": kind, "num_key_value_heads": None})
        ours = parse(model_type=kind)
        assert ours.num_key_value_heads == theirs.num_key_value_heads
        assert ours.head_dim == (theirs.head_dim if kind != "qwen2" else 16)
        assert ours.rms_norm_eps == theirs.rms_norm_eps
        assert ours.tie_word_embeddings == theirs.tie_word_embeddings
        assert ours.rope.theta == theirs.rope_parameters["rope_theta"]


@pytest.mark.parametrize("rope", [None, LLAMA3_ROPE, YARN_ROPE], ids=["default", "llama3", "yarn"])
def test_both_spellings_say_the_same(rope):
    new = parse(rope_parameters=rope or {"rope_type": "default", "rope_theta": 5e5}, dtype="bfloat16")
    scaling = {("type" if key == "rope_type" else key): value for key, value in (rope or {}).items() if key != "rope_theta"}
    old = parse(rope_scaling=scaling or None, rope_theta=(rope or {"rope_theta": 5e5})["rope_theta"], torch_dtype="bfloat16")
    assert new == old


@pytest.mark.parametrize("family", FAMILIES)
def test_a_config_survives_being_written_and_read_by_us_and_by_transformers(family, tmp_path):
    cfg = ModelConfig.from_hf(FAMILIES[family].to_dict(), "config.json")
    (tmp_path / "config.json").write_text(json.dumps(cfg.to_hf("float32")), encoding="utf-8")
    assert ModelConfig.from_hf(json.loads((tmp_path / "config.json").read_text("utf-8")), "config.json") == cfg
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    assert type(theirs) is type(FAMILIES[family])
    assert ModelConfig.from_hf(theirs.to_dict(), "config.json") == cfg
    assert getattr(theirs, "sliding_window", None) is None


@pytest.mark.parametrize(
    "rope",
    [
        LLAMA3_ROPE,
        YARN_ROPE,
        YARN_ROPE | {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
        YARN_ROPE | {"mscale": 1.0, "mscale_all_dim": 0.5},
        YARN_ROPE | {"attention_factor": 1.25},
        {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.5},
    ],
)
def test_inverse_frequencies_are_transformers_bit_for_bit(rope):
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = transformers.LlamaConfig(**BASE | {"num_key_value_heads": 4}, rope_parameters=dict(rope))
    expected, scale = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config)
    ours = parse(rope_parameters=rope).rope
    assert torch.equal(inverse_frequencies(ours, 16), expected)
    assert ours.attention_factor == pytest.approx(scale, rel=1e-12)


def test_default_frequencies_by_hand_even_under_the_meta_device():
    # theta 10,000, Dh 4: 10000 ** 0 and 10000 ** -0.5
    with torch.device("meta"):
        frequencies = inverse_frequencies(Rope(), 4)
    assert_close(frequencies, torch.tensor([1.0, 0.01]))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2'"),
        ({"model_type": ["llama"]}, "model_type"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"attention_dropout": 0.1}, "attention_dropout=0.1"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor=0.5"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping=50.0"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping=30.0"),
        ({"num_experts": 8}, "num_experts=8"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope type 'dynamic'"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "rope type 'longrope'"),
        ({"rope_scaling": {"rope_type": "default", "mrope_section": [1, 2]}}, "mrope_section"),
        ({"rope_scaling": {"rope_type": ["yarn"]}}, "rope type"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "layer types"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}}, "high_freq_factor"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "factor"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "mscale": "a", "mscale_all_dim": 1}}, "mscale"),
        ({"rope_scaling": "yarn"}, "rope_scaling"),
        ({"model_type": "mistral"}, "sliding_window=4096"),
        ({"model_type": "mistral", "sliding_window": 128}, "sliding_window=128"),
        ({"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 128, "max_window_layers": 1}, "sliding_window=128"),
        ({"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 128, "layer_types": ["sliding_attention"] * 2}, "=128"),
        ({"vocab_size": None}, "vocab_size"),
        ({"vocab_size": "97"}, "vocab_size='97'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "num_key_value_heads=3 does not divide"),
        ({"num_attention_heads": 64, "num_key_value_heads": 64}, "head_dim=1 is odd"),
        ({"hidden_size": 2, "num_key_value_heads": 4}, "head_dim"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rope_theta": 0}, "rope_theta"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
    ],
)
def test_what_changes_the_mathematics_is_refused_by_name_in_one_line(changes, name):
    if changes.get("model_type") == "mistral" and "sliding_window" not in changes:
        changes = changes | {"max_position_embeddings": 32768}
    with pytest.raises(ValueError, match=r"config\.json: ") as refusal:
        parse(**changes)
    assert name in str(refusal.value)
    assert len(str(refusal.value)) <= 200
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "silu", "attention_dropout": 0.0, "pretraining_tp": 1, "use_cache": True, "auto_map": None},
        {"rope_scaling": None, "rope_parameters": None},
        {"rope_scaling": {"type": "default"}},
        {"attn_logit_softcapping": None, "partial_rotary_factor": 1.0, "num_experts": 0},
        {"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 131072, "max_window_layers": 28},
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 128, "max_window_layers": 2},
        {"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 128, "layer_types": ["full_attention"] * 2},
        {"model_type": "mistral", "sliding_window": None},
        {"model_type": "mistral", "sliding_window": 512},
        {"_attn_implementation_internal": "evil", "custom_pipelines": {"a": 1}, "some_new_key": [1, 2]},
    ],
)
def test_what_is_off_or_does_not_matter_is_accepted_and_not_carried_on(changes):
    written = parse(**changes).to_hf("float32")
    assert not {"auto_map", "_attn_implementation_internal", "custom_pipelines", "some_new_key"} & written.keys()


def test_a_config_that_is_not_an_object_is_refused():
    with pytest.raises(ValueError, match=r"config\.json: holds a JSON list"):
        ModelConfig.from_hf([1], "config.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats() | st.sampled_from(["yarn", "llama3", "silu", "", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*YARN_ROPE, *LLAMA3_ROPE, "type"]), inner, max_size=6),
    max_leaves=6,
)
KEYS = [*BASE, "rope_scaling", "rope_parameters", "rope_theta", "sliding_window", "max_window_layers", "layer_types", "hidden_act"]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["llama", "qwen2", "qwen3", "mistral"]), st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_no_config_raises_anything_but_our_refusal(model_type, changes):
    try:
        cfg = ModelConfig.from_hf(BASE | {"model_type": model_type, "use_sliding_window": True} | changes, "config.json")
    except ValueError:
        return
    assert inverse_frequencies(cfg.rope, 16).isfinite().all()
