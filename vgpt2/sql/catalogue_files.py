"""Catalogues on disk: a folder of three JSON files, or one YAML or JSON file; both read and written row by row.

The single file nests the columns in their objects, so that a person can edit it:

    objects:
    - name: Bike
      kind: table
      description: one bicycle, by its frame number
      primary_key: [BikeId]
      columns:
      - {name: BikeId, type: integer, nullable: false, description: number of the bicycle}
    foreign_keys:
    - {from_object: Bike, from_columns: [StoreId], to_object: Store, to_columns: [StoreId]}
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from sys import intern
from typing import Any

import yaml

from vgpt2 import atomic
from vgpt2.sql.schema import Column, ForeignKey, Object

SINGLE_FILES = (".yaml", ".yml", ".json")
MAX_FILE_BYTES = 256 << 20
Row = dict[str, Any]
Contents = tuple[list[Object], list[ForeignKey]]

_OBJECT_FIELDS = ("name", "kind")
_COLUMN_FIELDS = ("object", "column")
_WORDS = ("type", "udt", "from", "description")
_SIZES = ("length", "precision", "scale")
_KEY_FIELDS = ("from_object", "from_columns", "to_object", "to_columns")


class CatalogueError(ValueError):
    """A catalogue that cannot be read: the message names file and row."""


def read(path: Path) -> Contents:
    """Objects and foreign keys of a catalogue's folder or file. Raises CatalogueError naming file and row."""
    return _read_file(path) if is_single_file(path) else _read_folder(path)


def write(path: Path, objects: Sequence[Object], foreign_keys: Sequence[ForeignKey], *, head: str = "") -> None:
    """The catalogue as one file or as a folder, by the name's ending. `head`: lines of comment for YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in SINGLE_FILES:
        atomic.write_text(path, _single_text(path, objects, foreign_keys, head))
        return
    path.mkdir(parents=True, exist_ok=True)
    columns = [{"object": o.name, **row} for o in objects for row in _column_rows(o, "column")]
    _write_rows(path / "columns.json", columns)
    _write_rows(path / "foreign_keys.json", [_key_row(key) for key in foreign_keys])
    _write_rows(path / "objects.json", [_object_row(o) for o in objects])


def is_single_file(path: Path) -> bool:
    return path.suffix.lower() in SINGLE_FILES and not path.is_dir()


def _read_folder(folder: Path) -> Contents:
    column_rows = _rows(folder / "columns.json", _load_json(folder / "columns.json"), _COLUMN_FIELDS)
    columns = _columns_by_object(folder / "columns.json", column_rows)
    object_rows = _rows(folder / "objects.json", _load_json(folder / "objects.json"), _OBJECT_FIELDS)
    objects = [_object(row, columns.get(row["name"], ()), folder / "objects.json") for row in object_rows]
    known = {o.name for o in objects}
    stray = next((name for name in columns if name not in known), None)
    if stray is not None:
        raise CatalogueError(f"{folder / 'columns.json'}: '{stray}' is not in objects.json; add the object or drop its columns")
    path = folder / "foreign_keys.json"
    keys = _foreign_keys(path, _rows(path, _load_json(path), _KEY_FIELDS), known) if path.exists() else []
    return objects, keys


def _read_file(path: Path) -> Contents:
    content = _load_json(path) if path.suffix.lower() == ".json" else _load_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        raise CatalogueError(f"{path}: has no list 'objects'; a catalogue in one file maps objects and foreign_keys to lists of rows")
    unknown = next((key for key in content if key not in ("objects", "foreign_keys")), None)
    if unknown is not None:
        raise CatalogueError(f"{path}: unknown key '{str(unknown)[:40]}'; allowed are objects and foreign_keys")
    object_rows = _rows(path, content["objects"], _OBJECT_FIELDS)
    columns = _columns_by_object(path, [row for o in object_rows for row in _nested_columns(path, o)])
    objects = [_object(row, columns.get(row["name"], ()), path) for row in object_rows]
    names = {o.name for o in objects}
    if len(names) < len(objects):
        twice = next(o.name for i, o in enumerate(objects) if any(o.name == other.name for other in objects[:i]))
        raise CatalogueError(f"{path}: object '{twice}' stands there twice; keep one of the two")
    return objects, _foreign_keys(path, _rows(path, content.get("foreign_keys") or [], _KEY_FIELDS), names)


def _nested_columns(path: Path, o: Row) -> list[Row]:
    rows = _rows(path, o.get("columns") or [], ("name",), f"'{o['name']}', column ")
    return [{**row, "object": o["name"], "column": row["name"]} for row in rows]


class _PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """SafeLoader that refuses what YAML would take silently: equal keys, and one value in several places."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node in self.constructed_objects:
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not read; write the value out", node.start_mark)
        return super().construct_object(node, deep=deep)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' is given twice; keep one", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _load_yaml(path: Path) -> Any:
    loader = _PlainLoader(_bytes(path))
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise CatalogueError(f"{place}: not YAML that is read here: {getattr(error, 'problem', None) or 'unreadable text'}") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise CatalogueError(f"{path}: not valid YAML: {' '.join(str(error).split())[:80]}") from None
    finally:
        loader.dispose()


