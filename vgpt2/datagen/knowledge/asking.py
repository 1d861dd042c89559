"""How a category's questions are dealt: sentences by turns, real and unreal names in balance, follow-up turns.

An answer depends on its prompt alone: whatever else is left to chance comes from a generator seeded by the prompt, so the same question
is never answered in two ways, whichever call or worker made it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import Any, Literal

from vgpt2.datagen.knowledge import sentences
from vgpt2.datagen.knowledge.stock import Stock, stock_of
from vgpt2.datagen.knowledge.wording import refuse_object
from vgpt2.datagen.language.phrasings import Template
from vgpt2.datagen.language.similarity import masked
from vgpt2.datagen.queries.styles import mistyped
from vgpt2.datagen.questions.question import Chat, Question, Subject
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import Object

Asks = Literal["existence", "name", "topic"]
ABSENT_SHARE = 0.14  # of the questions that take a name without asking whether it is real
GOES_ON_SHARE = 0.1  # of the questions are followed by one that goes on with their object
OTHER_SUBJECT_SHARE = 0.05  # and of the chats, this share by one about something else
TYPO_SHARE = 0.03  # of the questions have a slip in a word of their own, never in a name
IN_WORDS_SHARE = 0.6  # of the questions that take real names only, and whose answer gives these, call the objects by their rows
_NEEDS_NAME = re.compile(r"[.]{|}[.']|(?:table|view|name) {|^{(?:table|other)}(?!:)|} (?:table|view|row|column)")
_DRAWS = 24  # attempts for one question
_MISSES = 40  # in a row: the material of a kind has ended
_JUDGED = 5  # questions of a sentence, of which one at least must ask for something absent
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
    """`asks` says how many names are unreal: half where the question is whether one is real, a seventh where it takes one, else none."""

    name: str
    share: float  # of the category's questions
    draw: Draw
    asks: Asks = "name"
    of_object: OfObject | None = None  # the answer about an object, for follow-up turns
    on_names: bool = False  # objects are always called by their names


def make_chats(category: str, kinds: tuple[Kind, ...], world: World, n: int, seed: str) -> list[Chat]:
    """A category's maker, given its kinds: about `n` questions as chats in a seeded order, no prompt twice; see `world.Maker`."""
    place, dealing, asked = place_of(seed), Dealing(world, stock_of(world.side)), list[Asked]()
    following = [kind for kind in kinds if kind.of_object and sentences.follow_ups(kind.name) and not world.side.held_out]
    active, missing = list(kinds), n / (1 + (GOES_ON_SHARE if following else 0.0))
    quotas = {name: range(round(place * count), round((place + 1) * count)) for name, count in _shared(kinds, missing).items()}
    for number in range(_ROUNDS):
        made = {kind.name: _deal(kind, dealing, quotas[kind.name], Random(f"{seed}/{kind.name}/{number}")) for kind in active}
        asked += [one for kind in active for one in made[kind.name]]
        active = [kind for kind in active if len(made[kind.name]) >= 0.9 * len(quotas[kind.name]) > 0]
        missing -= sum(map(len, made.values()))
        if not active or missing < 1:
            break
        quotas = {name: range(quotas[name].stop, quotas[name].stop + round(more)) for name, more in _shared(active, missing).items()}
    asked = trimmed(asked, is_first=place == 0)
    Random(f"{seed}/order").shuffle(asked)
    turns = _follow_ups(following, dealing.stock, asked, place)
    chats = [[one.question, turns[n]] if n in turns else [one.question] for n, one in enumerate(asked)]
    merged = min(len(chats) // 3, round(len(asked) * OTHER_SUBJECT_SHARE))
    chats = [[*chats[2 * n], *chats[2 * n + 1]] for n in range(merged)] + chats[2 * merged :]
    return [[replace(question, category=category) for question in chat] for chat in chats]


def place_of(seed: str) -> int:
    """The place of a call among the equal parts of one set, the number that ends its seed text; 0 for a set made at once.

    With it the parts' sentences are those that one call would have used: each has its share of absent things in the whole set.
    """
    last = seed.rpartition("/")[2]
    return int(last) if last.isdecimal() and "/" in seed else 0


@dataclass(frozen=True)
class Dealing:
    """What one call draws from, and the questions it has asked."""

    world: World
    stock: Stock
    seen: set[str] = field(default_factory=set)


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


def _shared(kinds: Sequence[Kind], n: float) -> dict[str, float]:
    """`n` questions split by the kinds' shares."""
    total = sum(kind.share for kind in kinds)
    return {kind.name: n * kind.share / total for kind in kinds}


def _deal(kind: Kind, dealing: Dealing, places: range, rng: Random) -> list[Asked]:
    """A question of a kind for each place; those about existence in pairs of a real and an unreal name on one sentence."""
    found: list[Asked] = []
    misses = 0
    dealt = slots(sentences.templates(held_out=dealing.world.side.held_out)[kind.name], places, kind.asks)
    for group in rng.sample(dealt, len(dealt)):
        if misses > _MISSES:
            break
        made = [_ask(kind, template, real, dealing, rng) for template, real in group]
        whole = [one for one in made if one is not None]
        if len(whole) == len(group):
            found += whole
            misses = 0
        else:
            dealing.seen.difference_update(masked(one.question.ask) for one in whole)
            misses += 1
    return found


def slots(templates: Sequence[Template], places: range, asks: Asks) -> list[list[tuple[Template, bool]]]:
    """Groups of (sentence, whether the name is real), sentences by turns; a group is to be made whole or not at all."""
    if asks == "existence":
        pairs = range((places.start + 1) // 2, (places.stop + 1) // 2)
        return [[(templates[n % len(templates)], real) for real in (True, False)] for n in pairs]
    absent = absent_places(len(templates), places.stop) if asks == "name" else frozenset()
    return [[(templates[n % len(templates)], n not in absent)] for n in places]


@lru_cache(maxsize=256)
def absent_places(sentences: int, n: int) -> frozenset[int]:
    """Of the first `n` places, with the sentences by turns, those that ask for something absent: about a seventh of all.

    Each sentence has one within its first five uses and one more within every ten that follow, and never above a fifth.
    """
    found: set[int] = set()
    absent = [0] * sentences
    for place in range(n):
        use, sentence = divmod(place, sentences)
        due = use % 10 == _JUDGED - 1 and absent[sentence] < (use + 6) // 10
        allowed = absent[sentence] < max(1, (use + 1) // _JUDGED)
        if due or (allowed and len(found) + 1 <= ABSENT_SHARE * (place + 1) + 0.5):
            found.add(place)
            absent[sentence] += 1
    return frozenset(found)


def _ask(kind: Kind, template: Template, real: bool, dealing: Dealing, rng: Random) -> Asked | None:
    """A question not asked before, or None after some attempts."""
    sentence = mistyped(template.text, rng) if rng.random() < TYPO_SHARE else template.text
    for _ in range(_DRAWS):
        drawn = kind.draw(dealing.stock, dealing.world, real, rng)
        if drawn is None:
            continue
        ask = sentence.format(**drawn.words)
        told = _in_words(kind, template, drawn, dealing) if rng.random() < IN_WORDS_SHARE else None
        if told:
            ask = sentence.format(**told)
            ask = ask[0].upper() + ask[1:]
        if masked(ask) in dealing.seen:
            continue
        answer = drawn.answer(Random(ask))
        if answer is not None and not (told and any(name not in answer for name in drawn.objects)):
            dealing.seen.add(masked(ask))
            question = Question(
                kind.name, template.id, "", ask, answer, drawn.objects, drawn.expect, subject=drawn.subject, source=drawn.source
            )
            return Asked(question, kind.asks, drawn.about, drawn.absent or (drawn.subject is not None and not drawn.subject.is_real))
    return None


def _in_words(kind: Kind, template: Template, drawn: Drawn, dealing: Dealing) -> dict[str, str] | None:
    """The words of the sentence with the objects called by their rows; None where a name is needed or nothing else is known."""
    by_name = kind.asks != "name" or kind.on_names or drawn.subject or drawn.source != "catalogue"
    if by_name or dealing.world.side.held_out or _NEEDS_NAME.search(template.text):
        return None
    told = {slot: dealing.stock.in_words(drawn.words[slot]) for slot in ("table", "other") if slot in drawn.words}
    if not told or None in told.values():
        return None
    return drawn.words | {slot: words for slot, words in told.items() if words}


def trimmed(asked: Sequence[Asked], *, is_first: bool) -> list[Asked]:
    """The questions without what would leave a sentence or a kind with more than a fifth absent.

    In a set's first part, which may be all of it, nor with none of five absent.
    """
    real = Counter(group for one in asked if one.asks == "name" and not one.is_absent for group in one.groups)
    absent, kept_real = Counter[str](), Counter[str]()
    kept = []
    for one in sorted(asked, key=lambda one: not one.is_absent):
        if one.asks == "name" and one.is_absent:
            if any(absent[group] + 1 > max(1, real[group] // 4) for group in one.groups):
                continue
            absent.update(one.groups)
        elif one.asks == "name" and is_first:
            kept_real.update(one.groups)
            if any(not absent[group] and kept_real[group] >= _JUDGED for group in one.groups):
                continue
        kept.append(one)
    return kept


def _follow_ups(following: Sequence[Kind], stock: Stock, asked: Sequence[Asked], place: int) -> dict[int, Question]:
    """Questions that go on with the object of another one, by that one's index."""
    each = len(asked) * GOES_ON_SHARE / max(1, len(following))
    places = range(round(place * each), round((place + 1) * each))
    pools = {real: [n for n, one in enumerate(asked) if one.is_absent != real and one.goes_on] for real in (True, False)}
    turns: dict[int, Question] = {}
    for kind in following:
        for [(template, real)] in slots(sentences.follow_ups(kind.name), places, "name"):
            at = next((n for n in reversed(pools[real]) if asked[n].question.kind != kind.name), None)
            follow_up = _follow_up(kind, template, stock, asked[at]) if at is not None else None
            if at is not None and follow_up is not None:
                pools[real].remove(at)
                turns[at] = follow_up
    return turns


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
