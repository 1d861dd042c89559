"""What a source states of a database, before keys are chosen, views followed and foreign keys resolved: plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vgpt2.sql.parser.statement_nodes import ViewDefinition
from vgpt2.sql.schema import Column


class Unread(NamedTuple):
    """Something that could not be read, and where it stands."""

    place: str  # file:line, or what else leads there
    reason: str


@dataclass(slots=True)
class Key:
    """A unique key of a table."""

    columns: tuple[str, ...]
    is_primary: bool = False
    is_clustered: bool | None = None


@dataclass(slots=True)
class Reference:
    """A foreign key as it is written: the parent's name in any case, its columns left out where they are its primary key."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    place: str


@dataclass(slots=True)
class Draft:
    """A table or view."""

    name: str
    schema: str
    kind: str  # 'table' or 'view'
    place: str
    columns: list[Column] = field(default_factory=list)  # of a view: empty where only its query tells
    keys: list[Key] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    definition: ViewDefinition | None = None
    description: str | None = None


@dataclass(slots=True)
class Drafts:
    """Everything one source states."""

    objects: dict[str, Draft] = field(default_factory=dict)
    n_types: int = 0  # user-defined types
    n_files: int = 0
    ignored: Counter[str] = field(default_factory=Counter)  # procedures, triggers, ...: there, and of no use here
    unread: list[Unread] = field(default_factory=list)

    def add(self, draft: Draft) -> None:
        """A second object of a name is not taken: names are looked up without their schema."""
        first = self.objects.setdefault(draft.name, draft)
        if first is not draft:
            self.unread.append(Unread(draft.place, f"{draft.kind} '{draft.name}' is defined before, at {first.place}; the first is kept"))


Progress = Callable[[Sequence[Path]], Iterable[Path]]
