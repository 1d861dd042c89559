"""Exports of INFORMATION_SCHEMA as JSON and CSV: every form gives the same catalogue, and other names of fields are understood."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey
from vgpt2.sql.importers.assemble import assemble
from vgpt2.sql.importers.exports import read_export

FIELDS = "TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION DATA_TYPE CHARACTER_MAXIMUM_LENGTH IS_NULLABLE COLUMN_DEFAULT"
COLUMNS = [
    tuple(FIELDS.split()),
    ("shop", "Sale", "Note, or \"remark\"", 3, "varchar", -1, "YES", None),
    ("shop", "Sale", "StoreNo", 1, "int", None, "NO", "((1))"),
    ("shop", "Sale", "SaleNo", 2, "int", None, "NO", None),
    ("shop", "Line", "StoreNo", 1, "int", None, "NO", None),
    ("shop", "Line", "SaleNo", 2, "int", None, "NO", None),
    ("shop", "Line", "Text", 3, "nvarchar", 40, "YES", None),
]  # fmt: skip
FOREIGN = [
    ("CONSTRAINT_NAME", "TABLE_NAME", "COLUMN_NAME", "ORDINAL_POSITION", "REFERENCED_TABLE_NAME", "REFERENCED_COLUMN_NAME"),
    ("f", "Line", "SaleNo", 2, "Sale", "SaleNo"),
    ("f", "Line", "StoreNo", 1, "Sale", "StoreNo"),
]
KEYS = [
    ("TABLE_NAME", "CONSTRAINT_NAME", "COLUMN_NAME", "ORDINAL_POSITION", "CONSTRAINT_TYPE"),
    ("Sale", "pk", "SaleNo", 2, "PRIMARY KEY"),
    ("Sale", "pk", "StoreNo", 1, "PRIMARY KEY"),
]
THEIRS = {"TABLE_NAME": "tabelle", "COLUMN_NAME": "Spalte", "DATA_TYPE": "TYP", "REFERENCED_TABLE_NAME": "ziel"}
Table = Sequence[Sequence[Any]]


def as_csv(path: Path, table: Table, *, separator: str = ",", encoding: str = "utf-8", null: str = "") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows([[null if value is None else value for value in row] for row in table])
    return path


def as_json(path: Path, table: Table, *, lines: bool = False) -> Path:
    rows = [dict(zip(table[0], row)) for row in table[1:]]
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows), "utf-8")
    return path


def renamed(table: Table) -> Table:
    return [[THEIRS.get(name, name.lower()) for name in table[0]], *table[1:]]


def assert_right(catalogue: Catalogue) -> None:
    assert catalogue.objects["Sale"].columns == (
        Column("StoreNo", "int", nullable=False),
        Column("SaleNo", "int", nullable=False),
        Column('Note, or "remark"', "varchar", length=-1),
    )
    assert catalogue.objects["Line"].columns[2] == Column("Text", "nvarchar", length=40)
    assert (catalogue.objects["Sale"].schema, catalogue.objects["Sale"].primary_key) == ("shop", ("StoreNo", "SaleNo"))
    assert catalogue.foreign_keys == (ForeignKey("Line", ("StoreNo", "SaleNo"), "Sale", ("StoreNo", "SaleNo")),)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"separator": ";"},
        {"separator": "\t", "encoding": "utf-16"},
        {"encoding": "utf-8-sig", "null": "NULL"},
        {"encoding": "utf-16-le"},
    ],
)  # fmt: skip
def test_csv_in_the_forms_that_tools_write(tmp_path: Path, form: dict[str, str]) -> None:
    paths = [as_csv(tmp_path / f"{name}.csv", table, **form) for name, table in (("c", COLUMNS), ("k", KEYS), ("f", FOREIGN))]
    assert_right(assemble(read_export(paths[0], keys=paths[1], foreign_keys=paths[2])))


@pytest.mark.parametrize("lines", [False, True])
def test_json_as_an_array_and_as_lines(tmp_path: Path, lines: bool) -> None:
    paths = [as_json(tmp_path / f"{name}.json", table, lines=lines) for name, table in (("c", COLUMNS), ("k", KEYS), ("f", FOREIGN))]
    assert_right(assemble(read_export(paths[0], keys=paths[1], foreign_keys=paths[2])))


def test_other_names_of_fields_are_mapped(tmp_path: Path) -> None:
    columns, keys = as_csv(tmp_path / "c.csv", renamed(COLUMNS)), as_json(tmp_path / "k.json", renamed(KEYS))
    foreign = as_csv(tmp_path / "f.csv", renamed(FOREIGN), separator="|")
    assert_right(assemble(read_export(columns, keys=keys, foreign_keys=foreign, fields=THEIRS)))


def test_columns_alone_make_a_catalogue_and_foreign_keys_are_inferred_from_them(tmp_path: Path) -> None:
    keys = [("TABLE_NAME", "CONSTRAINT_NAME", "COLUMN_NAME", "CONSTRAINT_TYPE"), *((t, c, n, k) for t, c, n, _, k in KEYS[1:])]
    drafts = read_export(as_csv(tmp_path / "c.csv", COLUMNS), keys=as_csv(tmp_path / "k.csv", keys))
    assert drafts.unread == []
    keys_found = assemble(drafts).foreign_keys
    assert keys_found == (ForeignKey("Line", ("SaleNo", "StoreNo"), "Sale", ("SaleNo", "StoreNo"), "inferred"),)
    assert assemble(read_export(tmp_path / "c.csv")).foreign_keys == ()


def test_rows_without_names_and_tables_of_two_schemas_are_reported(tmp_path: Path) -> None:
    table = [COLUMNS[0], *COLUMNS[1:4], ("old", "Sale", "X", 4, "int", None, "NO", None), ("shop", None, "X", 5, "int", None, "NO", None)]
    drafts = read_export(as_csv(tmp_path / "c.csv", table), foreign_keys=as_csv(tmp_path / "f.csv", FOREIGN))
    assert [reason for _, reason in drafts.unread] == [
        "'Sale' stands in the schema 'shop' too; that one is kept",
        "has no TABLE_NAME or no COLUMN_NAME",
        "joins 'Line' to 'Sale', and one of the two has no columns",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "", "c.csv: has no rows; an export has one row a column or key"),
        ("c.csv", "A,B\n1,2\n", "has no field TABLE_NAME; its fields are A, B; name yours with --field TABLE_NAME=THEIRS"),
        ("c.csv", 'TABLE_NAME,COLUMN_NAME\n"x"y,z\n', "c.csv: not CSV: .*; quote fields that hold a separator or a line break"),
        ("c.json", "[{", "c.json: not JSON: .*; write an array of rows, or one row a line"),
        ("c.json", "[1]", "c.json: holds something else than rows; write an array of objects, or one object a line"),
        ("c.json", "[" * 100_000, "c.json: not JSON"),
    ],
)
def test_what_is_no_export_is_refused_in_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_export(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["nan", "1e999", "x", [1], {"a": 1}, True, -5.5, "30.0"])
def test_odd_values_in_rows_never_raise(tmp_path: Path, value: object) -> None:
    row = {"TABLE_NAME": "T", "COLUMN_NAME": "A", "ORDINAL_POSITION": value, "CHARACTER_MAXIMUM_LENGTH": value, "IS_NULLABLE": value}
    path = tmp_path / "c.json"
    path.write_text(json.dumps([row, {**row, "COLUMN_NAME": value, "TABLE_NAME": value, "DATA_TYPE": value}]), "utf-8")
    assert "T" in assemble(read_export(path)).objects
