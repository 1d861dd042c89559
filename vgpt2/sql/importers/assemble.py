"""Drafts to a catalogue: keys chosen, views followed, foreign keys resolved and stated on the views that show a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.importers import views
from vgpt2.sql.importers.drafts import Draft, Drafts, Key, Reference, Unread
from vgpt2.sql.importers.inference import inferred_keys
from vgpt2.sql.schema import ForeignKey, Object

MODULE_RULES = ("none", "names", "schemas")
_MODULE = re.compile(r"(?:^|_)[a-z]*([A-Z]{2})")


def assemble(drafts: Drafts, *, modules: str = "none", infer: bool = True) -> Catalogue:
    """The catalogue that the drafts make. What does not fit is added to `drafts.unread`.

    modules: where an object's module comes from; 'names' takes the first two capitals, as in bAPTH and vrvJCDetail; 'schemas' the schema.
    """
    names = _Names(drafts.objects)
    tables = [_table(draft, drafts.unread) for draft in drafts.objects.values() if draft.kind == "table"]
    shown = views.resolve(tables, [draft for draft in drafts.objects.values() if draft.kind == "view"], drafts.unread)
    made = {o.name: o for o in [*tables, *(_with_business_key(view) for view in shown)]}
    objects = [_with_module(made[name], modules) for name in drafts.objects if name in made]
    catalogue = Catalogue(_exposed(objects))
    keys = _distinct(_stated_on_views(catalogue, _constraints(drafts, names, made)))
    return Catalogue(catalogue.objects.values(), [*keys, *(inferred_keys(catalogue, keys) if infer else ())])


class _Names:
    """Real names by how they are written, in exact case first."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = frozenset(names)
        self._lower = {name.lower(): name for name in sorted(self._exact, reverse=True)}

    def find(self, written: str) -> str | None:
        return written if written in self._exact else self._lower.get(written.lower())


def _table(draft: Draft, unread: list[Unread]) -> Object:
    """The table with its keys: the primary key is the constraint, else the clustered unique index."""
    names = _Names(column.name for column in draft.columns)
    keys: list[Key] = []
    for key in draft.keys:
        columns = tuple(filter(None, map(names.find, key.columns)))
        if len(columns) == len(key.columns):
            keys.append(replace(key, columns=columns))
        else:
            missing = next(name for name in key.columns if names.find(name) is None)
            unread.append(Unread(draft.place, f"a key of '{draft.name}' has the column '{missing}', which the table does not have"))
    primary = next((key.columns for key in keys if key.is_primary), None) or next((key.columns for key in keys if key.is_clustered), ())
    required = {name for key in keys if key.is_primary for name in key.columns}
    made = tuple(replace(column, nullable=False) if column.name in required else column for column in draft.columns)
    unique = tuple(dict.fromkeys([*filter(None, [primary]), *(key.columns for key in keys)]))
    table = Object(draft.name, "table", made, schema=draft.schema, primary_key=primary, unique_keys=unique)
    return _with_business_key(replace(table, description=draft.description))


def _with_business_key(o: Object) -> Object:
    """The shortest unique key without an identity column, in the order of the columns; the primary key where there is no such key."""
    identities = {column.name for column in o.columns if column.identity}
    candidates = [key for key in o.unique_keys if not identities.intersection(key)]
    shortest = min(candidates or ([o.primary_key] if o.primary_key else o.unique_keys), key=len, default=())
    if shortest != o.primary_key:
        ordinals = {name: i for i, name in enumerate(o.column_names)}
        shortest = tuple(sorted(shortest, key=ordinals.__getitem__))
    return replace(o, business_key=shortest)


def _with_module(o: Object, modules: str) -> Object:
    if modules == "names":
        found = _MODULE.search(o.name)
        return replace(o, module=found[1] if found else None)
    return replace(o, module=o.schema) if modules == "schemas" else o


def _exposed(objects: Sequence[Object]) -> list[Object]:
    """Every table with the views that show it."""
    shown = Catalogue(objects)
    return [replace(o, exposed_by=tuple(sorted(shown.views_of(o.name)))) if o.kind == "table" else o for o in objects]


def _constraints(drafts: Drafts, names: _Names, made: Mapping[str, Object]) -> list[ForeignKey]:
    """Foreign keys between objects that exist, in their real names."""
    keys = []
    for draft in drafts.objects.values():
        for reference in draft.references:
            parent = made.get(names.find(reference.parent) or "")
            if parent is None:
                problem = f"a foreign key of '{draft.name}' points at '{reference.parent}', which is not there; it is left out"
                drafts.unread.append(Unread(reference.place, problem))
            elif (key := _resolved(made[draft.name], reference, parent)) is None:
                problem = f"a foreign key of '{draft.name}' does not fit the columns of '{parent.name}'; it is left out"
                drafts.unread.append(Unread(reference.place, problem))
            else:
                keys.append(key)
    return keys


def _resolved(child: Object, reference: Reference, parent: Object) -> ForeignKey | None:
    child_names, parent_names = _Names(child.column_index), _Names(parent.column_index)
    columns = tuple(filter(None, map(child_names.find, reference.columns)))
    parent_columns = tuple(filter(None, map(parent_names.find, reference.parent_columns or parent.primary_key)))
    if not columns or len(columns) != len(reference.columns) or len(columns) != len(parent_columns):
        return None
    return ForeignKey(child.name, columns, parent.name, parent_columns)


def _stated_on_views(catalogue: Catalogue, keys: Sequence[ForeignKey]) -> list[ForeignKey]:
    """Keys in the names that a query uses: a table for which a view stands, with the key's columns, is called by the view's names."""
    stated = []
    for key in keys:
        child, columns = _shown_as(catalogue, key.from_object, key.from_columns)
        parent, parent_columns = _shown_as(catalogue, key.to_object, key.to_columns)
        stated.append(ForeignKey(child, columns, parent, parent_columns))
    return stated


def _shown_as(catalogue: Catalogue, table: str, columns: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The view that stands for the table, and its names for the columns: APTH bears the name of bAPTH; else the only one that is whole."""
    views = [catalogue.objects[name] for name in catalogue.views_of(table)]
    whole = [view for view in views if not view.row_filter and len(view.columns) >= len(catalogue.objects[table].columns)]
    for view in views:
        if table.endswith(view.name) or whole == [view]:
            names = {(column.source or f"{table}.{column.name}").partition(".")[2]: column.name for column in view.columns}
            if all(column in names for column in columns):
                return view.name, tuple(names[column] for column in columns)
    return table, columns


def _distinct(keys: Sequence[ForeignKey]) -> list[ForeignKey]:
    return list(dict.fromkeys(keys))
