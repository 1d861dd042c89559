"""How many questions of which kind a set holds, and the drawing of them: shares, templates and the balance of real and unreal names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import TypeVar

from vgpt2.datagen.names import Names
from vgpt2.datagen.phrasings import EXISTENCE_KINDS, HELD_OUT, TRAINING, Template
from vgpt2.datagen.questions import Maker, Question, Side, exists_list, exists_memory, has_column, which_column
from vgpt2.datagen.similarity import masked
from vgpt2.datagen.sql_questions import DRAFTS, sql_question

MAKERS: dict[str, Maker] = {
    "exists_memory": exists_memory,
    "exists_list": exists_list,
    "has_column": has_column,
    "which_column": which_column,
    **{kind: partial(sql_question, kind) for kind in DRAFTS},
}
GROUPS = {"has_column": "columns", "which_column": "columns", **dict.fromkeys(DRAFTS, "sql_schema")}  # of a kind; else the kind itself

SFT_SHARES = {
    "exists_memory": 0.28,
    "exists_list": 0.18,
    "has_column": 0.11,
    "which_column": 0.08,
    "sql_select": 0.11,
    "sql_count": 0.08,
    "sql_total": 0.08,
    "sql_join": 0.08,
}
# Of the pairs, by the defect that the rejected answers have and the kinds of question it is made on.
PAIR_SHARES: dict[tuple[str, str], float] = {
    ("verdict", "exists_memory"): 0.26,
    ("verdict", "exists_list"): 0.16,
    ("verdict", "has_column"): 0.10,
    ("invented_column", "sql_select"): 0.09,
    ("column_of_another_table", "sql_select"): 0.08,
    ("missing_nolock", "sql_select"): 0.08,
    ("missing_nolock", "sql_join"): 0.08,
    ("incomplete_join", "sql_join"): 0.15,
}
SUITE_SIZES = {
    "sql_select": 12,
    "sql_count": 6,
    "sql_total": 4,
    "sql_join": 8,
    "exists_list": 40,
    "exists_memory": 40,
    "has_column": 14,
    "which_column": 6,
}
_ABSENT_SHARE = 0.125  # of the questions that take a name without asking whether it is real
_DRAWS = 60

K = TypeVar("K")
Progress = Callable[[Iterable[int]], Iterable[int]]


def training_side(names: Names) -> Side:
    return Side(names, split="train", held_out=False)


def preference_side(names: Names) -> Side:
    """Training's objects with invented names of their own."""
    return Side(names, split="pairs", held_out=False)


def suite_side(names: Names) -> Side:
    return Side(names, split="suite", held_out=True)


def sft_questions(names: Names, *, size: int, seed: int, progress: Progress) -> list[Question]:
    """Training questions in a seeded order; fewer than `size` where a catalogue has too little for a kind."""
    side, seen = training_side(names), set[str]()
    questions = []
    for kind, count in apportioned(SFT_SHARES, size).items():
        slots = balanced_slots(kind, TRAINING[kind], count, Random(f"{seed}/sft/slots/{kind}"), absent_share=_ABSENT_SHARE)
        questions += draw(side, kind, slots, purpose=f"{seed}/sft", seen=seen, progress=progress)
    Random(f"{seed}/sft/order").shuffle(questions)
    return questions


def pair_questions(names: Names, *, size: int, seed: int, purpose: str, progress: Progress) -> list[tuple[str, list[Question]]]:
    """Questions for preference rows by defect, all answerable; those about existence half with real and half with unreal names."""
    side, seen = preference_side(names), set[str]()
    groups = []
    for (defect, kind), count in apportioned(PAIR_SHARES, size).items():
        slots = balanced_slots(kind, TRAINING[kind], count, Random(f"{seed}/{purpose}/slots/{defect}/{kind}"), absent_share=0.0)
        groups.append((defect, draw(side, kind, slots, purpose=f"{seed}/{purpose}/{defect}", seen=seen, progress=progress)))
    return groups


def suite_questions(names: Names, *, seed: int, progress: Progress) -> list[Question]:
    """Questions with held-out phrasings about held-out objects and names, in the order of their kinds."""
    side, seen = suite_side(names), set[str]()
    questions = []
    for kind, count in SUITE_SIZES.items():
        slots = balanced_slots(kind, HELD_OUT[kind], count, Random(f"{seed}/suite/slots/{kind}"), absent_share=0.0)
        questions += draw(side, kind, slots, purpose=f"{seed}/suite", seen=seen, progress=progress)
    return questions


def apportioned(shares: Mapping[K, float], size: int) -> dict[K, int]:
    """`size` split by `shares`, rounded so that the sum is right (largest remainders)."""
    total = sum(shares.values())
    exact = {key: size * share / total for key, share in shares.items()}
    counts = {key: int(value) for key, value in exact.items()}
    left = size - sum(counts.values())
    for key in sorted(exact, key=lambda key: counts[key] - exact[key])[:left]:
        counts[key] += 1
    return counts


Slot = tuple[Template, bool]  # the sentence, and whether the name it asks about shall be real


def balanced_slots(kind: str, templates: Sequence[Template], count: int, rng: Random, *, absent_share: float) -> list[Slot]:
    """Slots for `count` questions, templates used equally often.

    Where the question is whether a name is real, each template comes in pairs of one real and one unreal name; an odd last one is dropped.
    Else an `absent_share` of the questions asks for something absent, of each template used five times or more at least one.
    """
    order = rng.sample(list(templates), len(templates))
    if kind in EXISTENCE_KINDS:
        return [(order[i % len(order)], real) for i in range(count // 2) for real in (True, False)]
    slots: list[Slot] = []
    for i, template in enumerate(order):
        uses = len(range(i, count, len(order)))
        due = round(absent_share * (len(slots) + uses)) - sum(not real for _, real in slots)
        least, most = (1, uses // 5) if absent_share and uses >= 5 else (0, 1 if absent_share else 0)
        absent = min(max(due, least), most, uses)
        slots += [(template, j >= absent) for j in range(uses)]
    return slots


def draw(side: Side, kind: str, slots: Sequence[Slot], *, purpose: str, seen: set[str], progress: Progress) -> list[Question]:
    """One question a slot, no two alike but for numbers; names asked from memory differ while there are names left.

    A slot that nothing fits stays empty; about existence its other half goes too, so that real and unreal names remain even.
    """
    asked: set[str] = set()
    drawn: list[Question | None] = []
    for index in progress(range(len(slots))):
        template, real = slots[index]
        rng = Random(f"{purpose}/{kind}/{index}")
        best: Question | None = None
        for _ in range(_DRAWS):
            question = MAKERS[kind](side, template, real, rng)
            if question is None or masked(question.prompt) in seen:
                continue
            best = question
            if kind != "exists_memory" or (question.subject and question.subject.name not in asked):
                break
        if best is not None:
            seen.add(masked(best.prompt))
            asked.add(best.subject.name if best.subject else "")
        drawn.append(best)
    if kind in EXISTENCE_KINDS:
        halves = zip(drawn[::2], drawn[1::2], strict=True)
        return [q for pair in halves if None not in pair for q in pair if q is not None]
    return [q for q in drawn if q is not None]
