"""NF4 against bitsandbytes' own codes and values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from kernels.nf4 import CODEBOOK, NF4, dequantise

bnb = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes is not made for this system")


def quantised(shape: tuple[int, int], dtype: torch.dtype = torch.bfloat16) -> tuple[NF4, torch.Tensor]:
    """A random matrix in 4 bits and bitsandbytes' reading of it."""
    torch.manual_seed(0)
    codes, state = bnb.quantize_4bit(torch.randn(shape, dtype=dtype), quant_type="nf4", compress_statistics=True)
    theirs = bnb.dequantize_4bit(codes, state)
    assert theirs.shape == shape
    nested = state.state2
    ours = NF4(codes.flatten(), state.absmax, nested.code, nested.absmax, state.offset, shape, state.blocksize)
    return ours, theirs


def test_the_codebook_is_theirs():
    assert_close(torch.tensor(CODEBOOK), bnb.get_4bit_type("nf4", device="cpu"), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(64, 64), (5, 123), (300, 257)], ids=str)
def test_values_equal_bitsandbytes(shape: tuple[int, int]):
    """(300, 257) has 1,205 scales, so five scales of scales; (5, 123) an odd number of weights and a last block cut short."""
    ours, theirs = quantised(shape)
    buffer = torch.empty(shape, dtype=torch.bfloat16)
    assert dequantise(ours, buffer) is buffer
    assert_close(buffer, theirs, rtol=2**-8, atol=0)  # they round the scaled value once, as here; a last bit may differ
    assert (buffer == theirs).double().mean() > 0.99


def test_the_buffers_rows_may_lie_apart_and_what_lies_between_is_left_alone():
    ours, theirs = quantised((5, 123))
    wide = torch.full((5, 130), torch.nan, dtype=torch.bfloat16)
    dequantise(ours, wide[:, :123])
    assert_close(wide[:, :123], theirs, rtol=2**-8, atol=0)
    assert wide[:, 123:].isnan().all()


@pytest.mark.parametrize("buffer", [torch.empty(123, 5), torch.empty(123, 5).t(), torch.empty(5, 122)], ids=["turned", "strided", "short"])
def test_another_buffer_is_refused(buffer: torch.Tensor):
    with pytest.raises(ValueError, match="with columns side by side"):
        dequantise(quantised((5, 123))[0], buffer)


def test_a_4_bit_layer_reads_its_codes_alike_by_our_kernel_and_by_bitsandbytes():
    """(97, 123): rows that share blocks; the interpreter cuts off the digit that bitsandbytes rounds."""
    pytest.importorskip("triton", reason="triton is not installed here; it is made for Linux")
    code = (
        "import os, torch; from torch import nn; from vgpt2.qlora import NF4Linear, Workspace\n"
        "layer = NF4Linear(nn.Linear(123, 97).bfloat16(), Workspace())\n"
        "layer.store(torch.randn(97, 123, generator=torch.Generator().manual_seed(0)).bfloat16(), 'w')\n"
        "theirs = layer.dequantised(torch.float32).clone()\n"
        "os.environ['VGPT2_KERNELS'] = 'triton'\n"
        "ours = layer.dequantised(torch.float32)\n"
        "assert ours.shape == theirs.shape == (97, 123) and layer.workspace._rooms\n"
        "print(((ours - theirs).abs() <= theirs.abs() * 2**-7).all().item(), theirs.abs().max().item() > 2)\n"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith("VGPT2")} | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "True True", done.stderr
