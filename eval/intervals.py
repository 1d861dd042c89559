"""Intervals of a share and exact tests of a paired change; standard library only."""

from math import comb, sqrt
from typing import Literal

Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
Change = Literal["better", "worse", "same", "cannot tell"]


def wilson(k: int, n: int) -> tuple[float, float]:
    """95 % score interval of the share k / n, within [0, 1]; (0, 1) where n is 0. Wilson 1927, JASA 22:209-212."""
    if not 0 <= k <= n:
        raise ValueError(f"wilson: {k} of {n} is no share; 0 <= k <= n")
    if n == 0:
        return 0.0, 1.0
    share, z2 = k / n, Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_of_shares(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of (k1 / n1 + k2 / n2) / 2, two independent shares with n > 0.

    The Wilson limits of both are combined by their squared distances (MOVER). Zou & Donner 2008, Stat. Med. 27:1693-1702.
    """
    shares = [k / n for k, n in (first, second)]
    limits = [wilson(k, n) for k, n in (first, second)]
    centre = sum(shares) / 2
    below = sqrt(sum((share - low) ** 2 for share, (low, _) in zip(shares, limits))) / 2
    above = sqrt(sum((high - share) ** 2 for share, (_, high) in zip(shares, limits))) / 2
    return max(0.0, centre - below), min(1.0, centre + above)


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p of `gained` against `lost` flips when each flip is a fair coin; 1 without flips. McNemar 1947."""
    flips = gained + lost
    tail = sum(comb(flips, i) for i in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**flips)


def change(gained: int, lost: int, n: int) -> Change:
    """What a paired comparison of n items allows to say.

    `better` and `worse`: the flips are not chance at 5 %. `same`: at most one item in twenty flipped, either way.
    `cannot tell`: more flipped, but chance would do that too.
    """
    if mcnemar(gained, lost) < 0.05:
        return "better" if gained > lost else "worse"
    return "same" if 20 * (gained + lost) <= n else "cannot tell"
