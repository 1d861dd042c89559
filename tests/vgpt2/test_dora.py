"""DoRA against PEFT's, against its formula written out, and against finite differences."""

from pathlib import Path

import peft
import pytest
import torch
import torch.nn.functional as F
from tiny_adapters import PACKED, adapted, llama, logits, loss_of, ours, saved, theirs, twin_parameters
from tiny_models import exact_norms, oracle, twin
from torch import Tensor, nn
from torch.testing import assert_close

from vgpt2 import optim
from vgpt2.adapter_files import load_adapter
from vgpt2.config import LoRAConfig, OptimConfig
from vgpt2.dora import row_norms
from vgpt2.lora import LoRALinear, adapters, add_lora, lora_parameters, merge_lora
from vgpt2.projections import Factors, kept, multiply, rescaled


@pytest.mark.parametrize("family", ["llama", "llama-biased"])
def test_logits_loss_and_every_gradient_are_peft_s_in_fp64(family: str, tmp_path: Path):
    """q, k, v and gate, up as groups here, one after the other there; biases stay outside of the scale."""
    model = ours(family, use_dora=True)
    other = theirs(family, saved(model, tmp_path))
    with exact_norms(other.base_model.model):
        expected, loss = loss_of(other)
    assert_close(model.logits(PACKED), expected, atol=1e-10, rtol=0)
    assert_close(-model(PACKED).sum(), loss, atol=1e-10, rtol=0)
    (-model(PACKED).sum()).backward()
    loss.backward()
    twins = twin_parameters(model, other)
    assert len(twins) == 2 * 7 * 3
    for name, parameter, their in twins:
        assert their.grad.abs().max() > 0
        assert_close(parameter.grad, their.grad, atol=1e-9, rtol=1e-9, msg=name)


@pytest.mark.parametrize("use_rslora", [False, True])
def test_an_adapter_of_peft_is_read_and_one_of_ours_gives_peft_the_same_logits(use_rslora: bool, tmp_path: Path):
    """INVARIANT 35, in fp32."""
    model = adapted(use_dora=True, use_rslora=use_rslora)
    saved(model, tmp_path / "ours")
    other = peft.PeftModel.from_pretrained(llama(), tmp_path / "ours")
    assert_close(logits(other), logits(model), atol=1e-5, rtol=0)
    other.save_pretrained(tmp_path / "theirs")
    again = llama()
    load_adapter(again, tmp_path / "theirs")
    assert torch.equal(logits(again), logits(model))
    assert all(layer.lora_magnitude_vector is not None for layer in adapters(again).values())


def test_the_norms_are_those_of_the_sum_row_by_row():
    torch.manual_seed(0)
    weight, lora_A, lora_B = (torch.randn(shape, dtype=torch.float64) for shape in ((5, 7), (3, 7), (5, 3)))
    expected = torch.stack([(row + 0.7 * b @ lora_A).square().sum().sqrt() for row, b in zip(weight, lora_B)])
    assert_close(row_norms(weight, weight.square().sum(1), lora_A, lora_B, 0.7), expected, atol=1e-12, rtol=0)


def test_forward_by_hand():
    # W = (3 4), so m = 5; with B A = (0 8) and s = 1 the row is (3 12) of length sqrt(153); m / ||.|| (3 + 12) + 1 = 75 / sqrt(153) + 1
    base = nn.Linear(2, 1)
    with torch.no_grad():
        base.weight.copy_(torch.tensor([[3.0, 4.0]]))
        base.bias.fill_(1.0)
    layer = LoRALinear(base.requires_grad_(False), LoRAConfig(rank=1, alpha=1.0, use_dora=True), torch.Generator())
    assert layer.lora_magnitude_vector.tolist() == [5.0]
    with torch.no_grad():
        layer.lora_A.copy_(torch.tensor([[0.0, 8.0]]))
        layer.lora_B.fill_(1.0)
    assert_close(layer(torch.ones(1, 2)), torch.tensor([[75 / 153**0.5 + 1]]))


