"""SQLite database files: the same catalogue as from their script, and nothing but a read of the schema."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey
from vgpt2.sql.importers.assemble import assemble
from vgpt2.sql.importers.scripts import read_file
from vgpt2.sql.importers.sqlite import read_database

ROOT = Path(__file__).parents[4]
BIKESHOP = ROOT / "data" / "samples" / "bikeshop" / "bikeshop.sql"


def database(path: Path, script: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def catalogue_of(tmp_path: Path, script: str) -> Catalogue:
    return assemble(read_database(database(tmp_path / "x.db", script)))


def test_a_database_gives_what_its_script_gives(tmp_path: Path) -> None:
    path = database(tmp_path / "b & b%20.db", BIKESHOP.read_text("utf-8"))
    before = path.read_bytes()
    from_file, from_script = assemble(read_database(path)), assemble(read_file(BIKESHOP))
    assert from_script.objects
    for name, o in from_script.objects.items():
        # SQLite keeps no comment that stands above a table
        assert replace(from_file.objects[name], description=o.description, schema=o.schema) == o
    assert set(from_file.foreign_keys) == set(from_script.foreign_keys)
    assert path.read_bytes() == before


def test_columns_and_keys_agree_with_sqlites_own_word(tmp_path: Path) -> None:
    path = database(tmp_path / "b.db", BIKESHOP.read_text("utf-8"))
    catalogue = assemble(read_database(path), infer=False)
    connection = sqlite3.connect(path)
    for o in catalogue.objects.values():
        rows = connection.execute("SELECT name, pk FROM pragma_table_info(?)", (o.name,)).fetchall()
        assert o.column_names == tuple(name for name, _ in rows)
        assert o.primary_key == tuple(name for _, name in sorted((pk, name) for name, pk in rows if pk))
        if o.kind == "table":
            parents = {row[0] for row in connection.execute('SELECT "table" FROM pragma_foreign_key_list(?)', (o.name,))}
            assert parents == {key.to_object for key in catalogue.parents(o.name)}
    connection.close()


def test_what_the_script_cannot_tell_comes_from_sqlite(tmp_path: Path) -> None:
    script = """
        CREATE TABLE A (id INTEGER PRIMARY KEY, x TEXT UNIQUE, y, z AS (x || y));
        CREATE TABLE B AS SELECT id, x FROM A;
        CREATE TABLE c (a REFERENCES a, b, FOREIGN KEY (a, b) REFERENCES A (x, y));
        CREATE UNIQUE INDEX i ON A (lower(x));
        CREATE UNIQUE INDEX j ON A (y) WHERE y > 0;
        CREATE VIEW V AS SELECT id, x || 'a' AS w FROM A LIMIT 5;
        CREATE VIEW broken AS SELECT * FROM gone;
    """
    path = database(tmp_path / "x.db", script)
    drafts = read_database(path)
    catalogue = assemble(drafts)
    assert catalogue.objects["A"].unique_keys == (("id",), ("x",))
    assert catalogue.objects["A"].column_names == ("id", "x", "y", "z")
    assert catalogue.objects["B"].columns == (Column("id", "int"), Column("x", "text"))
    assert catalogue.objects["V"].column_names == ("id", "w")
    assert catalogue.objects["broken"].columns == ()
    assert set(catalogue.foreign_keys) == {ForeignKey("c", ("a",), "A", ("id",)), ForeignKey("c", ("a", "b"), "A", ("x", "y"))}
    assert any("broken" in reason and "gone" in reason for _, reason in drafts.unread)


def damaged(path: Path, how: str) -> Path:
    database(path, "".join(f"CREATE TABLE T{n} (A int, B text);" for n in range(60)))
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[:5000]
    elif how == "noise":
        data[100:] = bytes((n * 37) % 256 for n in range(len(data) - 100))
    else:
        at = data.index(b"CREATE TABLE T59")
        data[at + 7 : at + 12] = b"\xff\xfe\xfd\xfc\xfb"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("how", ["cut", "noise", "text"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, how: str) -> None:
    with pytest.raises(ValueError, match=r"x\.db: SQLite cannot read it: .*; give an intact database file") as caught:
        read_database(damaged(tmp_path / "x.db", how))
    assert "\n" not in str(caught.value)


def test_no_flipped_byte_raises_anything_else(tmp_path: Path) -> None:
    """Threat 13."""
    path = database(tmp_path / "x.db", BIKESHOP.read_text("utf-8"))
    data = path.read_bytes()
    rng = random.Random(5)
    refused = 0
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(8):
            changed[rng.randrange(16, len(data))] = rng.randrange(256)
        path.write_bytes(changed)
        try:
            assemble(read_database(path))
        except ValueError:
            refused += 1
    assert refused < 60
