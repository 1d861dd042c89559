"""The objects, columns and links of one side that questions asked from memory may be about, and which of them a wrong name means.

Nobody can know a name never seen, so suites ask about the training objects too: what is held out are sentences and invented names.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

from vgpt2.datagen import english
from vgpt2.datagen.sides import Side
from vgpt2.sql.names import NameIndex
from vgpt2.sql.schema import Column, ForeignKey, Object

_NAME_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_STEM = 6  # letters by which words count as the same: invoice, invoices, invoiced
_LEFT_OUT = frozenset(
    [
        "one",
        "the",
        "and",
        "of",
        "to",
        "for",
        "by",
        "with",
        "in",
        "its",
        "their",
        "before",
        "after",
        "or",
        "each",
        "every",
        "from",
        "an",
        "a",
        "also",
    ]
)
_MOST_MEANT = 3
_CLAUSES = frozenset(("what", "who", "where", "how", "when", "whether", "why"))
_ENOUGH = 0.6  # of a name's weight in words that a description must hold
_VAGUE = frozenset(
    [
        "header",
        "headers",
        "line",
        "lines",
        "detail",
        "details",
        "master",
        "masters",
        "history",
        "histories",
        "item",
        "items",
        "control",
        "controls",
    ]
)


class Stock:
    """One side's material; see the module's docstring. Everything derived is kept, nothing depends on an order of calls."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.memory = replace(side, held_out=False)
        self.objects = tuple(o for o in side.remembered_objects() if o.columns and english.is_plain(o.name))
        self.by_name = {o.name: o for o in self.objects}
        self._nearest_columns: dict[str, NameIndex] = {}
        self._meant: dict[str, tuple[Object, ...]] = {}
        self._meant_columns: dict[tuple[str, str], Column | None] = {}

    @cached_property
    def keyed(self) -> tuple[Object, ...]:
        """Objects whose rows the catalogue can tell apart."""
        return tuple(o for o in self.objects if o.business_key)

    @cached_property
    def modules(self) -> dict[str, tuple[Object, ...]]:
        by_module: dict[str, list[Object]] = defaultdict(list)
        for o in self.objects:
            if o.module:
                by_module[o.module].append(o)
        return {module: tuple(objects) for module, objects in by_module.items() if len(objects) > 1}

    @cached_property
    def holders(self) -> dict[str, tuple[str, ...]]:
        """Objects by the column they have, plain names only."""
        found: dict[str, list[str]] = defaultdict(list)
        for o in self.objects:
            for name in o.column_names:
                if english.is_plain(name):
                    found[name].append(o.name)
        return {name: tuple(tables) for name, tables in found.items()}

    @cached_property
    def glosses(self) -> dict[str, tuple[str, ...]]:
        """'OBJECT.Column' by the words for what it holds, key and company columns left out."""
        found: dict[str, list[str]] = defaultdict(list)
        for o in self.objects:
            for column, words in things_held(o).items():
                found[words].append(f"{o.name}.{column}")
        return {words: tuple(places) for words, places in found.items()}

    @cached_property
    def things(self) -> dict[str, Object]:
        """Objects by what their rows are called in the plural, where only one is called so."""
        called: dict[str, list[Object]] = defaultdict(list)
        for o in self.objects:
            if words := english.things(self.description(o)):
                called[words].append(o)
        return {words: objects[0] for words, objects in called.items() if len(objects) == 1}

    @cached_property
    def told_glosses(self) -> tuple[str, ...]:
        """Words for what few columns hold, in alphabetical order."""
        return tuple(sorted(words for words, places in self.glosses.items() if len(places) <= _MOST_MEANT))

    @cached_property
    def topics(self) -> dict[str, tuple[Object, ...]]:
        """Objects by the plural of two words that end what they are called, where more than one is: 'change orders', 'work orders'."""
        found: dict[str, list[Object]] = defaultdict(list)
        for o in self.objects:
            words = (english.kernel(self.description(o)) or "").split()
            for n in (1, 2, 3):
                if len(words) > n and not any(word[:2].isupper() for word in words[-n:]):
                    found[english.plural(" ".join(words[-n:]))].append(o)
            inner = [w for w in words if w.lower() not in _VAGUE]
            if len(inner) >= 2 and inner != words and not any(word[:2].isupper() for word in inner[-2:]):
                found[english.plural(" ".join(inner[-2:]))].append(o)
        held = {topic: tuple(dict.fromkeys(objects)) for topic, objects in found.items()}
        return {topic: objects for topic, objects in held.items() if 2 <= len(objects) <= 12 and topic.lower() not in _VAGUE}

    @cached_property
    def links(self) -> dict[str, tuple[ForeignKey, ...]]:
        """Keys from and to an object, by its name: the longest between two objects where several differ in length."""
        found: dict[str, list[ForeignKey]] = defaultdict(list)
        for key in self.side.catalogue.foreign_keys:
            ends = key.from_object, key.to_object
            if ends[0] != ends[1] and set(ends) <= self.by_name.keys() and key in self.keys_between(*ends):
                found[ends[0]].append(key)
                found[ends[1]].append(key)
        return {name: tuple(keys) for name, keys in found.items()}

    def keys_between(self, a: str, b: str) -> list[ForeignKey]:
        """The longest keys between two objects, each once: a shorter one is part of what they say, or only a company."""
        keys = list(dict.fromkeys(self.side.catalogue.joins(a, b)))
        longest = len(keys[0].from_columns) if keys else 0
        return [key for key in keys if len(key.from_columns) == longest]

    @cached_property
    def linked_pairs(self) -> tuple[tuple[str, str], ...]:
        """(child, parent) of every link, each pair once."""
        return tuple(dict.fromkeys((key.from_object, key.to_object) for keys in self.links.values() for key in keys))

    @cached_property
    def bridges(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Objects between two that have no key of their own: the child refers to the bridge, and the bridge to the parent."""
        pairs, telling = set(self.linked_pairs), self._telling_pairs
        parents = defaultdict(list)
        for child, parent in telling:
            parents[child].append(parent)
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for child, bridge in telling:
            for parent in parents[bridge]:
                if parent != child and not {(child, parent), (parent, child)} & pairs and bridge not in found[child, parent]:
                    found[child, parent].append(bridge)
        return {pair: tuple(sorted(bridges)) for pair, bridges in found.items()}

    @cached_property
    def _telling_pairs(self) -> tuple[tuple[str, str], ...]:
        """(child, parent) of the links that say more than whose company a row is."""
        mere = {(o.name, (o.company_column,)) for o in self.objects}
        keys = (key for keys in self.links.values() for key in keys if (key.to_object, key.to_columns) not in mere)
        return tuple(dict.fromkeys((key.from_object, key.to_object) for key in keys))

    @cached_property
    def bridged(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.bridges)

    @cached_property
    def joinable(self) -> tuple[tuple[str, str], ...]:
        """As many pairs without a key between them as with one, every other of them with a bridge where there are any."""
        apart = [pair for two in zip(self.bridged, self.strangers) for pair in two] or [*self.bridged, *self.strangers]
        linked = self.linked_pairs
        return (*linked, *apart[:: max(1, len(apart) // max(1, len(linked)))][: len(linked)])

    @cached_property
    def parents_first(self) -> tuple[tuple[str, str], ...]:
        """(parent, child) of every link that says more than the company."""
        return tuple((parent, child) for child, parent in self._telling_pairs)

    @cached_property
    def renamed(self) -> tuple[tuple[ForeignKey, str, str], ...]:
        """(key, child's column, parent's column) where the two have different names."""
        keys = [key for name in self.by_name for key in self.links.get(name, ()) if key.from_object == name]
        plain = [key for key in keys if all(map(english.is_plain, (*key.from_columns, *key.to_columns)))]
        return tuple((key, c, p) for key in plain for c, p in key.pairs if c != p)

    @cached_property
    def strangers(self) -> tuple[tuple[str, str], ...]:
        """Pairs of a module without a key between them."""
        pairs = ((a.name, b.name) for objects in self.modules.values() for a in objects for b in objects if a.name < b.name)
        return tuple(pair for pair in pairs if not self.side.catalogue.joins(*pair))

    @cached_property
    def neighbours(self) -> tuple[tuple[str, str], ...]:
        """Pairs worth comparing: linked ones and those of one module."""
        same = ((a.name, b.name) for objects in self.modules.values() for a in objects for b in objects if a is not b)
        return tuple(dict.fromkeys((*self.linked_pairs, *same)))

    def family(self, o: Object) -> tuple[Object, ...]:
        """Header, lines and details around the object on this side, shortest key first; itself alone where it has none."""
        return tuple(self.by_name[name] for name in self.side.catalogue.family(o.name) if name in self.by_name)

    def description(self, o: Object) -> str | None:
        return self.memory.description(o)

    def called(self, o: Object) -> str:
        """What the object is called in words, else its kind."""
        return english.noun(self.description(o)) or f"a {o.kind}"

    @cached_property
    def successors(self) -> dict[str, str]:
        """Posted object by the batch object whose description says that its rows are posted there."""
        found = {}
        for o in self.objects:
            named = re.search(r"\bbefore posting to (\w+)", o.description or "")
            if named and named[1] in self.by_name:
                found[o.name] = named[1]
        return found

    @cached_property
    def listed(self) -> list[str]:
        """Real names of the wider list, beyond the catalogue's, that this side may ask about."""
        split = self.side.split
        return [
            name
            for name in self.side.names.listable(split)
            if not self.side.catalogue.has(name) and self.side.names.split_of(name) == split
        ]

    def nearest_column(self, name: str) -> str | None:
        """The column name of any object that is nearest to a wrong one."""
        found = self._nearest_names.nearest(name, 1)
        return found[0] if found else None

    def meant_by(self, name: str) -> tuple[Object, ...]:
        """The real objects that a wrong name may mean, at most three: by a real name that begins it, by its words, else by its letters."""
        if name not in self._meant:
            self._meant[name] = self._objects_meant(name)
        return self._meant[name]

    def column_meant_by(self, table: str, name: str) -> Column | None:
        """The column of `table` that a wrong name means: by the words of its description, else by its letters."""
        if (table, name) not in self._meant_columns:
            self._meant_columns[table, name] = self._column_meant(self.by_name[table], name)
        return self._meant_columns[table, name]

    def _objects_meant(self, name: str) -> tuple[Object, ...]:
        begins = [o for o in self.objects if len(o.name) > 3 and name.casefold().startswith(o.name.casefold())]
        if begins:
            return (max(begins, key=lambda o: len(o.name)),)
        return self._by_words(name) or tuple(self.by_name[found] for found in self._nearest_objects.nearest(name, 1, prefix=2))

    def _column_meant(self, o: Object, name: str) -> Column | None:
        wanted = {part[:_STEM].lower() for part in _NAME_PARTS.findall(name)}
        scored = []
        for c in o.columns:
            words = {word[:_STEM] for word in (english.gloss(c.description) or "").lower().split()}
            if words and english.is_plain(c.name) and len(wanted & words) >= min(2, len(wanted)):
                scored.append((-len(wanted & words) / len(wanted | words), o.column_names.index(c.name), c))
        if scored and wanted:
            return min(scored, key=lambda entry: entry[:2])[2]
        index = self._column_index(o)
        found = index.nearest(name, 1)
        return o.column_index[found[0]] if found else None

    def _column_index(self, o: Object) -> NameIndex:
        if o.name not in self._nearest_columns:
            self._nearest_columns[o.name] = NameIndex(c for c in o.column_names if english.is_plain(c))
        return self._nearest_columns[o.name]

    def _by_words(self, name: str) -> tuple[Object, ...]:
        """Objects whose description holds the words of the name, where they hold most of its weight."""
        scores: dict[str, float] = defaultdict(float)
        whole = 0.0
        for part in {_stem(part) for part in _NAME_PARTS.findall(name)}:
            holders = self._by_stem.get(part, {})
            rarity = math.log(1 + len(self.objects) / max(1, len(holders)))
            whole += rarity
            for holder, weight in holders.items():
                scores[holder] += weight * rarity
        best = max(scores.values(), default=0.0)
        if best < _ENOUGH * whole or not scores:
            return ()
        return tuple(self.by_name[found] for found, score in scores.items() if score > best - 1e-9)[:_MOST_MEANT]

    @cached_property
    def _by_stem(self) -> dict[str, dict[str, float]]:
        """Objects by the words of their descriptions, with a weight: words of the explanation count half."""
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for o in self.objects:
            text = self.description(o) or ("" if o.module else english.spaced(o.name))
            for part, weight in ((text, 0.5), (english.noun(text) or "", 1.0)):
                for word in re.findall(r"[A-Za-z]+", part):
                    if word.lower() not in _LEFT_OUT and not self.side.catalogue.has(word):
                        found[_stem(word)][o.name] = weight
        return dict(found)

    @cached_property
    def _nearest_names(self) -> NameIndex:
        return NameIndex(self.holders)

    @cached_property
    def _nearest_objects(self) -> NameIndex:
        return NameIndex(o.name for o in self.objects)


def column_said(c: Column) -> str | None:
    """What a column holds, after 'holds': 'the due date', 'Y when active'; None where the catalogue does not say."""
    if words := english.gloss(c.description):
        return words if words.split()[0] in {"the", *_CLAUSES} else f"the {words}"
    return english.without_brackets(c.description) if c.description else None


def things_held(o: Object) -> dict[str, str]:
    """Words by column, as `english.distinct_glosses`, without clauses that no 'the' can stand before."""
    return {name: words for name, words in english.distinct_glosses(o).items() if words.split()[0] not in _CLAUSES}


def shown(names: Sequence[str], most: int) -> str:
    """The first names, with how many more there are: 'A, B and 3 more'."""
    if len(names) <= most:
        return english.listing(list(names))
    return english.listing([*names[:most], f"{len(names) - most} more"])


@lru_cache(maxsize=4)
def stock_of(side: Side) -> Stock:
    """The stock of a side, kept for the calls that follow."""
    return Stock(side)


def _stem(word: str) -> str:
    return word.lower().removesuffix("s")[:_STEM]
