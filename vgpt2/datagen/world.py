"""What a maker of questions may draw from: the names of one side, the glossary and the documents, where there are any.

A maker gives about as many questions as it is asked for, as chats, and the same ones for the same seed text: it may run in any worker
process, on any part of a set. It keeps no state between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vgpt2.datagen.names import Names
from vgpt2.datagen.questions import Chat
from vgpt2.datagen.sides import Side

if TYPE_CHECKING:
    from vgpt2.datagen.readers import Document
    from vgpt2.sql.glossary import Glossary


@dataclass(frozen=True)
class World:
    names: Names
    side: Side
    glossary: Glossary | None = field(default=None, repr=False)
    documents: tuple[Document, ...] = field(default=(), repr=False)


Maker = Callable[[World, int, str], list[Chat]]  # (world, how many questions, seed text) -> chats, fewer where the material ends
