"""Right and wrong answers to the same question as pairs of like length; what is left over as labelled answers, as many of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from vgpt2.datagen.language.similarity import normalised
from vgpt2.datagen.mining.answered import Answered
from vgpt2.datagen.mining.labels import Labelled
from vgpt2.dropped import Dropped

FARTHEST = 2.0  # times as long as the other answer of a pair
MEDIAN_RATIO = (0.8, 1.25)  # of right to wrong answers, in each category


@dataclass(frozen=True)
class Pair:
    """`chosen` is the model's own right answer, or the gold one."""

    asked: Answered
    chosen: str
    rejected: str
    defect: str

    @property
    def ratio(self) -> float:
        return len(self.chosen) / len(self.rejected)


@dataclass(frozen=True)
class Matched:
    pairs: tuple[Pair, ...]
    singles: tuple[Labelled, ...]  # in every category as many desirable as undesirable ones


def matched(answers: Sequence[Labelled], gold: dict[str, str], *, per_question: int, dropped: Dropped) -> Matched:
    """Pairs for the questions with right and wrong answers, at most `per_question` each, and labelled answers for the others.

    gold: right answers by question id, for questions that the model never got right. One right answer a question is used: a prompt
    is not rewarded for two different ones.
    """
    pairs: list[Pair] = []
    singles: list[Labelled] = []
    for group in _by_question(answers, dropped).values():
        right, wrong = [a for a in group if a.label], [a for a in group if not a.label]
        chosen = _chosen(group, right, wrong, gold)
        near = sorted((a for a in wrong if _distance(chosen, a) <= log(FARTHEST)), key=lambda a: _distance(chosen, a)) if chosen else []
        if chosen and near:
            used = near[:per_question]
            pairs += [Pair(a.answered, chosen, a.answered.answer, a.reason) for a in used]
        else:
            used = wrong[:per_question]
            singles += [*right[:1], *used]
        _count(right[1:], "another right answer to its question", dropped)
        _count([a for a in wrong if a not in used], "enough wrong answers to its question", dropped)
    return Matched(tuple(_of_like_length(pairs, dropped)), tuple(_even(singles, dropped)))


def _by_question(answers: Iterable[Labelled], dropped: Dropped) -> dict[str, list[Labelled]]:
    """Labelled answers by prompt, each text once; a text that was labelled both ways is not used."""
    groups: dict[str, dict[str, Labelled]] = defaultdict(dict)
    twice: set[tuple[str, str]] = set()
    for labelled in answers:
        if labelled.label is None:
            dropped.add(labelled.reason, labelled.answered.where)
            continue
        question, text = normalised(labelled.answered.prompt), normalised(labelled.answered.answer)
        before = groups[question].setdefault(text, labelled)
        if before is not labelled:
            dropped.add("the same answer again", labelled.answered.where)
            if before.label != labelled.label:
                twice.add((question, text))
    for question, text in sorted(twice):
        dropped.add("called right and wrong", groups[question].pop(text).answered.where)
    return {question: list(group.values()) for question, group in groups.items()}


def _chosen(group: Sequence[Labelled], right: Sequence[Labelled], wrong: Sequence[Labelled], gold: dict[str, str]) -> str | None:
    """The right answer whose length is nearest to what the wrong ones are long; the gold one where there is none."""
    if not wrong:
        return None
    usual = median(len(a.answered.answer) for a in wrong)
    if right:
        return min((a.answered.answer for a in right), key=lambda text: abs(log(len(text) / usual)))
    item = group[0].answered.item
    return gold.get(item.id) if item else None


def _of_like_length(pairs: Sequence[Pair], dropped: Dropped) -> list[Pair]:
    """The pairs without those whose lengths are farthest apart, until the median of every category is in range."""
    kept: list[Pair] = []
    by_category: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_category[pair.asked.category].append(pair)
    for group in by_category.values():
        while group and not MEDIAN_RATIO[0] <= (middle := median(pair.ratio for pair in group)) <= MEDIAN_RATIO[1]:
            group.remove(worst := (max if middle > 1 else min)(group, key=lambda pair: pair.ratio))
            dropped.add("right and wrong answers of unlike length", worst.asked.where)
        kept += group
    return kept


def _even(singles: Sequence[Labelled], dropped: Dropped) -> list[Labelled]:
    """As many desirable as undesirable answers of every category, those that are left of the larger class the nearest in length."""
    kept: list[Labelled] = []
    by_category: dict[str, list[Labelled]] = defaultdict(list)
    for labelled in singles:
        by_category[labelled.answered.category].append(labelled)
    for group in by_category.values():
        few, many = sorted(([a for a in group if a.label], [a for a in group if not a.label]), key=len)
        spare = list(many)
        for labelled in few:
            nearest = min(spare, key=lambda a: _distance(labelled.answered.answer, a))
            if _distance(labelled.answered.answer, nearest) <= log(FARTHEST):
                spare.remove(nearest)
                kept += [labelled, nearest]
            else:
                dropped.add("no answer of the other label is of like length", labelled.answered.where)
        _count(spare, "no answer of the other label beside it", dropped)
    return kept


def _count(left_out: Iterable[Labelled], reason: str, dropped: Dropped) -> None:
    for labelled in left_out:
        dropped.add(reason, labelled.answered.where)


def _distance(text: str, other: Labelled) -> float:
    """How far the lengths are apart: the logarithm of their ratio, without its sign."""
    return abs(log(len(text) / len(other.answered.answer)))
