"""Names that sound real and are not: guesses and slips a person or a model would make, each imitating one real name.

A fake is never the name of a known object or column in any case, and belongs to one split (see `names`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random

from vgpt2.datagen.language import english
from vgpt2.datagen.names.real import Names
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.schema import Column, Object

_LETTERS = "ABCDEFGHILMNOPRSTUVW"
_ATTEMPTS = 40
_COLUMN_ENDINGS = ("ID", "No", "Code", "Num", "Key", "Value")
_VAGUE = {"master", "detail", "history", "control", "header", "line", "codes", "parameters", "completed"}  # no table is called that alone


@dataclass(frozen=True)
class Fake:
    name: str
    kind: str
    imitates: str


Guess = Callable[[str, str | None, Sequence[str], Random], str | None]  # (real name, description, module prefixes, rng) -> guess


def near_miss(name: str, description: str | None, modules: Sequence[str], rng: Random) -> str | None:
    """One slip of the keyboard after the first letter: a letter replaced, swapped, dropped or doubled, or an underscore."""
    at = rng.randrange(1, len(name)) if len(name) > 1 else 0
    slip = rng.choice(("replace", "replace", "swap", "drop", "double", "underscore"))
    if slip == "replace":
        letter = rng.choice(_LETTERS)
        return name[:at] + (letter if name[at].isupper() else letter.lower()) + name[at + 1 :]
    if slip == "swap" and at + 1 < len(name):
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if slip == "drop" and len(name) > 4:
        return name[:at] + name[at + 1 :]
    if slip == "double":
        return name[: at + 1] + name[at:]
    return name[:2] + "_" + name[2:] if len(name) > 3 else None


def wrong_module(name: str, description: str | None, modules: Sequence[str], rng: Random) -> str | None:
    """The name with another module's prefix: APTD -> ARTD."""
    prefix = next((m for m in modules if name.startswith(m)), None)
    others = [m for m in modules if m != prefix]
    return rng.choice(others) + name[len(prefix) :] if prefix and others else None


def camel_guess(name: str, description: str | None, modules: Sequence[str], rng: Random) -> str | None:
    """The description written as one word, with the module: APTransactionHeader."""
    head = english.noun(description)
    return english.camel(head) if head and " " in head else None


def english_guess(name: str, description: str | None, modules: Sequence[str], rng: Random) -> str | None:
    """Two neighbouring words of the description, module left out: VendorInvoice."""
    words = [w for w in _plain_words(description) if w not in modules]
    if len(words) < 2:
        return None
    at = rng.randrange(len(words) - 1)
    return english.camel(" ".join(words[at : at + 2]))


def plural_guess(name: str, description: str | None, modules: Sequence[str], rng: Random) -> str | None:
    """An English plural, as other databases name their tables: Invoices, WorkOrders; for a name without words, the name and an s."""
    head = (english.kernel(description) or "").split()
    endings = [" ".join(head[-n:]) for n in (1, 2) if len(head) > n and head[-1] not in _VAGUE]
    if not endings or (len(name) > 6 and rng.random() < 0.5):
        return english.plural(name)
    return english.camel(english.plural(rng.choice(endings)))


def suffixed(name: str, description: str | None, modules: Sequence[str], rng: Random) -> str | None:
    """The name with a word that tables of other databases carry."""
    return name + rng.choice(("Table", "View", "Data", "Master", "Detail", "Archive", "Old", "List"))


OBJECT_KINDS: dict[str, Guess] = {
    "near_miss": near_miss,
    "wrong_module": wrong_module,
    "camel": camel_guess,
    "english": english_guess,
    "plural": plural_guess,
    "suffix": suffixed,
}


def fake_object(names: Names, target: str, kinds: Sequence[str], *, split: str, rng: Random) -> Fake | None:
    """An invented object of `split` that imitates the real name `target`, of one of `kinds`; None where no attempt gives one."""
    known = names.catalogue.get(target)
    description = known.description if known else None
    modules = tuple(names.catalogue.modules)
    for _ in range(_ATTEMPTS):
        kind = rng.choice(kinds)
        guess = OBJECT_KINDS[kind](target, description, modules, rng)
        if guess and _reads_as_a_name(guess) and guess != target and names.is_unreal(guess) and names.split_of(guess) == split:
            return Fake(guess, kind, target)
    return None


def fake_column(table: Object, target: Column, rng: Random) -> Fake | None:
    """An invented column that `table` lacks in any case and that a person who knows only the words of `target` would try."""
    present = {name.casefold() for name in table.column_names}
    words = english.gloss(target.description)
    for _ in range(_ATTEMPTS):
        kind = rng.choice(("camel", "near_miss", "suffix", "plural"))
        if kind == "camel":
            guess = english.camel(" ".join(words.split()[:3])) if words else None
        elif kind == "near_miss":
            guess = near_miss(target.name, None, (), rng)
        elif kind == "suffix":
            guess = target.name + rng.choice(_COLUMN_ENDINGS)
        else:
            guess = english.plural(target.name)
        if guess and _reads_as_a_name(guess) and guess.casefold() not in present:
            return Fake(guess, kind, target.name)
    return None


def column_guesses(catalogue: Catalogue) -> frozenset[str]:
    """What `fake_column` may call some column of a catalogue, in lower case; slips of the keyboard are left out."""
    found = set()
    for column in {(c.name, english.gloss(c.description)) for o in catalogue.objects.values() for c in o.columns}:
        name, words = column
        found |= {english.plural(name), *(name + ending for ending in _COLUMN_ENDINGS)}
        if words:
            found.add(english.camel(" ".join(words.split()[:3])))
    return frozenset(guess.casefold() for guess in found)


def borrowed_column(catalogue: Catalogue, side: Collection[str], table: Object, rng: Random) -> tuple[str, str] | None:
    """(column, its table) that `table` lacks in any case and a linked object of `side` has: APTL's GrossAmt, asked of APTH."""
    present = {name.casefold() for name in table.column_names}
    linked = {key.from_object for key in catalogue.children(table.name)} | {key.to_object for key in catalogue.parents(table.name)}
    pool = []
    for name in sorted((linked & set(side)) - {table.name}):
        other = catalogue.objects[name]
        if len(other.business_key) > 1 and other.module == table.module:  # not the parameters of a company
            pool += [(column, name) for column in english.distinct_glosses(other) if column.casefold() not in present]
    return rng.choice(pool) if pool else None


def _reads_as_a_name(guess: str) -> bool:
    """Whether prose can hold the guess: two underscores in a row mark emphasis there."""
    return "__" not in guess


_STOP_WORDS = re.compile(
    r"one|the|that|which|who|and|of|to|for|by|with|in|its|their|before|after|or|each|every|from|an?|also", re.IGNORECASE
)


def _plain_words(description: str | None) -> list[str]:
    head = (description or "").split(":")[0].split(",")[0]
    return [word for word in re.findall(r"[A-Za-z]+", head) if not _STOP_WORDS.fullmatch(word)]
