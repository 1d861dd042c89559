"""PiSSA: its start against an SVD and PEFT's, an unchanged function, and folders that fit the original base."""

import json
import math
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_adapters import IDS, PACKED, adapted, llama, logits, move, ours, saved
from tiny_models import oracle, twin
from torch import nn
from torch.testing import assert_close

from vgpt2.adapter_files import load_adapter, read_starts, save_adapter
from vgpt2.config import LoRAConfig, TrainConfig
from vgpt2.lora import LoRALinear, adapters, add_lora, lora_parameters, merge_lora
from vgpt2.pissa import principal
from vgpt2.qlora import NF4Linear, Workspace

CFG = LoRAConfig(rank=4, alpha=8.0, init="pissa")


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)], ids=str)
def test_the_start_is_the_svd_s_best_approximation_split_evenly(shape: tuple[int, int]):
    """Against torch's own SVD: the product, and A A^T = B^T B = the singular values over s."""
    torch.manual_seed(0)
    weight = torch.randn(shape)
    U, S, Vh = torch.linalg.svd(weight.double(), full_matrices=False)
    start = principal(weight, 5, 0.5)
    assert start.lora_A.dtype == torch.float32
    product = 0.5 * start.lora_B.double() @ start.lora_A.double()
    assert_close(product, U[:, :5] * S[:5] @ Vh[:5], atol=1e-5, rtol=0)
    for half in (start.lora_A.double() @ start.lora_A.double().t(), start.lora_B.double().t() @ start.lora_B.double()):
        assert_close(half, (S[:5] / 0.5).diag(), atol=1e-5, rtol=0)


def test_a_matrix_of_lower_rank_has_directions_of_length_zero():
    weight = torch.outer(torch.arange(6.0), torch.arange(8.0))
    start = principal(weight, 3, 1.0)
    assert_close(start.lora_B @ start.lora_A, weight, atol=1e-4, rtol=0)
    assert principal(torch.zeros(4, 6), 2, 1.0).lora_A.eq(0).all()


@pytest.mark.parametrize("knobs", [{}, {"use_rslora": True}, {"use_dora": True}, {"rank_pattern": {"q_proj": 2}}], ids=str)
def test_a_fresh_one_leaves_the_logits_as_they_are_and_the_base_without_its_largest_directions(knobs: dict[str, object]):
    model = llama()
    before, largest = logits(model), torch.linalg.matrix_norm(model.model.layers[0].mlp.up_proj.weight.detach(), 2)
    add_lora(model, CFG.model_copy(update=knobs), seed=0)
    assert_close(logits(model), before, atol=1e-5, rtol=0)
    layer = adapters(model)["model.layers.0.mlp.up_proj"]
    assert torch.linalg.matrix_norm(layer.base.weight, 2) < 0.95 * largest
    assert layer.lora_B.abs().max() > 0


def test_a_bf16_base_moves_by_its_rounding_alone():
    """What is left of a weight is smaller than the weight, so its last place is no larger."""
    layer = nn.Linear(64, 48, bias=False).to(torch.bfloat16)
    before = layer.weight.detach().double().clone()
    adapter = LoRALinear(layer, LoRAConfig(rank=8, init="pissa"), torch.Generator())
    whole = layer.weight.double() + adapter.scale * adapter.lora_B.double() @ adapter.lora_A.double()
    assert (whole - before).abs().max() <= before.abs().max() * 2**-8


def test_the_same_weights_give_the_same_bits_whatever_the_seed():
    starts = []
    for seed in (0, 1):
        model = llama()
        add_lora(model, CFG, seed=seed)
        starts.append({name: parameter.detach().clone() for name, parameter in lora_parameters(model).items()})
    assert all(torch.equal(value, starts[1][name]) for name, value in starts[0].items())


def of_peft(targets: list[str]) -> peft.PeftModel:
    return peft.get_peft_model(llama(), peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, init_lora_weights="pissa")).eval()


