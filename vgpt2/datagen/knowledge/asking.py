"""Kinds of knowledge questions, and how a category's maker deals them out: sentences, real and unreal names, follow-up turns.

An answer depends on its prompt alone: whatever else is left to chance comes from a generator seeded by the prompt, so the same question
is never answered in two ways, whichever call or worker made it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

from vgpt2.datagen.knowledge import sentences
from vgpt2.datagen.knowledge.stock import Stock, stock_of
from vgpt2.datagen.knowledge.wording import refuse_object
from vgpt2.datagen.phrasings import Template
from vgpt2.datagen.questions import Chat, Question, Subject
from vgpt2.datagen.similarity import masked
from vgpt2.datagen.world import World
from vgpt2.sql.schema import Object

Asks = Literal["existence", "name", "topic"]
ABSENT_SHARE = 0.125  # of the questions that take a name without asking whether it is real
FOLLOWED_SHARE = 0.15  # of the questions get a follow-up turn
CHANGES_SUBJECT = 1 / 3  # of the follow-ups
_DRAWS = 12  # attempts for one question
_MISSES = 40  # in a row: the material of a kind has ended
_ROUNDS = 3  # in which kinds with more material make up for the others


@dataclass(frozen=True)
class Drawn:
    """What a question is about: the words of its sentence, and its answer by a generator that the prompt seeds."""

    words: dict[str, str]
    objects: tuple[str, ...]
    answer: Callable[[Random], str | None]
    subject: Subject | None = None  # where it hangs on one name being real
    expect: dict[str, Any] = field(default_factory=dict)
    about: Object | None = None  # the object that a follow-up may go on asking about
    absent: bool = False  # data of which the object holds nothing is asked for
    source: str = "catalogue"  # label of the documents it comes from


Draw = Callable[[Stock, World, bool, Random], Drawn | None]  # the flag: whether the names in it shall be real
OfObject = Callable[[Stock, Object, Random], str | None]


@dataclass(frozen=True)
class Kind:
    """`asks` says how many names are unreal: half where the question is whether one is real, an eighth where it takes one, else none."""

    name: str
    share: float  # of the category's questions
    draw: Draw
    asks: Asks = "name"
    of_object: OfObject | None = None  # the answer about an object, for follow-up turns


def make_chats(category: str, kinds: tuple[Kind, ...], world: World, n: int, seed: str) -> list[Chat]:
    """A category's maker, given its kinds: about `n` questions as chats in a seeded order, no prompt twice; see `world.Maker`."""
    stock, seen, asked = stock_of(world.side), set[str](), list[Asked]()
    active, missing = list(kinds), n - round(n * FOLLOWED_SHARE / (1 + FOLLOWED_SHARE))
    for number in range(_ROUNDS):
        wanted = _counts(active, missing, Random(f"{seed}/counts/{number}"))
        made = {kind.name: _deal(kind, stock, world, wanted[kind.name], Random(f"{seed}/{kind.name}/{number}"), seen) for kind in active}
        asked += [one for kind in active for one in made[kind.name]]
        active = [kind for kind in active if wanted[kind.name] and len(made[kind.name]) >= 0.9 * wanted[kind.name]]
        missing -= sum(map(len, made.values()))
        if not active or missing < 1:
            break
    asked = trimmed(asked)
    Random(f"{seed}/order").shuffle(asked)
    chats = _with_follow_ups(kinds, stock, asked, Random(f"{seed}/follow-ups"))
    return [[replace(question, category=category) for question in chat] for chat in chats]


@dataclass(frozen=True)
class Asked:
    """A question with what the dealer needs to know of it further."""

    question: Question
    asks: Asks
    about: Object | None
    is_absent: bool  # an unreal name, or data that nothing holds

    @property
    def groups(self) -> tuple[str, str]:
        """Its sentence and its kind, of each of which a share asks for something absent."""
        return self.question.template, self.question.kind

    @property
    def goes_on(self) -> bool:
        """Whether a next question can say 'it' and mean an object, real or not."""
        subject = self.question.subject
        return self.asks == "name" and self.about is not None and not (subject and "." in subject.name)


def _counts(kinds: Sequence[Kind], n: int, rng: Random) -> dict[str, int]:
    """`n` split by the kinds' shares; what is left over goes to kinds by chance, so that many small calls reach all of them."""
    total = sum(kind.share for kind in kinds)
    exact = {kind.name: n * kind.share / total for kind in kinds}
    counts = {name: int(value) for name, value in exact.items()}
    left = rng.choices(list(exact), [exact[name] - counts[name] + 1e-9 for name in exact], k=max(0, n - sum(counts.values())))
    for name in left:
        counts[name] += 1
    return counts


