"""Packed attention against softmax written out, and the isolation of sequences from each other."""

import functools
import inspect

import pytest
import torch
import torch.nn.attention.varlen as varlen
from devices import on_gpu
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from vgpt2 import attention
from vgpt2.attention import attend_by_sequence, packed_attention
from vgpt2.packing import pack

LENGTHS = (5, 1, 12, 3)  # 21 tokens


def written_out(q, k, v):
    """One sequence: softmax(q k^T / sqrt(Dh)) v over the tokens up to each one, head by head."""
    T, H, Dh = q.shape
    out = torch.empty_like(q)
    for h in range(H):
        kv = h // (H // k.shape[1])
        for t in range(T):
            weights = (k[: t + 1, kv] @ q[t, h] / Dh**0.5).softmax(0)
            out[t, h] = weights @ v[: t + 1, kv]
    return out


def qkv(T=21, H=4, K=2, Dh=8, dtype=torch.float64):
    return [torch.randn(T, heads, Dh, dtype=dtype) for heads in (H, K, K)]


@pytest.mark.parametrize("K", [1, 2, 4])
def test_each_sequence_attends_to_itself_alone_with_grouped_heads(K):
    """INVARIANTS 7: packed equals alone, against softmax written out."""
    q, k, v = qkv(K=K)
    packed = pack([([1] * length, [True] * length) for length in LENGTHS])
    attended = packed_attention(packed)(0, q, k, v)
    starts = [0, 5, 6, 18]
    expected = [written_out(*(x[s : s + n] for x in (q, k, v))) for s, n in zip(starts, LENGTHS)]
    assert_close(attended, torch.cat(expected), rtol=0, atol=1e-10)


def test_gradients_against_finite_differences():
    q, k, v = (x.requires_grad_() for x in qkv(T=6, H=2, K=1, Dh=3))
    assert torch.autograd.gradcheck(lambda q, k, v: attend_by_sequence(q, k, v, (2, 4)), (q, k, v))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_changing_one_sequence_leaves_the_others_bit_identical(dtype):
    """INVARIANTS 7: same shapes, any dtype."""
    q, k, v = qkv(dtype=dtype)
    before = attend_by_sequence(q, k, v, LENGTHS)
    for x in (q, k, v):
        x[:5] += 1
    after = attend_by_sequence(q, k, v, LENGTHS)
    assert torch.equal(before[5:], after[5:])
    assert not torch.equal(before[:5], after[:5])


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


def test_on_the_cpu_no_square_of_scores_is_kept_for_the_backward_pass():
    q, k, v = (x.requires_grad_() for x in qkv(dtype=torch.float32))
    with Operations() as seen:
        attend_by_sequence(q, k, v, LENGTHS).sum().backward()
    assert "aten::_scaled_dot_product_flash_attention_for_cpu_backward" in seen.names
    assert not any("softmax" in name for name in seen.names)


@pytest.fixture
def flash_with(monkeypatch):
    """Replaces torch's varlen_attn by one with another release's signature, which notes its arguments."""
    calls = []

    def install(names):
        def varlen_attn(*args, **options):
            calls.append((args, options))
            return args[0]

        parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
        varlen_attn.__signature__ = inspect.Signature(parameters)
        monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
        monkeypatch.setattr(attention, "varlen_flash", functools.cache(attention.varlen_flash.__wrapped__))
        return attention.varlen_flash(), calls

    return install


@pytest.mark.parametrize(
    ("release", "options", "key_heads"),
    [
        (["is_causal", "scale"], {"is_causal": True}, 4),
        (["window_size", "scale"], {"window_size": (-1, 0)}, 4),
        (["window_size", "enable_gqa", "num_splits"], {"window_size": (-1, 0), "enable_gqa": True}, 2),
    ],
)
def test_the_flash_call_follows_the_signature_of_the_installed_torch(flash_with, release, options, key_heads):
    flash, calls = flash_with(release)
    q, k, v = qkv(dtype=torch.bfloat16)
    cu_seqlens = torch.tensor([0, 5, 6, 18, 21], dtype=torch.int32)
    flash(q, k, v, cu_seqlens, cu_seqlens, 12, 12)
    args, seen = calls[0]
    assert seen == options
    assert args[1].shape == args[2].shape == (21, key_heads, 8)
    assert args[3] is args[4] is cu_seqlens
    assert args[5:] == (12, 12)


def test_the_installed_torch_still_has_one_of_the_known_signatures():
    known = inspect.signature(varlen.varlen_attn).parameters
    assert "is_causal" in known or "window_size" in known


def test_without_cuda_there_is_no_flash_call(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert attention.varlen_flash.__wrapped__() is None


@on_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_flash_equals_the_loop_over_sequences(dtype):
    q, k, v = (x.to("cuda", dtype).requires_grad_() for x in qkv(Dh=64))
    packed = pack([([1] * length, [True] * length) for length in LENGTHS]).to("cuda")
    upstream = torch.randn_like(q)
    flash = packed_attention(packed)(0, q, k, v)
    loop = attend_by_sequence(q.double(), k.double(), v.double(), LENGTHS)
    assert_close(flash.double(), loop, rtol=2e-2, atol=2e-2)
    for one, other in zip(torch.autograd.grad(flash, (q, k, v), upstream), torch.autograd.grad(loop, (q, k, v), upstream.double())):
        assert_close(one.double(), other.double(), rtol=5e-2, atol=5e-2)