def test_training_is_peft_s():
    """The start's signs are free, the trained weight is not: losses and merged weights after three steps of SGD."""
    ours, theirs = llama(), of_peft(list(CFG.targets))
    add_lora(ours, CFG, seed=0)
    for model in (ours, theirs):
        optimizer = torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.05)
        for _ in range(3):
            optimizer.zero_grad()
            model(IDS, labels=IDS).loss.backward()
            optimizer.step()
    assert_close(logits(ours), logits(theirs), atol=1e-5, rtol=0)
    assert (logits(ours) - logits(llama())).abs().max() > 1e-2
    merge_lora(ours)
    merged = theirs.merge_and_unload()
    for name, weight in ours.state_dict().items():
        assert_close(weight, merged.state_dict()[name], atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize(
    "knobs",
    [{}, {"use_rslora": True}, {"use_dora": True}, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 3.0}, "use_rslora": True}],
    ids=str,
)
def test_the_folder_is_a_plain_adapter_of_twice_the_rank_on_the_original_base(knobs: dict[str, object], tmp_path: Path):
    """INVARIANT 35: PEFT's logits, and ours in a bare model."""
    model = adapted(init="pissa", **knobs)
    saved(model, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    assert (config["r"], config["init_lora_weights"]) == (8, True)
    theirs = peft.PeftModel.from_pretrained(llama(), tmp_path)
    assert_close(logits(theirs), logits(model), atol=2e-5, rtol=0)
    bare = llama()
    load_adapter(bare, tmp_path)
    assert_close(logits(bare), logits(model), atol=2e-5, rtol=0)
    assert (logits(model) - logits(llama())).abs().max() > 1e-2
    merge_lora(bare)
    merge_lora(model)
    assert_close(logits(bare), logits(model), atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_folder_gives_back_to_a_run_is_bit_for_bit_what_it_was(dtype: torch.dtype, tmp_path: Path):
    """INVARIANT 29: A, B, what is left of the base, and so the logits; with the start from the folder no singular value is computed."""
    model = adapted(dtype, init="pissa")
    saved(model, tmp_path)
    for starts in (None, read_starts(llama(dtype), tmp_path, CFG)):
        again = llama(dtype)
        add_lora(again, CFG, seed=5, starts=starts)
        load_adapter(again, tmp_path)
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
        assert torch.equal(logits(again), logits(model))


def test_a_start_from_another_machine_is_the_one_that_counts(tmp_path: Path):
    """As if its last bits were others: the residual is made from what the folder holds."""
    model = llama()
    starts = read_starts(llama(), saved(adapted(init="pissa"), tmp_path / "first"), CFG)
    for start in starts.values():
        start.lora_A.mul_(1 + 2**-20)
    add_lora(model, CFG, seed=0, starts=starts)
    move(model)
    saved(model, tmp_path / "other")
    here = llama()
    add_lora(here, CFG, seed=0)
    with pytest.raises(ValueError, match=r"began elsewhere than in this run"):
        load_adapter(here, tmp_path / "other")
    again = llama()
    add_lora(again, CFG, seed=0, starts=read_starts(llama(), tmp_path / "other", CFG))
    load_adapter(again, tmp_path / "other")
    assert torch.equal(logits(again), logits(model))


def test_a_folder_of_peft_that_was_not_converted_is_read(tmp_path: Path):
    theirs = of_peft(["q_proj", "up_proj"])
    move(theirs)
    theirs.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))["init_lora_weights"] == "pissa"
    assert read_starts(llama(), tmp_path, CFG) is None
    model = llama()
    load_adapter(model, tmp_path)
    assert_close(logits(model), logits(theirs), atol=1e-5, rtol=0)
    save_adapter(model, tmp_path / "ours", "base")
    assert_close(logits(peft.PeftModel.from_pretrained(llama(), tmp_path / "ours")), logits(model), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"init": "pissa", "rank": 8}, r"rank is 8, this run's PiSSA with lora.rank=8 writes 16; set lora.init=kaiming and lora.rank=8"),
        ({"rank": 4}, "rank is 8, lora.rank of this run is 4; set lora.rank=8"),
    ],
)
def test_a_run_of_another_kind_is_told_what_to_set(own: dict[str, object], message: str, tmp_path: Path):
    saved(adapted(init="pissa"), tmp_path)
    cfg = LoRAConfig(alpha=8.0, **own)
    model = llama()
    add_lora(model, cfg, seed=0)
    with pytest.raises(ValueError, match=message) as caught:
        load_adapter(model, tmp_path)
    assert "\n" not in str(caught.value)
    if cfg.init == "pissa":
        with pytest.raises(ValueError, match=message):
            read_starts(llama(), tmp_path, cfg)


def test_peft_s_start_does_not_go_into_a_plain_run(tmp_path: Path):
    of_peft(list(CFG.targets)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'init is "pissa", lora.init of this run is "kaiming"; set lora.init="pissa"'):
        load_adapter(adapted(), tmp_path)


@pytest.mark.parametrize(("change", "message"), [("missing", "is missing"), ("narrow", "wrong base model"), ("nan", "NaN, infinity")])
def test_a_damaged_start_is_refused_by_name(change: str, message: str, tmp_path: Path):
    path = saved(adapted(init="pissa"), tmp_path) / "adapter_model.safetensors"
    tensors = load_file(path)
    key = min(tensors)
    if change == "missing":
        del tensors[key]
    else:
        tensors[key] = tensors[key][:, :-1].contiguous() if change == "narrow" else tensors[key] * torch.nan
    save_file(tensors, path)
    with pytest.raises(ValueError, match=message) as caught:
        read_starts(llama(), tmp_path, CFG)
    assert key in str(caught.value)


def test_more_directions_than_a_weight_has_are_refused():
    with pytest.raises(ValueError, match=r"k_proj: has 32 singular values; set a lora.rank of 40 down to that for pissa"):
        add_lora(llama(), CFG.model_copy(update={"rank": 40}), seed=0)


def test_nf4_is_refused_by_the_config_and_by_the_layer():
    keys = {"path": "m", "quantization": "nf4"}
    with pytest.raises(ValueError, match=r"lora.init is pissa; nf4 would round .* set kaiming"):
        TrainConfig.model_validate({"model": keys, "lora": {"init": "pissa"}})
    with pytest.raises(ValueError, match=r"x: is in nf4, .* set lora.init=kaiming"):
        LoRALinear(NF4Linear(nn.Linear(64, 64), Workspace()), CFG, torch.Generator(), name="x")


def test_a_group_of_our_model_computes_what_peft_s_layers_do(tmp_path: Path):
    model = ours("qwen2.5", torch.float64, init="pissa")
    other = peft.PeftModel.from_pretrained(oracle("qwen2.5", dtype=torch.float64), saved(model, tmp_path)).eval()
    with torch.no_grad():
        assert_close(model.logits(PACKED), other(IDS).logits[0], atol=1e-5, rtol=0)
    assert math.isfinite(model(PACKED).sum().item())
    bare = twin(oracle("qwen2.5"))
    load_adapter(bare, tmp_path)
    assert_close(model(PACKED), bare(PACKED), atol=1e-10, rtol=0)
