"""Adapters: their arithmetic, their precision, where they go, and how they are folded in."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_adapters import ALL, IDS, adapted, llama, logits
from tiny_jobs import tiny_model
from torch import Tensor, nn
from torch.testing import assert_close

from vgpt2.adapter_files import save_adapter
from vgpt2.config import LoRAConfig
from vgpt2.lora import LoRALinear, adapters, add_lora, lora_parameters, merge_lora
from vgpt2.packing import pack
from vgpt2.projections import Factors, kept, multiply


def linear(dtype: torch.dtype, *, bias: bool = False, **knobs: object) -> LoRALinear:
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(6, 5, bias=bias).to(dtype), LoRAConfig(**{"rank": 2, "alpha": 6.0, **knobs}), torch.Generator())
    layer.base.requires_grad_(False)
    with torch.no_grad():
        layer.lora_B.copy_(torch.randn(layer.lora_B.shape))
    return layer


def test_forward_by_hand():
    # W x = (1*1 + 2*1) = 3; A x = 1 + 1 = 2; s B A x = (4 / 1) * .5 * 2 = 4
    layer = LoRALinear(nn.Linear(2, 1, bias=False), LoRAConfig(rank=1, alpha=4.0), torch.Generator())
    with torch.no_grad():
        layer.base.weight.copy_(torch.tensor([[1.0, 2.0]]))
        layer.lora_A.fill_(1.0)
        layer.lora_B.fill_(0.5)
    assert layer(torch.ones(3, 2)).tolist() == [[7.0]] * 3


def test_scale_is_alpha_over_rank_or_over_its_root():
    """INVARIANT 26."""
    assert linear(torch.float32, rank=4, alpha=8.0).scale == 2.0
    assert linear(torch.float32, rank=4, alpha=8.0, use_rslora=True).scale == 4.0


@pytest.mark.parametrize("bias", [False, True])
def test_gradients_of_the_fused_layer_equal_finite_differences(bias: bool):
    layer = linear(torch.float64, bias=bias)
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)

    def f(x: Tensor, lora_A: Tensor, lora_B: Tensor) -> Tensor:
        factors = Factors(layer.base.weight, layer.base.bias, torch.float64, lora_A, lora_B, layer.scale)
        return multiply(kept(x), [factors])[0]

    assert torch.autograd.gradcheck(f, (x, layer.lora_A, layer.lora_B))


def test_the_fused_layer_equals_the_composed_one():
    layer = linear(torch.float64, bias=True)
    x = torch.randn(7, 6, dtype=torch.float64)
    expected = layer.base(x) + layer.scale * F.linear(F.linear(x, layer.lora_A), layer.lora_B)
    assert_close(layer(x), expected, atol=1e-14, rtol=0)


def test_an_input_without_gradient_gets_none_and_the_adapter_still_learns():
    """INVARIANT 25, the first layer: frozen embeddings need no gradient."""
    layer = linear(torch.float32)
    layer(torch.randn(3, 6)).sum().backward()
    assert layer.lora_A.grad is not None
    assert layer.lora_B.grad is not None
    assert layer.base.weight.grad is None


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_adapters_stay_fp32_on_a_bf16_base_and_the_result_has_the_base_dtype(dropout: float):
    layer = linear(torch.bfloat16, dropout=dropout)
    x = torch.randn(3, 6, dtype=torch.bfloat16, requires_grad=True)
    outside = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        inside = layer(x)
    assert outside.dtype == inside.dtype == torch.bfloat16
    (outside.sum() + inside.sum()).backward()
    assert {p.dtype for p in (layer.lora_A, layer.lora_B)} == {p.grad.dtype for p in (layer.lora_A, layer.lora_B)} == {torch.float32}


def test_autocast_in_bf16_is_close_to_fp64():
    layer = linear(torch.bfloat16, bias=True)
    exact = copy.deepcopy(layer).double()
    x = torch.randn(64, 6, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().pow(2).sum().backward()
    exact(x.double()).pow(2).sum().backward()
    assert_close(y.double(), exact(x.double()), atol=0.05, rtol=0.02)
    assert_close(layer.lora_A.grad.double(), exact.lora_A.grad, atol=0.5, rtol=0.05)


def test_dropout_follows_the_seed_and_rests_in_evaluation():
    layer, x = linear(torch.float32, dropout=0.5), torch.randn(20, 6)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(layer(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    layer.eval()
    undropped = linear(torch.float32)
    undropped.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), undropped(x))


def test_dropout_acts_on_the_adapter_input_alone_and_keeps_its_mean():
    layer, x = linear(torch.float64, dropout=0.5), torch.ones(1, 6, dtype=torch.float64)
    torch.manual_seed(0)
    update = (layer(x.expand(20_000, 6)) - layer.base(x)).mean(0)
    layer.eval()
    assert_close(update, (layer(x) - layer.base(x))[0], rtol=0.05, atol=0.05)


def test_a_fresh_adapter_leaves_the_logits_bit_identical_and_freezes_the_rest():
    """INVARIANT 26."""
    model = llama()
    before = logits(model)
    add_lora(model, LoRAConfig(rank=4), seed=0)
    assert torch.equal(logits(model), before)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == set(lora_parameters(model))
    assert len(trainable) == 2 * 7 * 2
    assert all(parameter.dtype == torch.float32 for parameter in lora_parameters(model).values())


def test_an_adapter_is_in_the_mode_of_the_layer_that_it_is_put_on():
    """A model in evaluation has no dropout, however late its adapters come."""
    model = llama()
    add_lora(model, LoRAConfig(rank=4, dropout=0.5), seed=0)
    for layer in adapters(model).values():
        nn.init.ones_(layer.lora_B)
    assert torch.equal(logits(model), logits(model))


def test_every_adapter_gets_a_gradient_through_the_model():
    """INVARIANT 25."""
    model = adapted()
    model(IDS, labels=IDS).loss.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in lora_parameters(model).values())
    assert all(parameter.grad is None for parameter in model.parameters() if not parameter.requires_grad)


def test_starting_weights_depend_on_seed_and_layer_alone():
    starts = []
    for targets, seed in ((ALL, 0), (("up_proj", "q_proj"), 0), (ALL, 1)):
        model = llama()
        add_lora(model, LoRAConfig(rank=4, targets=targets), seed=seed)
        starts.append(adapters(model))
    name = "model.layers.1.self_attn.q_proj"
    assert torch.equal(starts[0][name].lora_A, starts[1][name].lora_A)
    assert not torch.equal(starts[0][name].lora_A, starts[2][name].lora_A)
    assert not torch.equal(starts[0][name].lora_A, starts[0]["model.layers.0.self_attn.q_proj"].lora_A)
    bound = 1 / 64**0.5  # kaiming with a = sqrt 5: gain^2 * 3 / fan_in = 1 / fan_in
    assert 0.9 * bound < starts[0][name].lora_A.abs().max() <= bound


def test_targets_match_whole_name_components():
    model = llama()
    add_lora(model, LoRAConfig(rank=2, targets=("layers.1.self_attn.q_proj", "mlp.up_proj")), seed=0)
    expected = {"model.layers.1.self_attn.q_proj", "model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"}
    assert set(adapters(model)) == expected


@pytest.mark.parametrize(
    "target, hint", [("qproj", "did you mean 'q_proj'"), ("proj", "no linear layer"), ("lm_head", "choose from down_proj, ")]
)
def test_a_target_that_matches_nothing_is_refused(target: str, hint: str):
    """INVARIANT 26."""
    with pytest.raises(ValueError, match=hint) as caught:
        add_lora(llama(), LoRAConfig(targets=("q_proj", target)), seed=0)
    assert f"'{target}'" in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_adapters_are_added_once():
    with pytest.raises(ValueError, match="already has adapters"):
        add_lora(adapted(), LoRAConfig(), seed=0)


@pytest.mark.parametrize("use_rslora", [False, True])
def test_merged_logits_equal_adapted_ones(use_rslora: bool):
    """INVARIANT 36."""
    model = adapted(use_rslora=use_rslora)
    before, base = logits(model), logits(llama())
    merge_lora(model)
    assert not adapters(model)
    assert set(model.state_dict()) == set(llama().state_dict())
    assert_close(logits(model), before, atol=1e-5, rtol=0)
    assert (before - base).abs().max() > 1e-2


def test_merging_into_bf16_rounds_once():
    """INVARIANT 36, the 16-bit half: the weight is the rounded fp32 sum."""
    layer = adapted(torch.bfloat16).model.layers[0].mlp.up_proj
    exact = layer.base.weight.double() + layer.scale * layer.lora_B.double() @ layer.lora_A.double()
    holder = nn.ModuleDict({"up_proj": layer})
    merge_lora(holder)
    half_step = exact.abs() * 2**-8
    assert ((holder["up_proj"].weight.double() - exact).abs() <= half_step + 1e-12).all()


def test_a_model_without_adapters_cannot_be_merged_or_saved(tmp_path: Path):
    with pytest.raises(ValueError, match="no adapters to merge"):
        merge_lora(llama())
    with pytest.raises(ValueError, match="no adapters to save"):
        save_adapter(llama(), tmp_path / "adapter", "base")
    assert not (tmp_path / "adapter").exists()


def adam_step(model: nn.Module) -> dict[str, Tensor]:
    """One step of AdamW at lr 5e-6 on every adapter; the change in fp64."""
    parameters = lora_parameters(model)
    before = {name: parameter.detach().double().clone() for name, parameter in parameters.items()}
    optimizer = torch.optim.AdamW(parameters.values(), lr=5e-6, weight_decay=0.0)
    model(IDS, labels=IDS).loss.backward()
    optimizer.step()
    return {name: parameter.detach().double() - before[name] for name, parameter in parameters.items()}


def worst_error(model: nn.Module, exact: nn.Module) -> float:
    steps = adam_step(model)
    return max(((steps[name] - step).abs() / step.abs()).max().item() for name, step in adam_step(exact).items())


def test_one_small_step_in_fp32_is_the_fp64_step_and_in_bf16_it_is_not():
    """INVARIANT 24: within 1 % in every coordinate; adapters stored in bf16 lose the update."""
    model = adapted()
    assert worst_error(model, copy.deepcopy(model).double()) < 0.01
    rounded = adapted()
    for layer in adapters(rounded).values():
        layer.to(torch.bfloat16)
    exact = copy.deepcopy(rounded).double()
    assert worst_error(rounded.to(torch.bfloat16), exact) > 0.5


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_recomputed_layers_give_the_same_loss_and_gradients(dropout: float):
    """INVARIANT 25, dropout included."""
    packed = pack([(IDS[0].tolist(), [False] * 4 + [True] * 6), ([3, 1, 4, 1, 5], [False] + [True] * 4)])
    seen = []
    for recompute_layers in (0, 2):
        model = tiny_model(dtype=torch.float64)
        add_lora(model, LoRAConfig(rank=4, dropout=dropout), seed=0)
        with torch.no_grad():
            for layer in adapters(model).values():
                layer.lora_B.fill_(0.1)
        model.recompute_layers = recompute_layers
        torch.manual_seed(7)
        loss = -model.train()(packed).sum()
        loss.backward()
        seen.append({"loss": loss.detach()} | {name: parameter.grad for name, parameter in lora_parameters(model).items()})
    for name, value in seen[0].items():
        assert_close(seen[1][name], value, atol=1e-12, rtol=0, msg=name)
        assert name == "loss" or value.abs().max() > 0
