"""Another layout of the weights is the same model."""

import pytest
import torch
from torch import nn

from vgpt2.cpu_layout import BlockedLinear, has_blocks, lay_out
from vgpt2.projections import kept, project

needs_blocks = pytest.mark.skipif(not has_blocks(torch.empty(0, dtype=torch.bfloat16)), reason="oneDNN has no bf16 on this processor")


@needs_blocks
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tokens", [1, 8, 77, 300])
def test_a_weight_in_blocks_gives_the_bits_of_a_plain_one(tokens, bias):
    torch.manual_seed(tokens)
    layer = nn.Linear(96, 160, bias=bias).bfloat16().requires_grad_(False)
    x = torch.randn(tokens, 96, dtype=torch.bfloat16)
    assert torch.equal(BlockedLinear(layer.weight, layer.bias)(x), layer(x))


class Own(nn.Linear):
    """A layer that is more than its weight."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_layers_alone_are_laid_out(dtype):
    torch.manual_seed(0)
    model = nn.ModuleDict({"plain": nn.Linear(64, 64), "own": Own(64, 64), "norm": nn.LayerNorm(64)}).to(dtype).requires_grad_(False)
    x = torch.randn(5, 64, dtype=dtype)
    before = {name: layer(x) for name, layer in model.items()}
    lay_out(model)
    assert type(model["own"]) is Own
    assert model["own"].weight.is_contiguous()
    if dtype == torch.float32:
        assert model["plain"].weight.t().is_contiguous()
    else:
        assert isinstance(model["plain"], BlockedLinear) == has_blocks(x)
    for name, layer in model.items():
        torch.testing.assert_close(layer(x), before[name], rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        (y,) = project(kept(x), model["plain"])
    torch.testing.assert_close(y, before["plain"], rtol=1e-5, atol=1e-5)
