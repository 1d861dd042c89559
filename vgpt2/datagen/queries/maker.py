"""The makers of questions for SQL by category: chats of turns on one schema text, or on none.

Every SQL answer has passed the checker; a finding is a bug of ours and stops the run. What a call makes follows from its seed text
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from vgpt2.datagen.language.similarity import masked
from vgpt2.datagen.plans.plan import ColumnRef, expectation
from vgpt2.datagen.queries import abstain
from vgpt2.datagen.queries.asks import as_query
from vgpt2.datagen.queries.compose import JOINED, KINDS
from vgpt2.datagen.queries.context import Look, schema_text
from vgpt2.datagen.queries.cover import ask_for, batches, start_of
from vgpt2.datagen.queries.dealing import Deck
from vgpt2.datagen.queries.turns import Talk, Turn, turns, worded
from vgpt2.datagen.questions.question import Chat, Question
from vgpt2.datagen.questions.world import Maker, World


def make(category: str, kinds: Mapping[str, float], world: World, n: int, seed: str) -> list[Chat]:
    """About `n` questions of the kinds, by their weights; no two first prompts alike but for values."""
    deck = Deck(kinds, world.queries.absent, seed, held_out=world.side.held_out)
    seen, chats = set[str](), list[Chat]()
    made = index = 0
    while made < n and index < 3 * n:
        talk = _talk(world, deck, Random(f"{seed}/{index}"))
        chat = _chat(category, turns(talk), talk)
        prompt = masked(chat[0].prompt) if chat else ""
        if chat and prompt not in seen:
            seen.add(prompt)
            chats.append(chat[: n - made])
            made += len(chats[-1])
        index += 1
    return chats


def cover(category: str, world: World, n: int, seed: str) -> list[Chat]:
    """About `n` questions that go through all columns of the side, from a place that follows from the seed text."""
    deck = Deck({"list": 1.0}, world.queries.absent, seed, held_out=world.side.held_out)
    items = batches(world.lexicon, seed)
    place, chats = start_of(seed, len(items)), list[Chat]()
    while items and len(chats) < n:
        dealt = deck.next()
        assert dealt is not None
        phrase, is_absent = dealt
        talk = _talk(world, deck, Random(f"{seed}/{len(chats)}"), by_name=True)
        table, columns = items[place % len(items)]
        ask, words = ask_for(talk.draft(table), columns), talk.words(phrase.style)
        abstention = abstain.absent(ask, words, has_schema=talk.has_schema) if is_absent else None
        chats.append(_chat(category, [worded(ask, phrase, words, abstention, talk)], talk))
        if abstention:
            deck.settle()
        else:
            place += 1
    return chats


def maker(category: str, kinds: Mapping[str, float]) -> Maker:
    return partial(make, category, kinds)


MAKERS: dict[str, Maker] = {
    "sql": maker("sql", {kind: weight for kind, (_, weight) in KINDS.items()}),
    "joins_sql": maker("joins_sql", {kind: KINDS[kind][1] for kind in JOINED}),
    "coverage": partial(cover, "coverage"),
}


def _talk(world: World, deck: Deck, rng: Random, *, by_name: bool = False) -> Talk:
    settings = world.queries
    drawn = rng.random()
    names, mixed = (0.5, 1.0) if by_name else (settings.by_name, settings.by_name + settings.mixed)
    return Talk(
        lexicon=world.lexicon,
        settings=settings,
        deck=deck,
        rng=rng,
        has_schema=rng.random() < settings.schema_text,
        with_plan=rng.random() < settings.plan,
        naming="names" if drawn < names else "mixed" if drawn < mixed else "words",
        held_out=world.side.held_out,
    )


def _chat(category: str, made: Sequence[Turn], talk: Talk) -> Chat:
    """The turns on one schema text, or on none."""
    context = ""
    if made and talk.has_schema:
        refs = [ref for turn in made for ref in turn.refs] or _any_refs(talk)
        hidden = tuple(name for turn in made for name in turn.hidden)
        settings, rng = talk.settings, talk.rng
        look = Look(retrieved=rng.random() < settings.retrieved, create_table=rng.random() < settings.create_table)
        said = "\n".join(turn.ask for turn in made)
        context = schema_text(talk.lexicon, refs, said, look, rng, hidden=hidden) + "\n\n"
    return [_question(category, turn, context) for turn in made]


def _any_refs(talk: Talk) -> list[ColumnRef]:
    table = talk.lexicon.table(talk.rng.choice(talk.lexicon.names))
    return [table.ref(table.object.column_names[0])]


def _question(category: str, turn: Turn, context: str) -> Question:
    query = as_query(turn.plan) if turn.plan else None
    objects = tuple(dict.fromkeys(ref.table for ref in turn.refs if ref.table not in turn.hidden))
    expect: dict[str, Any] = expectation(query) if query else {}
    if turn.subject:
        expect = {"name": turn.subject.name, "exists": False}
    return Question(
        turn.kind, turn.template, context, turn.ask, turn.answer, objects, expect, subject=turn.subject, query=query, category=category
    )