def _deal(kind: Kind, stock: Stock, world: World, count: int, rng: Random, seen: set[str]) -> list[Asked]:
    """Up to `count` questions of a kind; those about existence in pairs of a real and an unreal name on one sentence."""
    found: list[Asked] = []
    misses = 0
    for group in slots(sentences.templates(held_out=world.side.held_out)[kind.name], count, kind.asks, rng):
        if misses > _MISSES:
            break
        made = [_ask(kind, template, real, stock, world, rng, seen) for template, real in group]
        whole = [one for one in made if one is not None]
        if len(whole) == len(group):
            found += whole
            misses = 0
        else:
            seen.difference_update(masked(one.question.ask) for one in whole)
            misses += 1
    return found


def slots(templates: Sequence[Template], count: int, asks: Asks, rng: Random) -> list[list[tuple[Template, bool]]]:
    """Groups of (sentence, whether the name is real), sentences used equally often, each group to be made whole or not at all."""
    order = rng.sample(list(templates), len(templates))
    if asks == "existence":
        return [[(order[i % len(order)], True), (order[i % len(order)], False)] for i in range((count + rng.randint(0, 1)) // 2)]
    dealt: list[tuple[Template, bool]] = []
    for i, template in enumerate(order):
        uses = len(range(i, count, len(order)))
        absent = _absent(uses, len(dealt), sum(not real for _, real in dealt), rng) if asks == "name" else 0
        dealt += [(template, j >= absent) for j in range(uses)]
    rng.shuffle(dealt)
    return [[slot] for slot in dealt]


def _absent(uses: int, before: int, absent_before: int, rng: Random) -> int:
    """How many of a sentence's uses ask for something absent: at least one of five, never above a fifth, and on the whole the share."""
    due = round(ABSENT_SHARE * (before + uses) + rng.random() - 0.5) - absent_before
    least, most = (1, uses // 5) if uses >= 5 else (0, 1)
    return min(max(due, least), most, uses)


def _ask(kind: Kind, template: Template, real: bool, stock: Stock, world: World, rng: Random, seen: set[str]) -> Asked | None:
    """A question not asked before, or None after some attempts."""
    for _ in range(_DRAWS):
        drawn = kind.draw(stock, world, real, rng)
        if drawn is None:
            continue
        ask = template.fill(**drawn.words)
        if masked(ask) in seen:
            continue
        answer = drawn.answer(Random(ask))
        if answer is not None:
            seen.add(masked(ask))
            question = Question(
                kind.name, template.id, "", ask, answer, drawn.objects, drawn.expect, subject=drawn.subject, source=drawn.source
            )
            return Asked(question, kind.asks, drawn.about, drawn.absent or (drawn.subject is not None and not drawn.subject.is_real))
    return None


def trimmed(asked: Iterable[Asked]) -> list[Asked]:
    """The questions without those about absent things that are more than a sixth of a sentence's or a kind's, where real ones ran out."""
    asked = list(asked)
    real = Counter(group for one in asked if one.asks == "name" and not one.is_absent for group in one.groups)
    kept, absent = [], Counter[str]()
    for one in asked:
        if one.asks == "name" and one.is_absent:
            if any(absent[group] + 1 > max(1, real[group] // 5) for group in one.groups):
                continue
            absent.update(one.groups)
        kept.append(one)
    return kept


def _with_follow_ups(kinds: Sequence[Kind], stock: Stock, asked: Sequence[Asked], rng: Random) -> list[Chat]:
    """The questions as chats: some are followed by one that goes on with their object, some by one about something else."""
    following = [kind for kind in kinds if kind.of_object and sentences.follow_ups(kind.name)]
    wanted = round(len(asked) * FOLLOWED_SHARE * (1 - CHANGES_SUBJECT))
    pools: dict[bool, list[int]] = {
        real: [n for n, one in enumerate(asked) if one.is_absent != real and one.goes_on] for real in (True, False)
    }
    turns: dict[int, Question] = {}
    for kind in following:
        for [(template, real)] in slots(sentences.follow_ups(kind.name), wanted // len(following), "name", rng):
            at = next((n for n in reversed(pools[real]) if asked[n].question.kind != kind.name), None)
            if at is not None:
                pools[real].remove(at)
                follow_up = _follow_up(kind, template, stock, asked[at])
                if follow_up:
                    turns[at] = follow_up
    chats = [[one.question, turns[n]] if n in turns else [one.question] for n, one in enumerate(asked)]
    merged = min(len(chats) // 3, round(len(asked) * FOLLOWED_SHARE * CHANGES_SUBJECT))
    return [[*chats[2 * n], *chats[2 * n + 1]] for n in range(merged)] + chats[2 * merged :]


def _follow_up(kind: Kind, template: Template, stock: Stock, one: Asked) -> Question | None:
    """A question of `kind` that says 'it' of the object asked about before; refused again where there is no such object."""
    assert kind.of_object is not None
    assert one.about is not None
    before = one.question
    rng = Random(f"{before.ask}/{template.text}")
    subject = before.subject if one.is_absent else None
    answer = refuse_object(stock, subject.name, rng) if subject else kind.of_object(stock, one.about, rng)
    if answer is None:
        return None
    return Question(kind.name, template.id, "", template.text, answer, before.objects, before.expect, subject=subject)
