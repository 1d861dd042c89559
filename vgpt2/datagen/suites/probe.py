"""The probe suite: a hundred names asked about from memory in five sentences, half real, half guesses at them.

The guesses are of five kinds, ten each: slips of the keyboard, another module's prefix, English words, plurals and endings, another case.
Each stands beside the real name it imitates, so whoever always says yes, or always no, is right half of the time in every kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from vgpt2.datagen.language.phrasings import HELD_OUT, Template
from vgpt2.datagen.names.fakes import column_guesses, fake_object
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.questions.recipes import suite_side

PAIRS = 10  # of a real name and a guess at it, for each kind
KINDS = {
    "near_miss": ("near_miss",),
    "wrong_module": ("wrong_module",),
    "words": ("camel", "english"),
    "ending": ("plural", "suffix"),
    "case": (),  # the database tells cases apart, so apth is no name of it; such a guess is not held out, for it is no name of its own
}
_SENTENCES = ("h01", "h03", "h05", "h06", "h08")  # asked outright, by spelling, by meaning, and as somebody's word
_ATTEMPTS = 40
Row = dict[str, Any]


def rows(names: Names, *, seed: int) -> list[Row]:
    """Five rows for each name, kind by kind; fewer where a catalogue has too few objects."""
    side, sentences = suite_side(names), [t for t in HELD_OUT["exists_memory"] if t.id.rpartition("-")[2] in _SENTENCES]
    found: list[Row] = []
    for kind, real, guess in _pairs(side, Random(f"{seed}/probe")):
        for name in (real, guess):
            held_out = [name] if name == guess and kind != "case" else []
            found += [_row(f"probe_{kind}", sentence, name, real, held_out) for sentence in sentences]
    return [{"id": f"probe-{number:03d}", **row} for number, row in enumerate(found, 1)]


def _pairs(side: Side, rng: Random) -> Iterator[tuple[str, str, str]]:
    """(kind, real name, guess at it), no name twice."""
    targets = [o.name for o in rng.sample(side.remembered_objects(), len(side.remembered_objects()))]
    taken: set[str] = set()
    columns = column_guesses(side.catalogue)  # training may ask for columns of these names
    for kind in KINDS:
        made = 0
        for target in targets:
            if target in taken or made == PAIRS:
                continue
            guess = _other_case(target, rng) if kind == "case" else _guess(side, kind, target, rng)
            if guess and guess not in taken and (kind == "case" or guess.casefold() not in columns):
                taken |= {target, guess}
                made += 1
                yield kind, target, guess


def _guess(side: Side, kind: str, target: str, rng: Random) -> str | None:
    for _ in range(_ATTEMPTS):
        fake = fake_object(side.names, target, KINDS[kind], split=side.split, rng=rng)
        if fake:
            return fake.name
    return None


def _other_case(name: str, rng: Random) -> str | None:
    others = sorted({name.lower(), name.capitalize(), name.swapcase()} - {name})
    return rng.choice(others) if others else None


def _row(group: str, sentence: Template, name: str, real: str, held_out: list[str]) -> Row:
    about = {"group": group, "kind": "exists", "template": sentence.id, "objects": [real], "held_out": held_out}
    ask, expect = sentence.fill(name=name), {"name": name, "exists": name == real}
    return {**about, "messages": [{"role": "user", "content": ask}], "expect": expect}
