"""Layers that share an input: their arithmetic against each layer alone, and what the backward pass is left with, counted."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.testing import assert_close

from kernels.rope import rope_tables
from kernels.swiglu import swiglu
from vgpt2.attention import attend_by_sequence
from vgpt2.config import LoRAConfig
from vgpt2.lora import LoRALinear, add_lora
from vgpt2.model import DecoderLayer, ModelConfig
from vgpt2.projections import Factors, derive, kept, multiply, project

OUT = (5, 3, 4)


def layers(
    dtype: torch.dtype = torch.float64, *, adapted: tuple[int, ...] = (0, 1, 2), ranks: tuple[int, ...] = (2, 3, 1)
) -> nn.ModuleList:
    """Three layers of 6 inputs with biases; the others of `adapted` are trained whole."""
    torch.manual_seed(0)
    made = nn.ModuleList()
    for index, (out, rank) in enumerate(zip(OUT, ranks)):
        layer: nn.Module = nn.Linear(6, out, dtype=dtype)
        if index in adapted:
            layer = LoRALinear(layer.requires_grad_(False), LoRAConfig(rank=rank, alpha=3.0), torch.Generator().manual_seed(index))
            nn.init.normal_(layer.lora_B)
        made.append(layer)
    return made


def results(outputs: tuple[Tensor, ...], inputs: list[Tensor]) -> list[Tensor]:
    """Outputs and the gradients of a sum in which every element of every output has its own factor."""
    total = sum((y * torch.arange(1, 1 + y.numel()).view(y.shape)).sum() for y in outputs)
    return [*outputs, *torch.autograd.grad(total, inputs)]


@pytest.mark.parametrize("adapted", [(0, 1, 2), (0, 2), (1,), ()], ids=str)
def test_a_group_equals_its_layers_alone_in_values_and_every_gradient(adapted: tuple[int, ...]):
    group = layers(adapted=adapted)
    x = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    inputs = [x, *(p for p in group.parameters() if p.requires_grad)]
    alone = []
    for layer in group:
        base, adapter = (layer.base, layer) if isinstance(layer, LoRALinear) else (layer, None)
        y = x.tanh() @ base.weight.t() + base.bias
        alone.append(y if adapter is None else y + adapter.scale * (x.tanh() @ adapter.lora_A.t()) @ adapter.lora_B.t())
    for ours, expected in zip(results(project(derive(torch.tanh, x), *group), inputs), results(tuple(alone), inputs)):
        assert_close(ours, expected, rtol=0, atol=1e-12)


def test_gradients_of_a_group_equal_finite_differences():
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    shapes = [(5, 6), (5,), (2, 6), (5, 2), (3, 6), (3,), (1, 6), (3, 1)]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def f(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        first, second = (Factors(*four[:2], torch.float64, *four[2:], 0.7) for four in (tensors[:4], tensors[4:]))
        return multiply(derive(torch.sigmoid, x), [first, second])

    assert torch.autograd.gradcheck(f, (x, *tensors))


def test_a_batch_axis_more_changes_nothing():
    group, x = layers(), torch.randn(2, 7, 6, dtype=torch.float64)
    for flat, stacked in zip(project(kept(x.flatten(0, 1)), *group), project(kept(x), *group)):
        assert torch.equal(flat, stacked.flatten(0, 1))


def test_under_autocast_a_group_is_as_near_to_fp64_as_its_layers_one_after_the_other():
    """Mean error over values and gradients, bf16 matmuls, fp32 adapters, against the same numbers in fp64."""
    group = layers(torch.bfloat16, ranks=(4, 4, 4))
    exact_group = copy.deepcopy(group).double()
    x = torch.randn(256, 6, dtype=torch.bfloat16)

    def run(group: nn.ModuleList, x: Tensor, *, together: bool) -> list[Tensor]:
        x = x.clone().requires_grad_()
        inputs = [x, *(p for p in group.parameters() if p.requires_grad)]
        if together:
            return results(project(derive(torch.tanh, x), *group), inputs)
        composed = []
        for layer in group:
            n = x.tanh()
            composed.append(layer.base(n) + layer.scale * torch.matmul(torch.matmul(n, layer.lora_A.t()), layer.lora_B.t()))
        return results(tuple(composed), inputs)

    with torch.autocast("cpu", torch.bfloat16):
        ours, eager = run(group, x, together=True), run(group, x, together=False)
    exact = run(exact_group, x.double(), together=True)
    for one, other, truth in zip(ours, eager, exact):
        scale = truth.abs().mean()
        error, eager_error = ((each.double() - truth).abs().mean() / scale for each in (one, other))
        assert error <= max(1.25 * eager_error, 2**-8)
    assert all(grad.dtype == torch.float32 for grad in ours[4:])


def test_a_frozen_weight_that_is_made_on_demand_is_made_once_a_pass_and_not_kept():
    weight, made = torch.randn(5, 6), []
    lora_A, lora_B = torch.randn(2, 6, requires_grad=True), torch.randn(5, 2, requires_grad=True)
    x = torch.randn(4, 6, requires_grad=True)
    stored = Factors(weight, None, torch.float32, lora_A, lora_B, 0.5)
    on_demand = Factors(lambda: made.append(1) or weight.clone(), None, torch.float32, lora_A, lora_B, 0.5)
    sizes = []
    with saved_tensors_hooks(lambda t: sizes.append(t.shape) or t, lambda t: t):
        ours = multiply(kept(x), [on_demand])
    assert weight.shape not in sizes
    for one, other in zip(results(ours, [x, lora_A, lora_B]), results(multiply(kept(x), [stored]), [x, lora_A, lora_B])):
        assert torch.equal(one, other)
    assert len(made) == 2


def test_a_layer_with_dropout_and_a_foreign_layer_run_by_themselves():
    group = layers(torch.float32)
    group[1].cfg = LoRAConfig(rank=3, dropout=0.5)
    assert group[1].factors(torch.ones(1, 6)) is None
    assert group[1].eval().factors(torch.ones(1, 6)) is not None
    foreign = nn.Sequential(nn.Linear(6, 2), nn.ReLU())
    x = torch.randn(4, 6)
    outputs = project(kept(x), group[0], foreign)
    assert torch.equal(outputs[1], foreign(x))
    assert_close(outputs[0], group[0](x))


def test_an_input_that_is_made_again_is_not_kept():
    """Its memory may be overwritten between forward and backward."""
    gate, up = (torch.randn(9, 6, dtype=torch.float64, requires_grad=True) for _ in "gu")
    group = layers()
    inputs = [gate, up, *(p for p in group.parameters() if p.requires_grad)]
    product = derive(swiglu, gate, up)
    outputs = project(product, *group)
    expected = results(project(derive(swiglu, gate, up), *group), inputs)
    product.value.detach().fill_(torch.nan)
    for one, other in zip(results(outputs, inputs), expected):
        assert torch.equal(one, other)


def kept_bytes_of_a_token(cfg: ModelConfig, lora: LoRAConfig | None, *, tokens: int = 64) -> int:
    """Bytes a token that one bf16 layer leaves for its backward pass, each storage once; no parameter and no table counts."""
    with FakeTensorMode():
        torch.set_default_dtype(torch.bfloat16)
        layer = DecoderLayer(cfg, 0)
        torch.set_default_dtype(torch.float32)
        if lora:
            add_lora(layer, lora, seed=0)
        x = torch.randn(tokens, cfg.hidden_size, dtype=torch.bfloat16, requires_grad=True)
        tables = rope_tables(torch.arange(tokens), torch.rand(cfg.head_dim // 2), 1.0)
        shared = {t.untyped_storage()._cdata for t in (*layer.parameters(), *tables)}
        storages = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage._cdata] = storage
            return tensor

        with saved_tensors_hooks(note, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
            layer(x, tables, lambda _, q, k, v: attend_by_sequence(q, k, v, (tokens,)))
        return sum(storage.nbytes() for key, storage in storages.items() if key not in shared) // tokens


QWEN_7B = ModelConfig("qwen2", 152_064, 3584, 18_944, 28, 28, 4, 128, qkv_bias=True)


def test_a_7b_layer_with_rank_128_keeps_at_most_108_300_bytes_a_token():
    """Residuals x and x + attention, q, k, v, attention's result and fp32 log-sum a head, gate, up, and x A^T of o_proj and down_proj."""
    by_hand = 2 * (2 * 3584 + 2 * 3584 + 2 * 512 + 2 * 18_944 + 2 * 128) + 4 * 28
    assert by_hand == 107_120
    assert kept_bytes_of_a_token(QWEN_7B, LoRAConfig(rank=128)) == by_hand <= 108_300


def test_with_dora_a_7b_layer_also_keeps_each_adapted_output_once_more():
    """q, k, v, o, gate, up and down before the scale of their rows; and once a layer that scale and the norms in it, in fp32."""
    outputs = 3584 + 2 * 512 + 3584 + 2 * 18_944 + 3584
    assert 107_120 + 2 * outputs == 206_448
    assert kept_bytes_of_a_token(QWEN_7B, LoRAConfig(rank=128, use_dora=True), tokens=64) == 206_448 + 2 * 4 * outputs // 64


def test_a_fully_trained_7b_layer_keeps_the_same_but_for_the_adapters_products():
    assert kept_bytes_of_a_token(QWEN_7B, None) == 107_120 - 2 * 2 * 128
