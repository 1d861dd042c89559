"""Existence asked of a list, or of a table's columns, in the prompt: to be looked up there, not recalled."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from vgpt2.datagen.knowledge.asking import Kind, make_chats
from vgpt2.datagen.language.phrasings import HELD_OUT, TRAINING
from vgpt2.datagen.questions.question import Chat
from vgpt2.datagen.questions.recipes import ROOMS, balanced_slots, draw, evened
from vgpt2.datagen.questions.world import World

LISTED_SHARE = 0.1  # of a category's questions
SHARES = {"exists_list": 0.6, "columns": 0.4}  # of these, by room


def make_with_listed(category: str, kinds: tuple[Kind, ...], world: World, n: int, seed: str) -> list[Chat]:
    """A maker of the kinds' questions from memory and, for a share, of questions on a list."""
    listed = round(n * LISTED_SHARE)
    return make_chats(category, kinds, world, n - listed, seed) + make_listed(category, world, listed, seed)


def make_listed(category: str, world: World, n: int, seed: str) -> list[Chat]:
    """About `n` questions, several on one list; each sentence with as many real as unreal names."""
    templates, seen, chats = HELD_OUT if world.side.held_out else TRAINING, set[str](), list[Chat]()
    for name, share in SHARES.items():
        room = ROOMS[name]
        (kind,) = room.kinds
        rng = Random(f"{seed}/listed/{name}")
        slots = balanced_slots(kind, templates[kind], round(n * share), rng, absent_share=0.0)
        rng.shuffle(slots)
        groups = [slots[at : at + room.turns] for at in range(0, len(slots), room.turns)]
        chats += evened(draw(world.side, room, groups, purpose=f"{seed}/{name}", seen=seen, progress=iter))
    return [[replace(question, category=category) for question in chat] for chat in chats]
