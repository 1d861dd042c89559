"""Intervals and exact tests against arithmetic done by hand and sums over every outcome."""

from itertools import product
from math import sqrt

import pytest

from eval.intervals import Z95, change, mcnemar, mean_of_shares, wilson


def test_wilson_by_hand():
    # 5 of 10, z^2 = 3.8415: centre (.5 + .19207) / 1.38415 = .5; half 1.95996 / 1.38415 * sqrt(.025 + .009604) = .26340
    assert wilson(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    # 0 of 20: the upper end is z^2 / (n + z^2) = 3.8415 / 23.8415
    assert wilson(0, 20) == pytest.approx((0.0, 3.841459 / 23.841459), abs=1e-6)
    assert wilson(20, 20)[0] == pytest.approx(20 / 23.841459, abs=1e-6)


def test_wilson_holds_the_shares_that_the_score_test_does_not_refuse():
    """Its ends are where (share - p) = z sqrt(p (1 - p) / n)."""
    for k, n in ((1, 7), (31, 50), (48, 50), (119, 130)):
        for end in wilson(k, n):
            assert abs(k / n - end) == pytest.approx(Z95 * sqrt(end * (1 - end) / n))


def test_wilson_of_nothing_is_everything_and_of_nonsense_an_error():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="5 of 4"):
        wilson(5, 4)


def test_the_mean_of_two_shares_by_hand():
    # 20/20 has [.83887, 1], 0/20 has [0, .16113]: below sqrt(.16113^2 + 0) / 2 = .08057, above the same
    assert mean_of_shares((20, 20), (0, 20)) == pytest.approx((0.5 - 0.080564, 0.5 + 0.080564), abs=1e-5)


def test_the_mean_of_two_shares_is_no_wider_than_each_and_mirrors():
    low, high = mean_of_shares((31, 50), (44, 50))
    assert mean_of_shares((44, 50), (31, 50)) == (low, high)
    assert mean_of_shares((19, 50), (6, 50)) == pytest.approx((1 - high, 1 - low))
    assert 0.75 - low < 0.62 - wilson(31, 50)[0]


@pytest.mark.parametrize(("gained", "lost"), product(range(7), range(7)))
def test_mcnemar_equals_a_sum_over_every_outcome_of_fair_coins(gained, lost):
    flips = gained + lost
    extreme = abs(gained - lost)
    hits = sum(abs(2 * sum(coins) - flips) >= extreme for coins in product((0, 1), repeat=flips))
    assert mcnemar(gained, lost) == pytest.approx(hits / 2**flips)


def test_what_a_comparison_allows_to_say():
    # 6 flips one way: p = 2 / 64 = .031; 5: 2 / 32 = .0625
    assert change(6, 0, 50) == "better"
    assert change(0, 6, 50) == "worse"
    assert change(5, 0, 50) == "cannot tell"
    assert change(2, 0, 50) == "same"
    assert change(1, 1, 40) == "same"
    assert change(2, 1, 50) == "cannot tell"
    assert change(0, 0, 8) == "same"
    assert change(1, 0, 8) == "cannot tell"
