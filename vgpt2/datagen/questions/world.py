"""What a maker of questions may draw from: the names of one side, the glossary, the documents.

A maker gives about as many questions as it is asked for, as chats, and the same ones for the same seed text: it may run in any worker
process, on any part of a set. It keeps no state between calls. The parts of one set are of equal size, and the number that ends a seed
text, after a slash, is the part's place: a maker may go through its sentences in turn over all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.questions.question import Chat

if TYPE_CHECKING:
    from vgpt2.datagen.readers import Document
    from vgpt2.sql.glossary import Glossary


@dataclass(frozen=True)
class World:
    names: Names
    side: Side
    glossary: Glossary | None = field(default=None, repr=False)
    documents: tuple[Document, ...] = field(default=(), repr=False)
    queries: QuerySettings = field(default=QuerySettings(), repr=False)

    def __getstate__(self) -> dict[str, object]:
        """Without what is worked out once in each process: it cannot be sent to another."""
        return {name: value for name, value in vars(self).items() if name != "lexicon"}

    @cached_property
    def lexicon(self) -> Lexicon:
        """What questions for SQL call the side's tables and columns."""
        return Lexicon(self.side, self.glossary)


Maker = Callable[[World, int, str], list[Chat]]  # (world, how many questions, seed text) -> chats, fewer where the material ends
