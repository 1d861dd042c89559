"""The objects, columns and links of one side that questions asked from memory may be about.

Nobody can know a name never seen, so suites ask about the training objects too: what is held out are sentences and invented names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

from vgpt2.datagen.language import english
from vgpt2.datagen.names.meant import MOST, Meant
from vgpt2.datagen.names.sides import Side
from vgpt2.sql.names import NameIndex
from vgpt2.sql.schema import Column, ForeignKey, Object

_CLAUSES = frozenset(("what", "who", "where", "how", "when", "whether", "why"))  # words that no 'the' stands before
_VAGUE = re.compile(
    r"(?:header|line|detail|master|item|control|histor|code|type|total|amount|parameter)(?:s|y|ies)?", re.IGNORECASE
)  # no topic by themselves


class Stock:
    """One side's material; see the module's docstring. Everything derived is kept, nothing depends on an order of calls."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.memory = replace(side, held_out=False)
        self.objects = tuple(o for o in side.remembered_objects() if o.columns and english.is_plain(o.name))
        self.by_name = {o.name: o for o in self.objects}
        self.meant = Meant(self.objects, self.description)

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
    def _held(self) -> dict[str, frozenset[str]]:
        """All columns of an object that hold what these words say, keys included, by the words; 'OBJECT.Column'."""
        found: dict[str, set[str]] = defaultdict(set)
        for o in self.objects:
            for c in o.columns:
                if words := english.gloss(c.description):
                    found[words].add(f"{o.name}.{c.name}")
        return {words: frozenset(places) for words, places in found.items()}

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
        """Words for what few columns hold, all of which can be told, in alphabetical order."""
        return tuple(sorted(words for words, places in self.glosses.items() if len(places) <= MOST and self.is_told_whole(words)))

    def is_told_whole(self, words: str) -> bool:
        """Whether an answer can name every place: no key holds what the words say, nor perhaps a column that nobody has described."""
        places = self.glosses[words]
        return self._held[words] == set(places) and not any(place.partition(".")[2] in self._undescribed for place in places)

    @cached_property
    def _undescribed(self) -> frozenset[str]:
        return frozenset(c.name for o in self.objects for c in o.columns if not c.description)

    @cached_property
    def topics(self) -> dict[str, tuple[Object, ...]]:
        """Objects by the plural of the last two or three words of what they are called, where more than one is: 'change orders'."""
        found: dict[str, list[Object]] = defaultdict(list)
        for o in self.objects:
            words = (english.kernel(self.description(o)) or "").split()
            for n in (2, 3):
                if len(words) > n and words[-n] != "and" and not any(word[:2].isupper() for word in words[-n:]):
                    found[english.plural(" ".join(words[-n:]))].append(o)
            inner = [w for w in words if not _VAGUE.fullmatch(w)]
            if len(inner) >= 2 and inner != words and not any(word[:2].isupper() for word in inner[-2:]):
                found[english.plural(" ".join(inner[-2:]))].append(o)
        held = {topic: tuple(dict.fromkeys(objects)) for topic, objects in found.items()}
        return {topic: objects for topic, objects in held.items() if 2 <= len(objects) <= 12 and not _VAGUE.fullmatch(topic)}

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

    def in_words(self, name: str) -> str | None:
        """'the table of AP transaction headers'; None for a name that is no object's, or whose rows are called as those of others."""
        o = self.by_name.get(name)
        words = english.things(self.description(o)) if o else None
        # the plural of 'part or accessory' reads badly
        is_clear = words is not None and " or " not in words and self.things.get(words) is o
        return f"the table of {words}" if is_clear else None

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

    @cached_property
    def _nearest_names(self) -> NameIndex:
        return NameIndex(self.holders)


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
