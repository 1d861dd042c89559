"""Foreign keys that a database keeps without a constraint: equal names and types over the parent's whole business key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.schema import Column, ForeignKey, Object

Signature = frozenset[tuple[str, str]]
_COMMON = frozenset(("id", "code", "name", "type", "status", "key", "number", "no", "nr", "seq", "year", "month", "date", "value", "text"))


def inferred_keys(catalogue: Catalogue, stated: Sequence[ForeignKey]) -> list[ForeignKey]:
    """Keys that names and types suggest, between objects that a query uses and that no stated key connects.

    Where several objects have the same key, only the child's own module can say which one is meant; else none is. A key of one column
    is believed within a module alone, and never under a name that any table might use.
    """
    connected = {frozenset((key.from_object, key.to_object)) for key in stated}
    objects = [o for o in catalogue.objects.values() if _is_used(o, catalogue)]
    parents = _parents(objects)
    found = []
    for child in objects:
        for parent in _parents_of(child, parents):
            if frozenset((child.name, parent.name)) not in connected:
                found.append(ForeignKey(child.name, parent.business_key, parent.name, parent.business_key, "inferred"))
    return found


def _is_used(o: Object, catalogue: Catalogue) -> bool:
    """Whether queries use the object itself: a table that no view shows, or the first view of a table."""
    if o.kind == "table":
        return not catalogue.views_of(o.name)
    return o.base_table is not None and catalogue.views_of(o.base_table)[0] == o.name


def _parents(objects: Sequence[Object]) -> dict[str, dict[Signature, list[Object]]]:
    """Objects with a business key, by the key's first column and by its names and types."""
    parents: dict[str, dict[Signature, list[Object]]] = defaultdict(lambda: defaultdict(list))
    for o in objects:
        if o.business_key:
            signature = frozenset((name, _type(o.column_index[name])) for name in o.business_key)
            parents[min(o.business_key)][signature].append(o)
    return parents


def _parents_of(child: Object, parents: dict[str, dict[Signature, list[Object]]]) -> Iterator[Object]:
    own = {(column.name, _type(column)) for column in child.columns}
    for name in child.column_names:
        for signature, owners in parents.get(name, {}).items():
            if signature <= own and {column for column, _ in signature} != set(child.business_key):
                parent = _meant(child, owners, len(signature) == 1)
                if parent is not None and parent.name != child.name:
                    yield parent


def _meant(child: Object, owners: Sequence[Object], is_single: bool) -> Object | None:
    """The one owner of a key that the child's columns can mean."""
    if len(owners) > 1:
        owners = [o for o in owners if o.module is not None and o.module == child.module]
    if len(owners) != 1 or (is_single and (owners[0].module != child.module or owners[0].business_key[0].lower() in _COMMON)):
        return None
    return owners[0]


def _type(column: Column) -> str:
    """What two columns must have in common: the user-defined type, else the type with its length."""
    return column.udt or column.type_text or ""
