"""Questions about what exists and what a column holds, each with its right answer: a pure function for each kind of row.

Every function takes the names it may use, a template, whether the asked name shall be real, and its own random generator; it returns None
where the catalogue offers nothing fitting, and the caller draws again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

from vgpt2.datagen import english
from vgpt2.datagen.fakes import OBJECT_KINDS, borrowed_column, fake_column, fake_object
from vgpt2.datagen.names import Names
from vgpt2.datagen.phrasings import Template
from vgpt2.datagen.plan import Query, nothing_holds
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.names import NameIndex
from vgpt2.sql.render import render_compact
from vgpt2.sql.schema import Column, ForeignKey, Object


@dataclass(frozen=True)
class Subject:
    """The name a question is about: what is said of it if it is real, and which real name serves instead if it is not."""

    name: str
    is_real: bool
    about: str
    instead: str

    def verdict(self, *, real: bool) -> str:
        return f"{self.name} exists: {self.about}." if real else f"{self.name} does not exist; use {self.instead} instead."


@dataclass(frozen=True)
class Question:
    """A prompt with its right answer; `subject` where it hangs on one name being real, `query` where the answer is SQL."""

    kind: str
    template: str
    prompt: str
    answer: str
    objects: tuple[str, ...]
    expect: dict[str, Any] = field(hash=False)
    subject: Subject | None = None
    query: Query | None = None


@dataclass(frozen=True)
class Side:
    """One side of the line between training and judging: its split of names, and which catalogue objects it may use."""

    names: Names
    split: str  # of invented and listed names
    held_out: bool  # whether questions with the schema in the prompt use the held-out objects

    @property
    def catalogue(self) -> Catalogue:
        return self.names.catalogue

    def schema_objects(self) -> list[Object]:
        return self.names.objects(held_out=self.held_out)

    @cached_property
    def schema_names(self) -> frozenset[str]:
        return frozenset(o.name for o in self.schema_objects())

    @cached_property
    def joinable_keys(self) -> list[ForeignKey]:
        """Whole keys, but for a mere company's, between two objects of this side that have only this one key between them."""
        objects = self.catalogue.objects
        return [
            key
            for key in self.catalogue.foreign_keys
            if key.from_object != key.to_object
            and {key.from_object, key.to_object} <= self.schema_names
            and len(key.from_columns) <= 4  # longer ones make prompts too long for small models
            and key.from_columns != (objects[key.from_object].company_column,)
            and set(key.to_columns) == set(objects[key.to_object].business_key)
            and len(self.catalogue.joins(key.from_object, key.to_object)) == 1
        ]

    @cached_property
    def line_keys(self) -> list[ForeignKey]:
        """Joinable keys from a line to its header: the child's key is the parent's with something after it, as APTL's is APTH's."""
        objects = self.catalogue.objects
        return [key for key in self.joinable_keys if _continues(objects[key.from_object].business_key, objects[key.to_object].business_key)]

    def schema_part(self, table: Object, columns: Sequence[str]) -> Object:
        """The object with its key and company columns and the given ones only, for a schema text of the size a prompt can bear.

        A description that mentions an object of the other side of the line is cut to what the object is called.
        """
        text = table.description
        if text and any(self.catalogue.has(word) and word not in self.schema_names for word in re.findall(r"\w+", text)):
            text = english.noun(text)
        return replace(table, description=text, columns=tuple(c for c in table.columns if c.name in columns or english.is_key(table, c)))

    def remembered_objects(self) -> list[Object]:
        """Objects asked about from memory: nobody can know a name never seen, so suites ask about the training ones too."""
        return self.names.objects(held_out=False)


Maker = Callable[[Side, Template, bool, Random], Question | None]


def exists_memory(side: Side, template: Template, real: bool, rng: Random) -> Question | None:
    """Is this name real? Nothing in the prompt helps. A tenth of the real names are tables behind views."""
    target = rng.choice(side.remembered_objects())
    noun = english.noun(target.description) or f"a {target.kind}"
    nearest = side.names.nearest(target.name, held_out=False)
    if real:
        behind = target.base_table if rng.random() < 0.1 else None
        about = f"the table behind the view {target.name}" if behind else noun
        subject = Subject(behind or target.name, True, about, (target.name if behind else nearest) or target.name)
    else:
        behind = target.base_table if rng.random() < 0.1 else None
        kinds = ("near_miss",) if behind else tuple(OBJECT_KINDS)
        fake = fake_object(side.names, behind or target.name, kinds, split=side.split, rng=rng)
        if fake is None:
            return None
        near = side.names.nearest(fake.name, held_out=False) if fake.kind in ("near_miss", "wrong_module") and not behind else None
        subject = Subject(fake.name, False, noun, near or target.name)
    return _existence("exists_memory", template, template.fill(name=subject.name), subject, (subject.name if real else subject.instead,))


