"""What knowing one's limits is worth: scores with a penalty for wrong answers, and risk against coverage. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.judged import Judged

PENALTIES = (0, 1, 10)


@dataclass(frozen=True)
class AbstentionScore:
    """Mean score of a question in percent, one for each of PENALTIES."""

    title: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class RiskCoverage:
    """`points` are (share answered, share of those wrong), the surest answer first; `area` is the mean risk over all shares."""

    points: tuple[tuple[float, float], ...]
    area: float


def abstention_scores(judged: Sequence[Judged], name: str) -> list[AbstentionScore]:
    """The model's row and that of one who never answers; questions of existence, which ask for a verdict, are left out.

    A right answer counts 1, an abstention 0 where the question can be answered and 1 where it cannot, anything else minus the penalty.
    Lee et al. 2024, arXiv:2403.15879v6 (TrustSQL), the penalty-based score.
    """
    asked = [a for a in judged if a.kind != "exists"]
    if not asked:
        return []
    always = sum(not a.answerable for a in asked) / len(asked)
    own = [100 * sum(_score(a, penalty) for a in asked) / len(asked) for penalty in PENALTIES]
    return [AbstentionScore(name, tuple(own)), AbstentionScore("always abstains", (100 * always,) * len(PENALTIES))]


def risk_coverage(judged: Sequence[Judged]) -> RiskCoverage | None:
    """The curve over answers that carry a confidence; None where fewer than two do.

    Geifman & El-Yaniv 2017, arXiv:1705.08500; answers of equal confidence come in or stay out together.
    """
    known = sorted((a for a in judged if a.confidence is not None and not a.abstained), key=lambda a: -(a.confidence or 0.0))
    if len(known) < 2:
        return None
    points, wrong = [], 0
    for place, answer in enumerate(known, 1):
        wrong += not answer.right
        if place == len(known) or known[place].confidence != answer.confidence:
            points.append((place / len(known), wrong / place))
    widths = [now - before for (before, _), (now, _) in zip([(0.0, 0.0), *points], points)]
    return RiskCoverage(tuple(points), sum(width * risk for width, (_, risk) in zip(widths, points)))


def _score(answer: Judged, penalty: int) -> float:
    if answer.right:
        return 1.0
    if answer.abstained:
        return 0.0 if answer.answerable else 1.0
    return -float(penalty)
