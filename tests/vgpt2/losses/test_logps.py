"""Sums and counts a sequence."""

import pytest
import torch

from vgpt2.losses import logps
from vgpt2.losses.logps import sequence_lengths, sequence_logps


def test_sums_of_two_sequences_by_hand():
    # sequence 0: 0 - 1 - 2 = -3; sequence 1: 0 - .5 = -.5
    sums = sequence_logps(torch.tensor([0.0, -1.0, -2.0, 0.0, -0.5]), torch.tensor([0, 3, 5], dtype=torch.int32))
    assert sums.tolist() == [-3.0, -0.5]
    assert sums.dtype == torch.float32


def test_an_empty_sequence_sums_to_zero():
    assert sequence_logps(torch.tensor([-1.0]), torch.tensor([0, 0, 1, 1], dtype=torch.int32)).tolist() == [0, -1, 0]


def test_sums_equal_a_loop_in_fp64_and_gradients_equal_ones_times_the_sequence_weight():
    """INVARIANT 5, its sum over a sequence."""
    generator = torch.Generator().manual_seed(0)
    lengths = [1, 7, 300, 2]
    cu_seqlens = torch.tensor([0, *lengths]).cumsum(0).int()
    token_logps = -torch.rand(sum(lengths), dtype=torch.float64, generator=generator)
    token_logps.requires_grad_()
    sums = sequence_logps(token_logps, cu_seqlens)
    assert torch.allclose(sums, torch.stack([part.sum() for part in token_logps.split(lengths)]), atol=1e-12, rtol=0)

    weights = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((sums * weights).sum(), token_logps)
    assert torch.equal(gradient, weights.repeat_interleave(torch.tensor(lengths)))


def test_a_long_answer_keeps_its_precision():
    """INVARIANT 15, its sum: a running fp32 sum of these tokens is wrong by more than 1e-5 of the whole."""
    token_logps = torch.full((400_000,), -0.1)
    sums = sequence_logps(token_logps, torch.tensor([0, 400_000], dtype=torch.int32))
    exact = float(token_logps[0].double()) * 400_000
    assert abs(sums.item() / exact - 1) < 1e-7


def test_scored_tokens_are_counted():
    labels = torch.tensor([-100, 5, 0, -100, -100, 9, -100])
    assert sequence_lengths(labels, torch.tensor([0, 4, 5, 7], dtype=torch.int32)).tolist() == [2, 0, 1]


@pytest.mark.parametrize("values, cu_seqlens", [(torch.zeros(2, 2), [0, 2]), (torch.zeros(2), [0]), (torch.zeros(2), [[0, 2]])])
def test_wrong_shapes_are_refused_in_one_sentence(values: torch.Tensor, cu_seqlens: list):
    with pytest.raises(ValueError, match=r"must be \(T,\) and \(N\+1,\)") as caught:
        sequence_logps(values, torch.tensor(cu_seqlens))
    assert "\n" not in str(caught.value)


def test_the_ignored_label_is_the_packs_ignored_label():
    packing = pytest.importorskip("vgpt2.packing")
    assert logps.IGNORE == packing.IGNORE
