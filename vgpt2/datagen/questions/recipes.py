"""How many questions of which kind a set holds, and the drawing of them: shares, templates, chats, the balance of real and unreal names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from vgpt2.datagen.language.phrasings import EXISTENCE_KINDS, HELD_OUT, TRAINING, Template, asks_existence
from vgpt2.datagen.language.similarity import masked
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.questions.drafts import JOIN, ONE_TABLE
from vgpt2.datagen.questions.existence import columns_chat, list_chat, memory_chat
from vgpt2.datagen.questions.question import Chat, ChatMaker, Question, Slot
from vgpt2.datagen.questions.schema import schema_chat


@dataclass(frozen=True)
class Room:
    """Kinds of question that share a context, and how many of them make a chat: the context's tokens serve all."""

    kinds: tuple[str, ...]
    make: ChatMaker
    turns: int


ROOMS = {
    "exists_memory": Room(("exists_memory",), memory_chat, 4),
    "exists_list": Room(("exists_list",), list_chat, 5),
    "columns": Room(("has_column",), columns_chat, 4),
    "schema": Room((*ONE_TABLE, JOIN), schema_chat, 3),
}
ROOM_OF = {kind: name for name, room in ROOMS.items() for kind in room.kinds}

# Of the thin recipe's questions, by kind: few kinds, for small models and small sets. The wide recipe is `wide`'s.
THIN_SHARES = {"exists_memory": 14, "exists_list": 24, "has_column": 12, "which_column": 6, "sql_select": 28, "sql_join": 16}
# Of the pairs, by the defect that the rejected answers have and the kind of question it is made on.
PAIR_SHARES: dict[tuple[str, str], float] = {
    ("verdict", "exists_memory"): 26,
    ("verdict", "exists_list"): 16,
    ("verdict", "has_column"): 10,
    ("invented_column", "sql_select"): 7,
    ("column_of_another_table", "sql_select"): 5,
    ("company_by_another_name", "sql_select"): 5,
    ("missing_nolock", "sql_select"): 8,
    ("missing_nolock", "sql_join"): 8,
    ("incomplete_join", "sql_join"): 15,
}
SUITE_SIZES = {"sql_select": 24, "sql_join": 12, "exists_list": 40, "exists_memory": 40, "has_column": 14, "which_column": 6}
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


def sft_chats(names: Names, *, size: int, seed: int, progress: Progress) -> list[Chat]:
    """About `size` questions of the thin recipe as chats in a seeded order; fewer where a catalogue has too little for a kind."""
    side, seen, chats = training_side(names), set[str](), list[Chat]()
    counts = apportioned(THIN_SHARES, size)
    for name, room in ROOMS.items():
        rng = Random(f"{seed}/sft/slots/{name}")
        kinds = {kind: counts[kind] for kind in room.kinds if kind in counts}
        slots = [slot for kind in kinds for slot in balanced_slots(kind, TRAINING[kind], kinds[kind], rng, absent_share=_ABSENT_SHARE)]
        rng.shuffle(slots)
        groups = [slots[at : at + room.turns] for at in range(0, len(slots), room.turns)]
        chats += evened(draw(side, room, groups, purpose=f"{seed}/sft/{name}", seen=seen, progress=progress))
    Random(f"{seed}/sft/order").shuffle(chats)
    return chats


def pair_questions(names: Names, *, size: int, seed: int, purpose: str, progress: Progress) -> list[tuple[str, list[Question]]]:
    """Questions for preference rows by defect, all answerable; those about existence half with real and half with unreal names."""
    side, seen = preference_side(names), set[str]()
    groups = []
    for (defect, kind), count in apportioned(PAIR_SHARES, size).items():
        rng = Random(f"{seed}/{purpose}/slots/{defect}/{kind}")
        slots = balanced_slots(kind, TRAINING[kind], count, rng, absent_share=0.0)
        groups.append((defect, _singles(side, kind, slots, purpose=f"{seed}/{purpose}/{defect}/{kind}", seen=seen, progress=progress)))
    return groups


def suite_questions(names: Names, *, seed: int, progress: Progress) -> list[Question]:
    """Questions with held-out phrasings about held-out objects and names, in the order of their kinds."""
    side, seen, questions = suite_side(names), set[str](), list[Question]()
    for kind, count in SUITE_SIZES.items():
        slots = balanced_slots(kind, HELD_OUT[kind], count, Random(f"{seed}/suite/slots/{kind}"), absent_share=0.0)
        questions += _singles(side, kind, slots, purpose=f"{seed}/suite/{kind}", seen=seen, progress=progress)
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


def balanced_slots(kind: str, templates: Sequence[Template], count: int, rng: Random, *, absent_share: float) -> list[Slot]:
    """Slots for `count` questions, templates used equally often.

    Where the question is whether a name is real, each template comes in pairs of one real and one unreal name; an odd last one is dropped.
    Else an `absent_share` of the questions asks for something absent, of each template used five times or more at least one.
    """
    order = rng.sample(list(templates), len(templates))
    if kind in EXISTENCE_KINDS:
        return [Slot(kind, order[i % len(order)], real) for i in range(count // 2) for real in (True, False)]
    slots: list[Slot] = []
    for i, template in enumerate(order):
        uses = len(range(i, count, len(order)))
        due = round(absent_share * (len(slots) + uses)) - sum(not slot.real for slot in slots)
        least, most = (1, uses // 5) if absent_share and uses >= 5 else (0, 1 if absent_share else 0)
        absent = min(max(due, least), most, uses)
        slots += [Slot(kind, template, j >= absent) for j in range(uses)]
    return slots


def draw(side: Side, room: Room, groups: Sequence[Sequence[Slot]], *, purpose: str, seen: set[str], progress: Progress) -> list[Chat]:
    """One chat a group of slots, no two questions alike but for numbers; a group that nothing fits is left out."""
    asked: set[str] = set()
    chats: list[Chat] = []
    for index in progress(range(len(groups))):
        rng = Random(f"{purpose}/{index}")
        for _ in range(_DRAWS):
            chat = room.make(side, groups[index], asked, rng)
            prompts = {masked(question.prompt) for question in chat or ()}
            if chat and len(prompts) == len(chat) and not prompts & seen:
                seen |= prompts
                asked |= {question.subject.name for question in chat if question.subject}
                chats.append(chat)
                break
    return chats


def evened(chats: Sequence[Chat]) -> list[Chat]:
    """The chats without the last questions of a template that asks whether a name is real, where one half has more of them."""
    counts = Counter((q.template, q.subject.is_real) for chat in chats for q in chat if q.subject and asks_existence(q.kind))
    surplus = {(template, real): n - counts[template, not real] for (template, real), n in counts.items()}
    kept = []
    for chat in reversed(chats):
        rest = []
        for q in chat:
            key = (q.template, q.subject.is_real) if q.subject and asks_existence(q.kind) else None
            if key and surplus[key] > 0:
                surplus[key] -= 1
            else:
                rest.append(q)
        if rest:
            kept.append(rest)
    return kept[::-1]


def _singles(side: Side, kind: str, slots: Sequence[Slot], *, purpose: str, seen: set[str], progress: Progress) -> list[Question]:
    room = ROOMS[ROOM_OF[kind]]
    chats = draw(side, room, [[slot] for slot in slots], purpose=purpose, seen=seen, progress=progress)
    return [question for chat in evened(chats) for question in chat]
