"""Which layer gets which rank and alpha, and what is trained whole, as PEFT matches names."""

from pathlib import Path

import peft
import pytest
import torch
from tiny_adapters import adapted, llama, logits, saved
from torch.testing import assert_close

from vgpt2.adapter_files import load_adapter
from vgpt2.config import LoRAConfig
from vgpt2.lora import adapters, add_lora
from vgpt2.targets import adapted as adapted_names
from vgpt2.targets import rank_of, scale_of, trained_whole

# The alphabet would put down_proj before layers.1: the first that fits must decide
RANKS = {"layers.1.mlp.down_proj": 6, "down_proj": 2, r"layers\.\d+\.self_attn\.[kv]_proj": 3}
ALPHAS = {"up_proj": 3.0, ".*self_attn.*": 5.0}


def test_the_first_pattern_that_fits_the_end_of_the_name_decides():
    cfg = LoRAConfig(rank=4, alpha=8.0, rank_pattern=RANKS, alpha_pattern=ALPHAS)
    assert rank_of("model.layers.0.mlp.down_proj", cfg) == 2
    assert rank_of("model.layers.1.mlp.down_proj", cfg) == 6
    assert rank_of("model.layers.11.mlp.down_proj", cfg) == 2  # the pattern begins after a dot
    assert rank_of("model.layers.1.self_attn.k_proj", cfg) == 3
    assert rank_of("model.layers.1.self_attn.q_proj", cfg) == 4
    assert scale_of("model.layers.1.self_attn.k_proj", cfg) == 5 / 3
    assert scale_of("model.layers.1.mlp.down_proj", cfg) == 8 / 6
    assert scale_of("model.layers.0.mlp.up_proj", cfg.model_copy(update={"use_rslora": True})) == 3 / 2


@pytest.mark.parametrize("use_rslora", [False, True])
def test_every_layer_has_the_rank_and_the_scale_that_peft_gives_it(use_rslora: bool):
    model = adapted(rank_pattern=RANKS, alpha_pattern=ALPHAS, use_rslora=use_rslora)
    options = {"rank_pattern": RANKS, "alpha_pattern": ALPHAS, "use_rslora": use_rslora}
    other = peft.get_peft_model(llama(), peft.LoraConfig(r=4, lora_alpha=8, target_modules=list(LoRAConfig().targets), **options))
    for name, layer in adapters(model).items():
        theirs = other.base_model.model.get_submodule(name)
        assert (len(layer.lora_A), layer.scale) == (theirs.r["default"], theirs.scaling["default"]), name
    assert {len(layer.lora_A) for layer in adapters(model).values()} == {2, 3, 4, 6}


def test_patterns_come_back_from_a_folder_and_peft_has_the_same_logits(tmp_path: Path):
    """INVARIANT 35: the order of the patterns is kept."""
    model = adapted(rank_pattern=RANKS, alpha_pattern=ALPHAS)
    theirs = peft.PeftModel.from_pretrained(llama(), saved(model, tmp_path))
    assert_close(logits(theirs), logits(model), atol=1e-5, rtol=0)
    again = llama()
    load_adapter(again, tmp_path)
    assert torch.equal(logits(again), logits(model))
    (cfg,) = {id(layer.cfg): layer.cfg for layer in adapters(again).values()}.values()
    assert list(cfg.rank_pattern.items()) == list(RANKS.items())


@pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"downproj": 2}, "'downproj' fits no adapted layer; did you mean 'down_proj'"),
        ({"mlp": 2}, "'mlp' fits no adapted layer; choose from down_proj, q_proj"),
        ({".*": 2, "down_proj": 3}, "'down_proj' never decides, '.*' before it fits the same layers; put it first"),
        ({"layers.7.*": 2}, "'layers.7.*' fits no adapted layer"),
    ],
    ids=str,
)
def test_a_pattern_that_decides_nothing_is_refused(key: str, patterns: dict[str, int], message: str):
    with pytest.raises(ValueError) as caught:
        add_lora(llama(), LoRAConfig(targets=("q_proj", "down_proj"), **{key: patterns}), seed=0)
    assert f"lora.{key}: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pattern_that_is_no_expression_is_refused_by_the_config():
    with pytest.raises(ValueError, match=r"'\(' is no regular expression .*; give the end of a layer's name: down_proj"):
        LoRAConfig(rank_pattern={"(": 3})


NAMES = ["", "model", "model.embed_tokens", "model.layers.0.input_layernorm", "model.layers.0.self_attn.q_norm", "model.layers.0.mlp",
         "model.layers.0.mlp.up_proj", "model.norm", "lm_head"]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (("norm",), NAMES[3:5] + ["model.norm"]),
        (("model.norm", "embed_tokens"), ["model.embed_tokens", "model.norm"]),
        (("lm_head",), ["lm_head"]),
        (("layers.0.input_layernorm",), NAMES[3:4]),
        ((), []),
    ],
    ids=str,
)
def test_what_is_trained_whole_is_found_by_the_end_of_its_name(entries: tuple[str, ...], found: list[str]):
    assert trained_whole(NAMES, LoRAConfig(modules_to_save=entries), is_tied=False) == found


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("embed_token", "no embedding, head or norm is called 'embed_token'; did you mean 'embed_tokens'?"),
        ("up_proj", "no embedding, head or norm is called 'up_proj'; choose from embed_tokens, input_layernorm, lm_head, norm, q_norm"),
        ("", "no embedding, head or norm is called ''"),
        ("d", "'d' also means "),
    ],
)
def test_anything_else_is_not_trained_whole(entry: str, message: str):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        trained_whole([*NAMES, "model.layers.0.odd"], LoRAConfig(modules_to_save=(entry,)), is_tied=False)


def test_the_head_is_never_adapted():
    with pytest.raises(ValueError, match="no linear layer of the model is called 'lm_head'"):
        adapted_names(["lm_head", "model.layers.0.mlp.up_proj"], LoRAConfig(targets=("lm_head",)))
