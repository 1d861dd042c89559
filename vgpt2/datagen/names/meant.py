"""Which real objects and columns a wrong name means: by a real name in it, by its words, by its letters."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property

from vgpt2.datagen.language import english
from vgpt2.sql.names import NameIndex
from vgpt2.sql.schema import Column, Object

_NAME_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_STEM = 6  # letters by which words count as the same: invoice, invoices, invoiced
_SMALL_WORDS = re.compile(r"one|the|and|of|to|for|by|with|in|its|their|before|after|or|each|every|from|an?|also", re.IGNORECASE)
_ENOUGH = 0.6  # of a name's weight in words that a description must hold
MOST = 3  # objects that a name may mean


class Meant:
    """The index of some objects. An answer depends on the name alone, so that a wrong name always means the same."""

    def __init__(self, objects: Sequence[Object], description: Callable[[Object], str | None]) -> None:
        self._by_name = {o.name: o for o in objects}
        self._description = description
        self._objects: dict[str, tuple[Object, ...]] = {}
        self._columns: dict[tuple[str, str], Column | None] = {}
        self._column_indices: dict[str, NameIndex] = {}

    def objects(self, name: str) -> tuple[Object, ...]:
        """The objects that a wrong name may mean, at most three; none where nothing is near."""
        if name not in self._objects:
            self._objects[name] = self._underscored(name) or self._begun_by(name) or self.by_words(name) or self._of_letters(name)
        return self._objects[name]

    def column(self, table: str, name: str) -> Column | None:
        """The column of `table` that a wrong name may mean."""
        if (table, name) not in self._columns:
            self._columns[table, name] = self._column(self._by_name[table], name)
        return self._columns[table, name]

    def _underscored(self, name: str) -> tuple[Object, ...]:
        """The object whose name the wrong one is, but for an underscore: JCPM for JC_PM."""
        found = self._by_name.get(name.replace("_", ""))
        return (found,) if found else ()

    def _begun_by(self, name: str) -> tuple[Object, ...]:
        """The object whose name begins the wrong one: APTH for APTHDetail."""
        begins = [o for o in self._by_name.values() if len(o.name) > 3 and name.casefold().startswith(o.name.casefold())]
        return (max(begins, key=lambda o: len(o.name)),) if begins else ()

    def _of_letters(self, name: str) -> tuple[Object, ...]:
        return tuple(self._by_name[found] for found in self._index.nearest(name, 1, prefix=2))

    def by_words(self, name: str) -> tuple[Object, ...]:
        """The objects whose description holds most of the name's words, rare words counting more."""
        scores: dict[str, float] = defaultdict(float)
        whole = 0.0
        for stem in dict.fromkeys(_stem(part) for part in _NAME_PARTS.findall(name)):
            holders = self._by_stem.get(stem, {})
            rarity = math.log(1 + len(self._by_name) / max(1, len(holders)))
            whole += rarity
            for holder, weight in holders.items():
                scores[holder] += weight * rarity
        best = max(scores.values(), default=0.0)
        if not scores or best < _ENOUGH * whole:
            return ()
        return tuple(o for o in self._by_name.values() if scores.get(o.name, 0.0) > best - 1e-9)[:MOST]

    def _column(self, o: Object, name: str) -> Column | None:
        wanted = {part[:_STEM].lower() for part in _NAME_PARTS.findall(name)}
        scored = []
        for place, c in enumerate(o.columns):
            words = {word[:_STEM] for word in (english.gloss(c.description) or "").lower().split()}
            if wanted and words and english.is_plain(c.name) and len(wanted & words) >= min(2, len(wanted)):
                scored.append((-len(wanted & words) / len(wanted | words), place))
        if scored:
            return o.columns[min(scored)[1]]
        if o.name not in self._column_indices:
            self._column_indices[o.name] = NameIndex(c for c in o.column_names if english.is_plain(c))
        found = self._column_indices[o.name].nearest(name, 1)
        return o.column_index[found[0]] if found else None

    @cached_property
    def _by_stem(self) -> dict[str, dict[str, float]]:
        """Objects by the words of their descriptions, with a weight: words of the explanation count half."""
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for o in self._by_name.values():
            text = self._description(o) or ("" if o.module else english.spaced(o.name))
            for part, weight in ((text, 0.5), (english.noun(text) or "", 1.0)):
                for word in re.findall(r"[A-Za-z]+", part):
                    if not _SMALL_WORDS.fullmatch(word) and word not in self._by_name:
                        found[_stem(word)][o.name] = weight
        return dict(found)

    @cached_property
    def _index(self) -> NameIndex:
        return NameIndex(self._by_name)


def _stem(word: str) -> str:
    return word.lower().removesuffix("s")[:_STEM]
