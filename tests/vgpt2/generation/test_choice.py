"""Choosing tokens from logits, by hand and against transformers' own processors."""

import random

import pytest
import torch
from torch.testing import assert_close

from vgpt2.generation.choice import Draw, choose, logps_of, penalised

# probabilities .5 .3 .15 .05 of the tokens 2 0 3 1
LOGITS = torch.tensor([[0.3, 0.05, 0.5, 0.15]]).log()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (Draw(None), 2),
        (Draw(0.0), 2),
        (Draw(0.49), 2),
        (Draw(0.51), 0),
        (Draw(0.79), 0),
        (Draw(0.81), 3),
        (Draw(0.96), 1),
        (Draw(1 - 2**-53), 1),  # rounds to 1 in fp32 and must not run off the end
        (Draw(0.96, top_p=0.8), 0),  # .5 + .3 reach .8
        (Draw(0.96, top_p=0.81), 3),
        (Draw(0.99, top_p=1e-9), 2),  # the likeliest is always kept
        (Draw(0.99, top_k=1), 2),
        (Draw(0.62, top_k=2), 2),  # .5 / .8 = .625
        (Draw(0.63, top_k=2), 0),
        (Draw(1 - 2**-53, top_k=2), 0),
        (Draw(0.7, top_p=0.6, top_k=2), 2),  # of .625 and .375 the first alone reaches .6
        (Draw(0.99, temperature=1e-6), 2),
    ],
)
def test_the_drawn_number_chooses_by_hand(draw, expected):
    assert choose(LOGITS, [draw]) == [expected]


def test_temperature_flattens_by_hand():
    # T = 2: square roots .707 .548 .387 .224 of a sum 1.866; the first two reach .6727
    assert choose(LOGITS, [Draw(0.67, temperature=2.0)]) == [0]
    assert choose(LOGITS, [Draw(0.68, temperature=2.0)]) == [3]


def test_greedy_and_sampled_rows_stand_side_by_side():
    assert choose(LOGITS.expand(3, -1), [Draw(0.96), Draw(None), Draw(0.6)]) == [1, 2, 0]


def test_drawn_shares_are_the_probabilities():
    rng = random.Random(0)
    drawn = choose(LOGITS.expand(4000, -1), [Draw(rng.random()) for _ in range(4000)])
    shares = torch.bincount(torch.tensor(drawn), minlength=4) / 4000
    assert_close(shares, LOGITS.exp()[0], atol=0.03, rtol=0)  # four standard deviations of .5 at n = 4,000


def test_the_penalty_is_that_of_transformers():
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
    seen = [[1, 5, 5, 7], [0, 2, 3, 29]]
    expected = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor(seen), logits.clone())
    assert_close(penalised(logits, [set(ids) for ids in seen], [1.3, 1.3]), expected, atol=0, rtol=0)
    assert penalised(logits, [(), ()], [1, 1]) is logits
    assert_close(penalised(logits, [set(seen[0]), set(seen[1])], [1, 1.3])[0], logits[0], atol=0, rtol=0)


def test_log_probabilities_by_hand():
    assert_close(torch.tensor(logps_of(LOGITS.expand(2, -1) + 7, [0, 1])), torch.tensor([0.3, 0.05]).log())