def exists_list(side: Side, template: Template, real: bool, rng: Random) -> Question | None:
    """Is this name in the list of the prompt? Most fakes look like their neighbours in it, so that only the list can tell."""
    pool = side.names.listable(side.split)
    if len(pool) < 4:
        return None
    shown = rng.sample(pool, min(len(pool), rng.randint(7, 13)))
    target = rng.choice(shown)
    name = target
    if not real:
        fake = fake_object(side.names, target, _LISTED_KINDS, split=side.split, rng=rng)
        if fake is None:
            return None
        name = fake.name
    others = [n for n in shown if n != name]
    subject = Subject(name, real, "it is in the list", target if not real else _nearest(name, others))
    prompt = template.fill(name=name, list=", ".join(shown))
    return _existence("exists_list", template, prompt, subject, (target,))


def has_column(side: Side, template: Template, real: bool, rng: Random) -> Question | None:
    """Does this object have this column? Its columns, or a part of them with the asked one, stand in the prompt."""
    table = rng.choice(side.schema_objects())
    plain = [c for c in table.columns if english.is_plain(c.name)]
    described = [c for c in plain if english.gloss(c.description) or english.flag_clause(c.description)]
    pool = described if len(described) >= 6 else plain
    if len(pool) < 4:
        return None
    shown = sorted(rng.sample(pool, min(len(pool), rng.randint(6, 11))), key=table.columns.index)
    target = rng.choice(shown)
    name, instead = target.name, _nearest(target.name, [c.name for c in shown if c is not target])
    if not real:
        absent = _absent_column(side, table, target, rng)
        if absent is None:
            return None
        name, instead = absent
    subject = Subject(f"{table.name}.{name}", real, _holds(target), instead if "." in instead else f"{table.name}.{instead}")
    prompt = template.fill(table=table.name, column=name, list=", ".join(c.name for c in shown))
    return _existence("has_column", template, prompt, subject, (table.name,))


def _absent_column(side: Side, table: Object, target: Column, rng: Random) -> tuple[str, str] | None:
    """A column `table` lacks, with what to use instead: a guess at `target`, or a column that another table of the module has."""
    borrowed = borrowed_column(side.catalogue, side.schema_names, table, rng) if rng.random() < 0.25 else None
    if borrowed:
        return borrowed[0], f"{borrowed[1]}.{borrowed[0]}"
    fake = fake_column(table, target, rng)
    return (fake.name, target.name) if fake else None


def which_column(side: Side, template: Template, real: bool, rng: Random) -> Question | None:
    """Which column holds this? The words are the catalogue's own; when not `real`, no column of the object holds it."""
    table = rng.choice(side.schema_objects())
    columns = english.distinct_glosses(table)
    if len(columns) < 4:
        return None
    shown = rng.sample(sorted(columns), rng.randint(4, min(6, len(columns))))
    target = rng.choice(shown)
    gloss = columns[target] if real else absent_gloss(side, table, rng)
    if gloss is None:
        return None
    answer = f"{table.name}.{target} holds the {gloss}." if real else nothing_holds(table.name, gloss)
    schema = render_compact([side.schema_part(table, shown)])
    prompt = f"{schema}\n\n{template.fill(table=table.name, gloss=gloss)}"
    expect = {"table": table.name, "column": target if real else None}
    return Question("which_column", template.id, prompt, answer, (table.name,), expect)


def absent_gloss(side: Side, table: Object, rng: Random) -> str | None:
    """Words for data of other objects of which `table` holds nothing: its columns neither use nor could abbreviate any telling word."""
    described = " ".join(c.description or "" for c in table.columns).casefold()
    parts = {part for c in table.columns for part in english.spaced(c.name).split() if len(part) > 1}
    for _ in range(40):
        other = rng.choice(side.schema_objects())
        glosses = sorted(set(english.distinct_glosses(other).values()))
        gloss = rng.choice(glosses) if glosses else ""
        telling = [w for w in gloss.casefold().split() if len(w) > 3 and not _COMMON_WORDS.fullmatch(w)]
        if telling and not any(w[:5] in described or any(english.abbreviates(part, w) for part in parts) for w in telling):
            return gloss
    return None


_COMMON_WORDS = re.compile(r"number|code|amount|date|type|total|name|with|from|this|that|last|first|default|used")
_LISTED_KINDS = ("near_miss", "near_miss", "wrong_module", "plural", "suffix", "camel")


def _existence(kind: str, template: Template, prompt: str, subject: Subject, objects: tuple[str, ...]) -> Question:
    expect = {"name": subject.name, "exists": subject.is_real}
    return Question(kind, template.id, prompt, subject.verdict(real=subject.is_real), objects, expect, subject=subject)


def _continues(longer: tuple[str, ...], key: tuple[str, ...]) -> bool:
    return len(longer) > len(key) and longer[: len(key)] == key


def _holds(column: Column) -> str:
    clause = english.flag_clause(column.description)
    return f"Y when {clause}" if clause else english.gloss(column.description) or f"a column of type {column.type_text}"


def _nearest(name: str, others: Sequence[str]) -> str:
    found = NameIndex(others).nearest(name, 1, prefix=2)
    return found[0] if found else others[0]
