"""What is known of one database: its objects, columns, keys and foreign keys.

Names are looked up in exact case, because the collation of the databases we know is binary; case-insensitive and near matches serve
suggestions only. A catalogue never changes after loading, and indices are built when first asked for.

    catalogue = load_catalogue("data/catalogues/vista-core")
    catalogue.get("APTH").company_column    # 'APCo'
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from vgpt2.sql import catalogue_files
from vgpt2.sql.catalogue_files import CatalogueError
from vgpt2.sql.names import NameIndex
from vgpt2.sql.schema import Column, ForeignKey, Object

__all__ = ["Catalogue", "CatalogueError", "Column", "ForeignKey", "Object", "load_catalogue", "save_catalogue"]

V = TypeVar("V")


class Catalogue:
    """Objects by name and foreign keys between them; see the module's docstring."""

    def __init__(self, objects: Iterable[Object], foreign_keys: Iterable[ForeignKey] = ()) -> None:
        self.objects: dict[str, Object] = {o.name: o for o in objects}
        self.foreign_keys: tuple[ForeignKey, ...] = tuple(foreign_keys)

    def __len__(self) -> int:
        return len(self.objects)

    def __repr__(self) -> str:
        return f"Catalogue({len(self)} objects, {self.n_columns} columns, {len(self.foreign_keys)} foreign keys)"

    @property
    def n_columns(self) -> int:
        return sum(len(o.columns) for o in self.objects.values())

    def has(self, name: str) -> bool:
        return name in self.objects

    def knows(self, name: str) -> bool:
        """Whether the name is real: an object, or a base table that only its view stands for, as bAPTH in a catalogue of views."""
        return name in self.objects or name in self._views

    def get(self, name: str) -> Object | None:
        return self.objects.get(name)

    def ignoring_case(self, name: str) -> Object | None:
        """The object of that name in any case, for suggestions: `apth` finds APTH."""
        return self._lower.get(name.lower())

    def nearest(self, name: str, n: int = 3) -> list[str]:
        """At most `n` real names, nearest first: edit distance, one edit less within the same module (first two letters)."""
        if (name, n) not in self._nearest:
            self._nearest[name, n] = self._name_index.nearest(name, n, prefix=2)
        return list(self._nearest[name, n])

    @cached_property
    def modules(self) -> dict[str, tuple[str, ...]]:
        """Object names by module, in the catalogue's order; objects of no module are left out."""
        return {module: tuple(o.name for o in objects) for module, objects in self._of_module.items() if module}

    @cached_property
    def types(self) -> frozenset[str]:
        """Names of the user-defined types that columns use."""
        return frozenset(c.udt for o in self.objects.values() for c in o.columns if c.udt)

    def base_of(self, name: str) -> str:
        """The table behind a view that shows one table, else the name itself: two views of one table have one base."""
        o = self.objects.get(name)
        return (o.base_table if o else None) or name

    def views_of(self, table: str) -> tuple[str, ...]:
        """Views that show the table, the one that bears its name (bAPTH -> APTH) first."""
        return self._views.get(table, ())

    def joins(self, a: str, b: str) -> list[ForeignKey]:
        """Foreign keys between `a` and `b` in both directions, longest first, stated in these two names: a view stands for its table."""
        bases = self.base_of(a), self.base_of(b)
        found = [_renamed(key, a, b) for key in self._keys_between.get(bases, ())]
        if bases[0] != bases[1]:
            found += [_renamed(key, b, a) for key in self._keys_between.get(bases[::-1], ())]
        return sorted((k for k in found if self._holds(k)), key=lambda k: -len(k.from_columns))

    def parents(self, name: str) -> list[ForeignKey]:
        """Foreign keys that leave `name`."""
        return list(self._keys_from.get(name, ()))

    def children(self, name: str) -> list[ForeignKey]:
        """Foreign keys that point at `name`."""
        return list(self._keys_to.get(name, ()))

    def family(self, name: str) -> tuple[str, ...]:
        """Header, lines and details around `name`, shortest key first.

        They are the objects of its module and kind whose business key begins its own, or goes on from it.
        """
        o = self.objects.get(name)
        if o is None or len(o.business_key) < 2:
            return (name,) if o else ()
        key = o.business_key
        related = [
            other
            for other in self._of_module[o.module]
            if other.kind == o.kind and len(other.business_key) > 1 and _begins(key, other.business_key)
        ]
        return tuple(other.name for other in sorted(related, key=lambda other: (len(other.business_key), other.name)))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: names, types, keys and descriptions, whatever the order of the rows or the form of the files."""
        digest = hashlib.sha256()
        for name in sorted(self.objects):
            o = self.objects[name]
            columns = [(c.name, c.udt, c.type_text, c.nullable, c.description) for c in o.columns]
            digest.update(repr((name, o.kind, o.schema, o.base_table, o.business_key, o.unique_keys, o.description, columns)).encode())
        keys = sorted((k.from_object, k.to_object, k.from_columns, k.to_columns) for k in self.foreign_keys)
        digest.update(repr(keys).encode())
        return digest.hexdigest()

    @cached_property
    def _of_module(self) -> dict[str | None, list[Object]]:
        return _grouped(self.objects.values(), lambda o: o.module)

    @cached_property
    def _lower(self) -> dict[str, Object]:
        return {name.lower(): o for name, o in reversed(self.objects.items())}

    @cached_property
    def _name_index(self) -> NameIndex:
        shown = (o.name for o in self.objects.values() if not (o.kind == "table" and self.views_of(o.name)))
        return NameIndex(shown)

    @cached_property
    def _nearest(self) -> dict[tuple[str, int], list[str]]:
        return {}

    @cached_property
    def _views(self) -> dict[str, tuple[str, ...]]:
        views: dict[str, list[str]] = defaultdict(list)
        for o in self.objects.values():
            if o.kind == "view" and o.base_table:
                views[o.base_table].append(o.name)
        return {table: tuple(sorted(names, key=lambda n: (not table.endswith(n), n))) for table, names in views.items()}

    @cached_property
    def _keys_between(self) -> dict[tuple[str, str], list[ForeignKey]]:
        return _grouped(self.foreign_keys, lambda k: (self.base_of(k.from_object), self.base_of(k.to_object)))

    @cached_property
    def _keys_from(self) -> dict[str, list[ForeignKey]]:
        return _grouped(self.foreign_keys, lambda k: k.from_object)

    @cached_property
    def _keys_to(self) -> dict[str, list[ForeignKey]]:
        return _grouped(self.foreign_keys, lambda k: k.to_object)

    def _holds(self, key: ForeignKey) -> bool:
        """Whether both objects show every column of the key."""
        child, parent = self.objects.get(key.from_object), self.objects.get(key.to_object)
        return bool(child and parent and all(child.has(c) and parent.has(p) for c, p in key.pairs))


def load_catalogue(folder: str | Path) -> Catalogue:
    """The catalogue of a folder with objects.json, columns.json and (optionally) foreign_keys.json, or of one .yaml or .json file.

    Descriptions may be null or absent. Raises CatalogueError naming file and row.
    """
    return Catalogue(*catalogue_files.read(Path(folder)))


def save_catalogue(catalogue: Catalogue, path: str | Path, *, head: str = "") -> None:
    """Write the catalogue as one .yaml or .json file, or as a folder where the name has another ending; `head` is a comment for YAML."""
    catalogue_files.write(Path(path), list(catalogue.objects.values()), catalogue.foreign_keys, head=head)


def _renamed(key: ForeignKey, child: str, parent: str) -> ForeignKey:
    return ForeignKey(child, key.from_columns, parent, key.to_columns, key.source)


def _begins(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Whether the shorter of two keys begins the longer."""
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


def _grouped(values: Iterable[V], by: Callable[[V], Any]) -> dict[Any, list[V]]:
    groups: dict[Any, list[V]] = defaultdict(list)
    for value in values:
        groups[by(value)].append(value)
    return dict(groups)
