"""What several answers to a question are worth: one of k right, and all of k right, from n drawn answers. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from eval.judged import Judged


def pass_at(k: int, *, right: int, drawn: int) -> float:
    """Probability that of `k` answers without replacement out of `drawn`, `right` of them right, at least one is right.

    Unbiased for pass@k: Chen et al. 2021, arXiv:2107.03374v2, Eq. 1.
    """
    _check(k, right, drawn)
    return 1.0 - comb(drawn - right, k) / comb(drawn, k)


def all_of(k: int, *, right: int, drawn: int) -> float:
    """Probability that all of `k` such answers are right: what can be relied on. Yao et al. 2024, arXiv:2406.12045 (pass^k)."""
    _check(k, right, drawn)
    return comb(right, k) / comb(drawn, k)


def passes(samples: Sequence[Sequence[Judged]]) -> dict[str, float]:
    """Means over questions for k = 1, 2, 4 ... up to the answers each has: 'pass@1', 'pass@4', 'all of 4'."""
    drawn = min(map(len, samples), default=0)
    found = {}
    for k in [k for k in (1, 2, 4, 8, 16, 32, 64) if k < drawn] + [drawn] * (drawn > 0):
        rights = [(sum(a.right for a in answers), len(answers)) for answers in samples]
        found[f"pass@{k}"] = sum(pass_at(k, right=r, drawn=n) for r, n in rights) / len(rights)
        if k > 1:
            found[f"all of {k}"] = sum(all_of(k, right=r, drawn=n) for r, n in rights) / len(rights)
    return found


def _check(k: int, right: int, drawn: int) -> None:
    if not 1 <= k <= drawn or not 0 <= right <= drawn:
        raise ValueError(f"pass@{k}: {right} of {drawn} answers are right; 1 <= k <= answers and 0 <= right <= answers are needed")
