"""Adapters as PEFT's folder, in both directions; what does not fit is refused by file and key."""

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_adapters import adapted, llama, logits
from torch.testing import assert_close

from vgpt2.adapter_files import load_adapter, save_adapter
from vgpt2.config import LoRAConfig
from vgpt2.lora import adapters, add_lora


@pytest.mark.parametrize("use_rslora", [False, True])
def test_peft_reads_our_folder(tmp_path: Path, use_rslora: bool):
    """INVARIANT 35: tensors and logits, PEFT only warns about missing keys."""
    model = adapted(use_rslora=use_rslora)
    model.config.save_pretrained(tmp_path / "base")
    save_adapter(model, tmp_path, str(tmp_path / "base"))
    theirs = peft.PeftModel.from_pretrained(llama(), tmp_path)
    assert_close(logits(theirs), logits(model), atol=1e-5, rtol=0)
    state = peft.get_peft_model_state_dict(theirs)
    ours = load_file(tmp_path / "adapter_model.safetensors")
    assert state.keys() == ours.keys()
    assert all(torch.equal(state[key], ours[key]) for key in ours)
    assert theirs.peft_config["default"].base_model_name_or_path == str(tmp_path / "base")


@pytest.mark.parametrize("use_rslora", [False, True])
def test_we_read_peft_s_folder(tmp_path: Path, use_rslora: bool):
    """INVARIANT 35: into a bare model, whose adapters then come from the folder."""
    torch.manual_seed(3)
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "down_proj"], use_rslora=use_rslora, init_lora_weights=False)
    theirs = peft.get_peft_model(llama(), config).eval()
    theirs.save_pretrained(tmp_path)
    model = llama()
    load_adapter(model, tmp_path)
    assert_close(logits(model), logits(theirs), atol=1e-5, rtol=0)
    assert (logits(model) - logits(llama())).abs().max() > 1e-2
    for name, layer in adapters(model).items():
        other = theirs.base_model.model.get_submodule(name)
        assert torch.equal(layer.lora_A, other.lora_A["default"].weight)
        assert torch.equal(layer.lora_B, other.lora_B["default"].weight)


def test_save_and_load_return_the_same_bits(tmp_path: Path):
    """INVARIANT 35."""
    model = adapted(alpha=7.5)
    save_adapter(model, tmp_path / "a", "base")
    again = llama()
    add_lora(again, LoRAConfig(rank=4, alpha=7.5), seed=9)
    load_adapter(again, tmp_path / "a")
    assert torch.equal(logits(again), logits(model))
    save_adapter(again, tmp_path / "b", "base")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_adapter(adapted(), tmp_path, "base")
    return tmp_path


def change_tensors(folder: Path, change: str) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    key = sorted(tensors)[0]
    if change == "missing":
        del tensors[key]
    elif change == "unexpected":
        tensors["base_model.model.model.layers.7.mlp.up_proj.lora_A.weight"] = tensors[key].clone()
    elif change == "transposed":
        tensors[key] = tensors[key].t().contiguous()
    elif change == "nan":
        tensors[key][0, 0] = torch.nan
    save_file(tensors, path)


@pytest.mark.parametrize(
    "change, message",
    [("missing", "is missing"), ("unexpected", "fits no layer"), ("transposed", "the model's is"), ("nan", "NaN, infinity")],
)
def test_a_wrong_tensor_is_refused_by_name(folder: Path, change: str, message: str):
    """INVARIANT 35."""
    change_tensors(folder, change)
    with pytest.raises(ValueError, match=message) as caught:
        load_adapter(llama(), folder)
    assert "lora_A.weight'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("layer_replication", [[0, 2]], r"'layer_replication' is \[\[0, 2\]\]; that adapter is more than LoRA and DoRA"),
        ("use_dora", True, "lora_magnitude_vector' is missing"),
        ("use_dora", "often", "'use_dora' is missing or has an impossible value"),
        ("bias", "all", "'bias' is"),
        ("modules_to_save", ["lm_head"], "lm_head.weight' is missing"),
        ("modules_to_save", ["wte"], "no embedding, head or norm is called 'wte'; choose from"),
        ("modules_to_save", 3, "'modules_to_save' is missing or has an impossible value"),
        ("rank_pattern", {"q_proj": 8}, "the model's is"),
        ("rank_pattern", {"qproj": 8}, "'qproj' fits no adapted layer; did you mean 'q_proj'"),
        ("rank_pattern", {"q_proj": 0}, "'rank_pattern' is missing or has an impossible value"),
        ("alpha_pattern", {"(": 8}, "'alpha_pattern' is missing or has an impossible value"),
        ("alpha_pattern", ["q_proj"], "'alpha_pattern' is missing or has an impossible value"),
        ("init_lora_weights", "pissa_niter_4", "'init_lora_weights' is"),
        ("init_lora_weights", "olora", "'init_lora_weights' is"),
        ("an_option_of_tomorrow", 3, "'an_option_of_tomorrow' is 3"),
        ("peft_type", "IA3", "peft_type is not 'LORA'"),
        ("target_modules", ".*proj", "not a list"),
        ("target_modules", [3], "'target_modules' is missing or has an impossible value"),
        ("target_modules", ["q_proj", "wq"], "no linear layer of the model is called 'wq'"),
        ("r", None, "'r' is missing or has an impossible value"),
        ("r", 8, "the model's is"),
        ("lora_alpha", -1, "'lora_alpha' is missing or has an impossible value"),
    ],
)
def test_a_setting_that_is_beyond_us_or_does_not_fit_the_tensors_is_refused_by_key(folder: Path, key: str, value: object, message: str):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: value}), "utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_adapter(llama(), folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "knobs",
    [{"rank": 8}, {"alpha": 16.0}, {"use_rslora": True}, {"rank_pattern": {"q_proj": 2}}, {"alpha_pattern": {"q_proj": 2.0}},
     {"use_dora": True}, {"modules_to_save": ("norm",)}],
    ids=str,
)  # fmt: skip
def test_the_folder_and_the_run_must_agree(folder: Path, knobs: dict[str, object]):
    """INVARIANT 35."""
    model = llama()
    add_lora(model, LoRAConfig(**{"rank": 4, "alpha": 8.0, **knobs}), seed=0)
    with pytest.raises(ValueError, match=f"set lora.{next(iter(knobs))}="):
        load_adapter(model, folder)


def test_fewer_targets_than_the_folder_has_are_refused(folder: Path):
    """INVARIANT 35."""
    model = llama()
    add_lora(model, LoRAConfig(rank=4, alpha=8.0, targets=("q_proj",)), seed=0)
    with pytest.raises(ValueError, match="fits no layer"):
        load_adapter(model, folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, "\x00"], ids=["empty", "cut", "list", "deep", "binary"])
def test_a_config_that_is_no_config_is_refused_in_one_line(folder: Path, text: str):
    (folder / "adapter_config.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"adapter_config\.json: ") as caught:
        load_adapter(llama(), folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(folder: Path, keep: int):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors: is damaged"):
        load_adapter(llama(), folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_refused_by_name(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: no such file"):
        load_adapter(llama(), folder)
