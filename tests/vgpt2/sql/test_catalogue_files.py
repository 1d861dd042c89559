"""Catalogues on disk: every form gives back what was written, and a slip of the hand is named with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vgpt2.sql.catalogue import Catalogue, CatalogueError, Column, ForeignKey, Object, load_catalogue, save_catalogue

ROOT = Path(__file__).parents[3]
CORE = ROOT / "data" / "catalogues" / "vista-core"
SMALL = Catalogue(
    [
        Object(
            "on",
            "table",
            (Column("no", "int", nullable=False, identity=True), Column("é: #x", "varchar", "t", length=-1, description="it's\n'so'")),
            schema="main",
            module="M",
            primary_key=("no",),
            business_key=("no",),
            unique_keys=(("no",), ("no", "é: #x")),
            exposed_by=("V",),
            description="- yes",
        ),
        Object("V", "view", (Column("c", "numeric", precision=5, scale=0, source="on.no"), Column("d")), base_table="on", row_filter=True),
    ],
    [ForeignKey("V", ("c",), "on", ("no",), "inferred")],
)


@pytest.mark.parametrize("name", ["c.yaml", "c.yml", "c.json", "folder", "new/folder", "new/c.yaml"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    save_catalogue(SMALL, tmp_path / name, head="made by hand\nfor a test")
    found = load_catalogue(tmp_path / name)
    assert found.objects == SMALL.objects
    assert found.foreign_keys == SMALL.foreign_keys


@pytest.mark.parametrize("name", ["core.yaml", "core.json", "core"])
def test_the_bundled_catalogue_is_the_same_in_every_form(tmp_path: Path, name: str) -> None:
    core = load_catalogue(CORE)
    save_catalogue(core, tmp_path / name)
    found = load_catalogue(tmp_path / name)
    assert (found.objects, found.foreign_keys, found.fingerprint) == (core.objects, core.foreign_keys, core.fingerprint)


def test_the_least_of_fields_is_enough_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("objects:\n- {name: T, kind: table, columns: [{name: A}, {name: B, type: int}]}\n- {name: U, kind: view}\n", "utf-8")
    found = load_catalogue(path)
    assert found.objects["T"].columns == (Column("A"), Column("B", "int"))
    assert found.objects["U"].columns == ()


def test_a_folder_whose_name_ends_in_yaml_is_still_a_folder(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").mkdir()
    (tmp_path / "c.yaml" / "objects.json").write_text("[]", "utf-8")
    (tmp_path / "c.yaml" / "columns.json").write_text("[]", "utf-8")
    assert len(load_catalogue(tmp_path / "c.yaml")) == 0


T = "{name: T, kind: table, columns: [{name: A}]}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no list 'objects'; a catalogue in one file maps objects and foreign_keys to lists of rows"),
        ("- 1", "has no list 'objects'"),
        ("objects: {T: 1}", "has no list 'objects'"),
        ("objects: []\nobject: []", "unknown key 'object'; allowed are objects and foreign_keys"),
        ("objects: []\nobjects: []", "c.yaml:2: not YAML that is read here: key 'objects' is given twice; keep one"),
        (f"objects: [{T}, {T}]", "object 'T' stands there twice; keep one of the two"),
        ("objects: [&a {name: T, kind: table}, *a]", "aliases (*name) are not read; write the value out"),
        ("objects: [", "c.yaml:2: not YAML that is read here"),
        ("objects: [!!python/object:os.system {}]", "not YAML that is read here"),
        ("objects: " + "[" * 3000, "not"),
        ("objects: [{name: T}]", "row 1 must be an object with the fields name, kind"),
        ("objects: [{name: 1, kind: table}]", "object 1: a name is text; write it in quotes"),
        ("objects: [{name: T, kind: tabel}]", "kind of 'T' is 'tabel'; it must be 'table' or 'view'"),
        ("objects: [{name: T, kind: table, columns: {A: int}}]", "'T', column holds a dict; it must be a list of rows"),
        ("objects: [{name: T, kind: table, columns: [A]}]", "'T', column row 1 must be an object with the fields name"),
        ("objects: [{name: T, kind: table, columns: [{name: yes}]}]", "column True of 'T': a name is text; write it in quotes"),
        ("objects: [{name: T, kind: table, columns: [{name: A, type: [int]}]}]", "type, udt, from, description are texts"),
        ("objects: [{name: T, kind: table, columns: [{name: A, length: x}]}]", "length, precision and scale are whole numbers"),
        ("objects: [{name: T, kind: table, primary_key: A}]", "'T': primary_key is 'A'; it must be a list of names"),
        ("objects: [{name: T, kind: table, unique_keys: [[1]]}]", "'T': unique_keys is '[1]'; it must be a list of names"),
        (f"objects: [{T}]\nforeign_keys: [{{from_object: T}}]", "row 1 must be an object with the fields from_object, from_columns"),
    ],
)
def test_a_slip_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_json_that_nests_too_deeply_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[" * 200_000, "utf-8")
    with pytest.raises(CatalogueError, match="not valid JSON"):
        load_catalogue(tmp_path / "c.json")
    with pytest.raises(CatalogueError, match=r"gone\.yaml: no such file"):
        load_catalogue(tmp_path / "gone.yaml")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_catalogue(SMALL, tmp_path / "c.yaml")
    before = (tmp_path / "c.yaml").read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_catalogue(Catalogue([]), tmp_path / "c.yaml")
    assert (tmp_path / "c.yaml").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_a_person_can_read_the_yaml(tmp_path: Path) -> None:
    save_catalogue(SMALL, tmp_path / "c.yaml", head="made by hand")
    lines = (tmp_path / "c.yaml").read_text("utf-8").splitlines()
    assert lines[0] == "# made by hand"
    assert "  - {name: c, type: numeric, precision: 5, scale: 0, from: on.no}" in lines


def test_the_folder_has_one_row_a_line(tmp_path: Path) -> None:
    save_catalogue(SMALL, tmp_path / "c")
    lines = (tmp_path / "c" / "columns.json").read_text("utf-8").splitlines()
    assert len(lines) == 6
    assert json.loads(lines[1].rstrip(",")) == {"object": "on", "column": "no", "type": "int", "nullable": False, "identity": True}
