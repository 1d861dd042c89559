"""NF4 against bitsandbytes' own codes and values."""

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
