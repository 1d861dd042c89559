"""rms_norm, rope and swiglu against arithmetic done by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from kernels.rms_norm import rms_norm
from kernels.rope import rope, rope_tables
from kernels.swiglu import swiglu


def test_rms_norm_by_hand():
    # rms of (3, 4) is sqrt((9 + 16) / 2); eps = 0
    rms = math.sqrt(12.5)
    y = rms_norm(torch.tensor([[3.0, 4.0]]), torch.tensor([2.0, -1.0]), 0.0)
    assert_close(y, torch.tensor([[6 / rms, -4 / rms]]))


def test_rms_norm_of_bf16_is_the_fp64_value_rounded_once():
    x, weight = torch.randn(5, 123).bfloat16() * 3, torch.randn(123).bfloat16()
    exact = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    y = rms_norm(x, weight, 1e-5)
    assert y.dtype == torch.bfloat16
    assert (y.double() - exact).abs().le(exact.abs() * 2**-8).all()


def test_rms_norm_does_not_overflow_where_a_16_bit_square_would():
    x = torch.full((1, 64), 300.0, dtype=torch.float16)  # 300 ** 2 > 65,504
    assert_close(rms_norm(x, torch.ones(64, dtype=torch.float16), 0.0), torch.ones(1, 64, dtype=torch.float16))


def test_rms_norm_gradients_against_finite_differences():
    x, weight = (torch.randn(3, 5, dtype=torch.float64, requires_grad=True), torch.randn(5, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(lambda x, weight: rms_norm(x, weight, 1e-5), (x, weight))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_rope_is_a_complex_multiplication_of_the_two_halves_of_a_head(dtype):
    T, H, half = 7, 3, 4
    inv_freq = torch.tensor([1.0, 0.3, 0.1, 0.03])
    positions = torch.arange(T) * 5
    x, k = torch.randn(T, H, 2 * half, dtype=dtype), torch.randn(T, 1, 2 * half, dtype=dtype)
    pairs = torch.complex(x[..., :half].double(), x[..., half:].double())
    turned = pairs * torch.exp(1j * (positions[:, None, None] * inv_freq).double())
    y, turned_k = rope(x, k, *rope_tables(positions, inv_freq, 1.0))
    assert torch.equal(turned_k, rope(k, k, *rope_tables(positions, inv_freq, 1.0))[0])
    assert y.dtype == dtype
    bound = 1e-6 if dtype == torch.float64 else 2**-8 * 4
    assert_close(y.double(), torch.cat((turned.real, turned.imag), -1), rtol=0, atol=bound)


def test_scores_after_rope_depend_on_the_distance_only():
    q, k = torch.randn(2, 1, 1, 16, dtype=torch.float64)
    inv_freq = 10_000.0 ** (-torch.arange(8) / 8)

    def score(i, j):
        at = [rope(x, x, *rope_tables(torch.tensor([p]), inv_freq, 1.0))[0] for x, p in ((q, i), (k, j))]
        return (at[0] * at[1]).sum()

    assert_close(score(3, 1), score(103, 101), rtol=0, atol=1e-4)  # fp32 angles


def test_rope_gradients_against_finite_differences():
    q, k = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True), torch.randn(3, 2, 6, dtype=torch.float64, requires_grad=True)
    cos, sin = torch.randn(2, 3, 1, 3, dtype=torch.float64)  # any numbers: the gradient is that of a linear map
    assert torch.autograd.gradcheck(lambda q, k: rope(q, k, cos, sin), (q, k))


def test_swiglu_by_hand():
    # silu(2) * 3 = 2 / (1 + e^-2) * 3
    assert_close(swiglu(torch.tensor([2.0]), torch.tensor([3.0])), torch.tensor([6 / (1 + math.exp(-2))]))


def test_swiglu_gradients_against_finite_differences():
    gate, up = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True).unbind()
    assert torch.autograd.gradcheck(swiglu, (gate, up))
