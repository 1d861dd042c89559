"""A question with its right answer, the name it hangs on, and the slot it was made for; several on one context are a chat."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from vgpt2.datagen.language import answers
from vgpt2.datagen.language.phrasings import Template
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.plan import Query


@dataclass(frozen=True)
class Slot:
    """A question to make: its kind and sentence, and whether the name or the data it asks for shall be real."""

    kind: str
    template: Template
    real: bool


@dataclass(frozen=True)
class Subject:
    """The name a question is about, and the nearest other real name; `about` says what a name is, where the prompt does not show it."""

    name: str
    is_real: bool
    nearest: str
    about: str = ""
    nearest_about: str = ""

    def verdict(self, *, real: bool) -> str:
        if real:
            return answers.verdict(self.name, real=True, nearest=self.name, about=self.about)
        return answers.verdict(self.name, real=False, nearest=self.nearest, about=self.nearest_about)


@dataclass(frozen=True)
class Question:
    """A prompt with its right answer; `subject` where it hangs on one name being real, `query` where the answer is SQL.

    `category` is the set's, where it is not the kind's own; `source` is where the material comes from.
    """

    kind: str
    template: str
    context: str  # what stands before the question, with its line breaks
    ask: str
    answer: str
    objects: tuple[str, ...]
    expect: dict[str, Any] = field(hash=False)
    subject: Subject | None = None
    query: Query | None = None
    category: str | None = None
    source: str = "catalogue"

    @property
    def prompt(self) -> str:
        return self.context + self.ask


Chat = list[Question]
ChatMaker = Callable[[Side, Sequence[Slot], Collection[str], Random], Chat | None]