def _load_json(path: Path) -> Any:
    try:
        return json.loads(_bytes(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{path}: not valid JSON: {error}") from None
    except RecursionError:
        raise CatalogueError(f"{path}: not valid JSON: nested too deeply") from None


def _bytes(path: Path) -> bytes:
    if not path.exists():
        raise CatalogueError(f"{path}: no such file; a catalogue folder holds objects.json, columns.json and foreign_keys.json")
    if not path.is_file():
        raise CatalogueError(f"{path}: is not a plain file; name the catalogue's folder or file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CatalogueError(f"{path}: holds {path.stat().st_size >> 20} MiB; a catalogue has at most {MAX_FILE_BYTES >> 20}")
    return path.read_bytes()


def _rows(path: Path, rows: Any, required: tuple[str, ...], within: str = "") -> list[Row]:
    """The rows, if they are a list of mappings that all have the `required` fields."""
    if not isinstance(rows, list):
        raise CatalogueError(f"{path}: {within}holds a {type(rows).__name__}; it must be a list of rows")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or any(name not in row for name in required):
            raise CatalogueError(f"{path}: {within}row {number} must be an object with the fields {', '.join(required)}")
    return rows


def _columns_by_object(path: Path, rows: Iterable[Row]) -> dict[str, tuple[Column, ...]]:
    """Columns in ordinal order. Equal columns of different objects become one value: most views repeat their table's."""
    shared: dict[tuple[Any, ...], Column] = {}
    by_object: dict[str, list[tuple[int, Column]]] = defaultdict(list)
    for row in rows:
        get = row.get
        if not isinstance(row["column"], str) or not isinstance(row["object"], str):
            raise CatalogueError(f"{path}: column {row['column']!r} of {row['object']!r}: a name is text; write it in quotes")
        if any(not isinstance(get(word) or "", str) for word in _WORDS):
            raise CatalogueError(f"{path}: column '{row['column']}' of '{row['object']}': {', '.join(_WORDS)} are texts")
        if any(get(size) is not None and type(get(size)) is not int for size in _SIZES):
            raise CatalogueError(f"{path}: column '{row['column']}' of '{row['object']}': length, precision and scale are whole numbers")
        facts = (
            intern(row["column"]),
            get("type"),
            get("udt"),
            get("length"),
            get("precision"),
            get("scale"),
            get("nullable", True),
            get("identity", False),
            get("from"),
            get("description"),
        )
        column = shared.get(facts)
        if column is None:
            column = shared[facts] = Column(*facts)
        by_object[row["object"]].append((get("ordinal") or len(by_object[row["object"]]) + 1, column))
    return {name: tuple(column for _, column in sorted(columns, key=lambda pair: pair[0])) for name, columns in by_object.items()}


def _object(row: Mapping[str, Any], columns: tuple[Column, ...], path: Path) -> Object:
    name = row["name"]
    if not isinstance(name, str):
        raise CatalogueError(f"{path}: object {name!r}: a name is text; write it in quotes")
    if row["kind"] not in ("table", "view"):
        raise CatalogueError(f"{path}: kind of '{name}' is {row['kind']!r}; it must be 'table' or 'view'")
    return Object(
        name=intern(name),
        kind=row["kind"],
        columns=columns,
        schema=row.get("schema") or "dbo",
        module=row.get("module"),
        base_table=row.get("base_table"),
        primary_key=_names(path, row, "primary_key"),
        business_key=_names(path, row, "business_key"),
        unique_keys=tuple(_names(path, {"name": name, "unique_keys": key}, "unique_keys") for key in row.get("unique_keys") or ()),
        depends_on=_names(path, row, "depends_on"),
        exposed_by=_names(path, row, "exposed_by"),
        row_filter=bool(row.get("row_filter")),
        description=row.get("description"),
    )


def _foreign_keys(path: Path, rows: Iterable[Row], known: set[str]) -> list[ForeignKey]:
    """Keys between known objects; one that leaves the catalogue is no use for joins and is left out."""
    keys = []
    for number, row in enumerate(rows, 1):
        child, parent = row["from_object"], row["to_object"]
        child_columns, parent_columns = _names(path, row, "from_columns"), _names(path, row, "to_columns")
        if len(child_columns) != len(parent_columns):
            raise CatalogueError(f"{path}: row {number}: {len(child_columns)} columns against {len(parent_columns)}; they must be as many")
        if child in known and parent in known:
            source = row.get("source") or "constraint"
            keys.append(ForeignKey(child, child_columns, parent, parent_columns, source))
    return keys


def _names(path: Path, row: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The names in a field of a row; equal names become one value."""
    names = row.get(field) or ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise CatalogueError(
            f"{path}: '{row.get('name') or row.get('from_object')}': {field} is {str(names)[:40]!r}; it must be a list of names"
        )
    return tuple(map(intern, names))


def _single_text(path: Path, objects: Sequence[Object], foreign_keys: Sequence[ForeignKey], head: str) -> str:
    content = {
        "objects": [{**_object_row(o), "columns": _column_rows(o, "name")} for o in objects],
        "foreign_keys": [_key_row(key) for key in foreign_keys],
    }
    if path.suffix.lower() == ".json":
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(content, Dumper=dumper, default_flow_style=None, sort_keys=False, allow_unicode=True, width=10_000)
    return comment + text


def _object_row(o: Object) -> Row:
    """What differs from the defaults of `_object`."""
    row: Row = {"name": o.name, "kind": o.kind, "schema": o.schema, "module": o.module, "description": o.description}
    row |= {"base_table": o.base_table, "row_filter": o.row_filter}
    row |= {"primary_key": list(o.primary_key), "business_key": list(o.business_key), "unique_keys": [list(key) for key in o.unique_keys]}
    row |= {"depends_on": list(o.depends_on), "exposed_by": list(o.exposed_by)}
    return {name: value for name, value in row.items() if value}


def _column_rows(o: Object, label: str) -> list[Row]:
    """Rows in column order, so that an ordinal need not be written; what differs from the defaults of a column."""
    rows = []
    for c in o.columns:
        row: Row = {label: c.name, "type": c.type, "udt": c.udt, "length": c.length, "precision": c.precision, "scale": c.scale}
        row |= {"nullable": None if c.nullable else False, "identity": c.identity or None, "from": c.source, "description": c.description}
        rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def _key_row(key: ForeignKey) -> Row:
    row: Row = {"from_object": key.from_object, "from_columns": list(key.from_columns)}
    return row | {"to_object": key.to_object, "to_columns": list(key.to_columns), "source": key.source}


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    """A JSON array, one row a line, so that versions can be compared line by line."""
    atomic.write_text(path, "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