def test_gradients_of_the_scale_equal_finite_differences():
    torch.manual_seed(0)
    shapes = ((2, 3, 6), (5, 6), (5,), (2, 6), (5, 2), (5,))
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def f(x: Tensor, weight: Tensor, bias: Tensor, lora_A: Tensor, lora_B: Tensor, row_scale: Tensor) -> Tensor:
        return multiply(kept(x), [Factors(weight, bias, torch.float64, lora_A, lora_B, 0.7, row_scale)])[0]

    assert torch.autograd.gradcheck(f, tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fresh_one_leaves_the_logits_as_they_are(dtype: torch.dtype):
    """To rounding; the scale is m / m = 1, so nothing but a bias can be added in another order."""
    model = llama(dtype)
    before = logits(model)
    add_lora(model, LoRAConfig(rank=4, use_dora=True), seed=0)
    assert_close(logits(model), before, atol=1e-6, rtol=0)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(lora_parameters(model))


def test_a_row_of_zeros_stays_one():
    layer = LoRALinear(nn.Linear(4, 3), LoRAConfig(rank=2, use_dora=True), torch.Generator())
    with torch.no_grad():
        layer.base.weight[1] = 0
    layer = LoRALinear(layer.base, layer.cfg, torch.Generator())
    y = layer(torch.randn(5, 4))
    y.square().sum().backward()
    assert y[:, 1].eq(layer.base.bias[1]).all()
    assert all(parameter.grad.isfinite().all() for parameter in (layer.lora_A, layer.lora_B, layer.lora_magnitude_vector))


@pytest.mark.parametrize("use_rslora", [False, True])
def test_merged_logits_equal_adapted_ones(use_rslora: bool):
    """INVARIANT 36."""
    model = adapted(use_dora=True, use_rslora=use_rslora)
    before = logits(model)
    merge_lora(model)
    assert_close(logits(model), before, atol=1e-5, rtol=0)
    assert (before - logits(llama())).abs().max() > 1e-2


def test_the_scale_is_applied_in_fp32_and_rounded_once():
    """c in bf16 would be off by up to 0.4 % of itself."""
    torch.manual_seed(0)
    y, c, b = torch.randn(50, 8).to(torch.bfloat16), 1 + 0.01 * torch.randn(8), torch.zeros(8)
    assert torch.equal(rescaled(y, c, None), (y.double() * c).to(torch.bfloat16))
    assert torch.equal(rescaled(y, c, b), (y.double() * c).to(torch.bfloat16))


def test_autocast_in_bf16_is_close_to_fp64():
    model = ours("qwen2.5", torch.bfloat16, use_dora=True)
    exact = twin(oracle("qwen2.5", dtype=torch.bfloat16)).double()
    add_lora(exact, LoRAConfig(rank=4, alpha=8.0, use_dora=True), seed=0)
    exact.load_state_dict(model.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        loss = -model(PACKED).sum()
    loss.backward()
    (-exact(PACKED).sum()).backward()
    assert_close(loss.double(), -exact(PACKED).sum(), rtol=0.02, atol=0)
    for (name, parameter), other in zip(lora_parameters(model).items(), lora_parameters(exact).values()):
        assert parameter.grad.dtype == torch.float32
        error = (parameter.grad.double() - other.grad).norm() / other.grad.norm()
        assert error < 0.1, name


def test_dropout_acts_on_the_low_rank_path_alone_and_keeps_its_mean():
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(6, 5).double(), LoRAConfig(rank=2, alpha=6.0, dropout=0.5, use_dora=True), torch.Generator())
    nn.init.normal_(layer.lora_B)
    x = torch.ones(1, 6, dtype=torch.float64)
    mean = layer(x.expand(40_000, 6)).mean(0)
    layer.eval()
    assert_close(mean, layer(x)[0], rtol=0.05, atol=0.05)
    with torch.no_grad():
        layer.lora_B.zero_()
    assert_close(layer.train()(x), F.linear(x, layer.base.weight, layer.base.bias), atol=1e-12, rtol=0)


def test_magnitudes_have_no_weight_decay_and_the_learning_rate_of_a():
    model = adapted(use_dora=True)
    optimizer = optim.build(model, OptimConfig(weight_decay=0.1), loraplus_ratio=16.0)
    groups = {name: group for group in optimizer.param_groups for name in group["param_names"]}
    of = {kind: [group for name, group in groups.items() if name.endswith(kind)] for kind in ("lora_A", "lora_B", "magnitude_vector")}
    assert {(group["weight_decay"], group["lr_ratio"]) for group in of["magnitude_vector"]} == {(0.0, 1.0)}
    assert {(group["weight_decay"], group["lr_ratio"]) for group in of["lora_B"]} == {(0.1, 16.0)}
    assert len(of["magnitude_vector"]) == len(of["lora_A"]) == 14
