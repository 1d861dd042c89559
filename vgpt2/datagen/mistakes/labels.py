"""Which labelled answers are the right ones: half of each kind, as many denials right as wrong, both classes of like length."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log
from statistics import mean, median
from typing import TYPE_CHECKING

from vgpt2.datagen.audit.balance import LEAST_OF_CLASS
from vgpt2.datagen.faults import REFUSES_REAL

if TYPE_CHECKING:
    from vgpt2.datagen.mistakes.preferences import Pair

ALIKE = log(1.15)  # of the right answers' median length to the wrong ones', either way; the audit allows .8 to 1.25


def labels(pairs: Sequence[Pair]) -> list[bool]:
    """For each pair whether its right answer is given: by turns in each group, then changed where a small set came out uneven.

    A group is a category's questions about real names, about unreal ones, or for SQL.
    """
    groups: dict[tuple[str, bool, bool], list[int]] = defaultdict(list)
    for n, pair in enumerate(pairs):
        q = pair.question
        groups[pair.category, q.query is None, q.subject is not None and q.subject.is_real].append(n)
    right = [False] * len(pairs)
    for members in groups.values():
        for n in members[::2]:
            right[n] = True
    _even_denials(pairs, list(groups.values()), right)
    for pool in _pools(pairs, right):
        _match_lengths(pairs, [members for (category, *_), members in groups.items() if category in pool], right)
    return right


def _even_denials(pairs: Sequence[Pair], groups: Sequence[Sequence[int]], right: list[bool]) -> None:
    """Each group of odd size has a right answer more than wrong ones; some give it up where too many of the right answers deny a name."""
    denies = [pair.question.subject is not None and not pair.question.subject.is_real for pair in pairs]
    refuses = [pair.fault == REFUSES_REAL for pair in pairs]
    surplus = sum(d and r for d, r in zip(denies, right)) - sum(d and not r for d, r in zip(refuses, right))
    for members in groups:
        last = members[-1]
        if surplus > 1 and len(members) % 2 and (denies[last] or refuses[last]):
            right[last] = False
            surplus -= 1


def _pools(pairs: Sequence[Pair], right: Sequence[bool]) -> list[set[str]]:
    """The categories whose lengths the audit compares: each by itself, those with few answers of a class together."""
    counts = Counter((pair.category, label) for pair, label in zip(pairs, right))
    categories = dict.fromkeys(pair.category for pair in pairs)
    few = {category for category in categories if min(counts[category, True], counts[category, False]) < LEAST_OF_CLASS}
    return [{category} for category in categories if category not in few] + [few]


def _match_lengths(pairs: Sequence[Pair], groups: Sequence[Sequence[int]], right: list[bool]) -> None:
    """A right and a wrong answer of a group trade places, those of like length first, until the medians of both classes are alike."""
    members = [n for group in groups for n in group]

    def apart() -> tuple[float, float]:
        """How far the medians are apart, and that with the means, which show the way where a trade leaves the medians as they are."""
        good = [log(len(pairs[n].question.answer)) for n in members if right[n]]
        bad = [log(len(pairs[n].wrong)) for n in members if not right[n]]
        medians = abs(median(good) - median(bad)) if good and bad else 0.0
        return medians, medians + (abs(mean(good) - mean(bad)) if good and bad else 0.0)

    def difference(trade: tuple[int, int]) -> int:
        return abs(len(pairs[trade[0]].question.answer) - len(pairs[trade[1]].question.answer))

    (medians, best), before = apart(), -1.0
    while medians > ALIKE and best != before:
        before = best
        for i, j in sorted(((i, j) for group in groups for i in group if right[i] for j in group if not right[j]), key=difference):
            if medians > ALIKE and right[i] and not right[j]:
                right[i], right[j] = False, True
                if (now := apart())[1] < best:
                    medians, best = now
                else:
                    right[i], right[j] = True, False
