"""Which names are real, and which of them a set may use: the line between training and judging.

The line depends on the names alone, not on any seed, so a suite made once stays held out from every set made later:
- whole families of catalogue objects (a header with its lines) are held out for questions with the schema in the prompt;
- every other name, real or invented, belongs to one split by its hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vgpt2.sql.catalogue import Catalogue, load_catalogue
from vgpt2.sql.names import NameIndex
from vgpt2.sql.schema import Object

KNOWN_NAMES = "known_names.txt"  # beside the catalogue's files: real object names of the database, one a line
SPLITS = ("train", "pairs", "suite")  # SFT; preference sets; suites
_SHARES = (0.6, 0.8)  # upper ends of train and pairs on [0, 1)
_HELD_OUT_SHARE = 0.2
_LISTED_LENGTH = 14
_WORD = re.compile(r"[A-Za-z_]\w*")
_ACRONYM = re.compile(r"[A-Z]{2,4}(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Names:
    """A catalogue with the wider list of real names; all lookups of the generator and the audit go through here."""

    catalogue: Catalogue = field(repr=False)
    known: frozenset[str] = field(repr=False)

    @cached_property
    def held_out(self) -> frozenset[str]:
        return held_out_objects(self.catalogue)

    @cached_property
    def columns(self) -> frozenset[str]:
        return frozenset(column.name for o in self.catalogue.objects.values() for column in o.columns)

    @cached_property
    def acronyms(self) -> frozenset[str]:
        """Capitals with which columns' names begin: EEO of EEOClass. In prose they are words."""
        return frozenset(found[0] for name in self.columns if (found := _ACRONYM.match(name)))

    @cached_property
    def words(self) -> frozenset[str]:
        """Words that descriptions use and that therefore are no names: EFT, POs, RFI."""
        texts = [o.description for o in self.catalogue.objects.values()]
        texts += [c.description for o in self.catalogue.objects.values() for c in o.columns]
        described = {word for text in texts if text for word in _WORD.findall(text)}
        return frozenset(described | set(self.catalogue.modules))

    @cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(name.casefold() for name in self.known | self.columns)

    @cached_property
    def _bases(self) -> dict[str, str]:
        """View by the table behind it."""
        return {o.base_table: o.name for o in self.catalogue.objects.values() if o.base_table}

    def is_object(self, name: str) -> bool:
        return name in self.known

    def is_column(self, name: str) -> bool:
        return name in self.columns

    def is_unreal(self, name: str) -> bool:
        """Whether no object and no column bears the name in any case: only such a name may stand for something that does not exist."""
        return name.casefold() not in self._folded

    def view_of(self, name: str) -> str | None:
        """The catalogue's view that shows the table `name`."""
        return self._bases.get(name)

    def split_of(self, name: str) -> str:
        """The one split that may ask about `name`. A table goes with its view, catalogue objects with train unless held out."""
        name = self._bases.get(name, name)
        if name in self.held_out:
            return "suite"
        if self.catalogue.has(name):
            return "train"
        return _split_by_hash(name)

    def objects(self, *, held_out: bool) -> list[Object]:
        """Catalogue objects on one side of the line, in its order; a table that a view shows is not queried and left out."""
        return self._sides[held_out]

    def listable(self, split: str) -> list[str]:
        """Real names that may stand in an object list of `split`, sorted: no tables that a view shows, no very long names (tokens)."""
        return self._listable[split]

    def nearest(self, name: str, *, held_out: bool) -> str | None:
        """The nearest catalogue object on the same side of the line."""
        found = self._indices[held_out].nearest(name, 1, prefix=2)
        return found[0] if found else None

    @cached_property
    def _sides(self) -> dict[bool, list[Object]]:
        shown = [o for o in self.catalogue.objects.values() if o.kind == "view" or not self.catalogue.views_of(o.name)]
        return {side: [o for o in shown if (o.name in self.held_out) == side] for side in (False, True)}

    @cached_property
    def _listable(self) -> dict[str, list[str]]:
        """Preference sets may list training's names too; what a suite lists is its own."""
        by_split: dict[str, list[str]] = {split: [] for split in SPLITS}
        for name in sorted(self.known):
            behind_view = name in self._bases or (name[:1].islower() and name[1:] in self.known)
            if not behind_view and len(name) <= _LISTED_LENGTH:
                split = self.split_of(name)
                by_split[split].append(name)
                if split == "train":
                    by_split["pairs"].append(name)
        return by_split

    @cached_property
    def _indices(self) -> dict[bool, NameIndex]:
        return {side: NameIndex(o.name for o in self.objects(held_out=side)) for side in (False, True)}


def load_names(folder: str | Path) -> Names:
    """The catalogue of `folder` with the names of its known_names.txt, where it has one."""
    catalogue = load_catalogue(folder)
    listed: Collection[str] = ()
    path = Path(folder) / KNOWN_NAMES
    if path.is_file():
        listed = path.read_text(encoding="utf-8").split()
    bases = {o.base_table for o in catalogue.objects.values() if o.base_table}
    return Names(catalogue, frozenset(catalogue.objects) | bases | frozenset(listed))


def held_out_objects(catalogue: Catalogue) -> frozenset[str]:
    """A fifth of the objects, in whole families and in the order of their hashes.

    Families larger than a quarter of that share stay in training.
    """
    quota = int(_HELD_OUT_SHARE * len(catalogue))
    held: set[str] = set()
    for family in sorted(_families(catalogue), key=lambda family: _digest("family/" + min(family))):
        if len(family) <= max(1, quota // 4) and len(held) + len(family) <= quota:
            held |= family
    return frozenset(held)


def _families(catalogue: Catalogue) -> list[set[str]]:
    """Objects connected by keys that extend one another: APTL's key is APTH's and a line number."""
    family_of = {name: {name} for name in catalogue.objects}
    for key in catalogue.foreign_keys:
        child, parent = catalogue.objects[key.from_object], catalogue.objects[key.to_object]
        whole_key = len(parent.business_key) > 1 and set(parent.business_key) == set(key.to_columns)
        if whole_key and key.from_columns == key.to_columns and set(parent.business_key) < set(child.business_key):
            merged = family_of[child.name] | family_of[parent.name]
            family_of.update(dict.fromkeys(merged, merged))
    return list({id(family): family for family in family_of.values()}.values())


def _split_by_hash(name: str) -> str:
    share = int(_digest("name/" + name.casefold())[:8], 16) / 16**8
    return SPLITS[sum(share >= end for end in _SHARES)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
