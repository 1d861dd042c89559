"""Names of a catalogue by the place where they may stand, and how they are spelt there: bare, in brackets or in double quotes."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import dataclass

from vgpt2.sql.binding.queries import FUNCTION_COLUMNS
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.parser.words import RESERVED

SYSTEM_SCHEMAS = frozenset(("sys", "INFORMATION_SCHEMA"))
CLOSING = {"": "", "[": "]", '"': '"'}  # the end of a name by its opening sign
_WORD = re.compile(r"[^\W\d][\w@#$]*")


def is_bare(name: str) -> bool:
    """Whether T-SQL takes the name without brackets."""
    return _WORD.fullmatch(name) is not None and name.upper() not in RESERVED


class NameSet:
    """Names that may stand at a place, and words that may stand before one."""

    def __init__(self, key: str, names: Collection[str], words: Collection[str] = ()) -> None:
        self.key = key  # the same for equal sets
        # a closing sign would have to be doubled; such names are left to the other way of quoting
        self._spelt = {opening: sorted(name for name in names if end not in name) for opening, end in CLOSING.items() if end}
        self._spelt[""] = sorted([*filter(is_bare, names), *words])

    def beginning(self, prefix: str, opening: str) -> list[str]:
        """The spellings, behind their opening sign, that begin with `prefix`."""
        found = self._spelt[opening]
        return found[bisect_left(found, prefix) : bisect_left(found, prefix + "\U0010ffff")]

    def spells(self, text: str, opening: str) -> bool:
        found = self._spelt[opening]
        place = bisect_left(found, text)
        return place < len(found) and found[place] == text


@dataclass(frozen=True)
class Columns:
    """What is known of the columns behind a name: all of them, nothing (they are free), or that they cannot be told."""

    names: frozenset[str] | None
    key: str = ""
    untold: bool = False

    def holds(self, asked: Collection[str]) -> bool:
        """Whether a text that has asked for these columns can mean this source."""
        return not asked or (not self.untold and (self.names is None or self.names.issuperset(asked)))


FREE, UNTOLD = Columns(None), Columns(None, untold=True)


class Schema:
    """The name sets of a catalogue, shared by all cursors."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.schemas: dict[str, set[str]] = {}
        for o in catalogue.objects.values():
            self.schemas.setdefault(o.schema, set()).update({o.name, *filter(None, (o.base_table,))})
        self.tables = frozenset().union(*self.schemas.values()) if self.schemas else frozenset()
        self._sets: dict[str, NameSet] = {}

    def name_set(self, key: str, names: Callable[[], Collection[str]], words: Collection[str] = ()) -> NameSet:
        """The set under a key, made from `names` when it is first asked for."""
        if key not in self._sets:
            self._sets[key] = NameSet(key, names(), words)
        return self._sets[key]

    def in_table_position(self, *, changed: bool) -> frozenset[str]:
        """Tables and what may stand before one; functions too, but where a statement changes rows."""
        return self.tables | self.schemas.keys() | SYSTEM_SCHEMAS | (frozenset() if changed else FUNCTION_COLUMNS.keys())

    def columns(self, table: str) -> Columns:
        """Columns of a catalogue object or of a base table that a view shows; free where nobody knows them."""
        views = self.catalogue.views_of(table)
        found = self.catalogue.get(table) or (self.catalogue.get(views[0]) if views else None)
        return Columns(frozenset(found.column_names), f"table {table}") if found and found.columns else FREE

    def function_columns(self, name: str) -> Columns:
        """Columns of a function that gives rows; those of OPENJSON may be listed behind it."""
        return UNTOLD if name == "OPENJSON" else Columns(frozenset(FUNCTION_COLUMNS[name]), f"function {name}")
