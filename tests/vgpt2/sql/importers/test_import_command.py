"""The command `import`: what it prints and writes, and every mistake that a user can mend."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from vgpt2.sql.__main__ import main
from vgpt2.sql.catalogue import load_catalogue

ROOT = Path(__file__).parents[4]
SCRIPTS = Path(__file__).with_name("scripts")
BIKESHOP = ROOT / "data" / "catalogues" / "bikeshop.yaml"


def run(*arguments: str | Path) -> int:
    return main(["import", *map(str, arguments)])


def test_the_bike_shop_is_what_its_script_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that the catalogue's first line states makes the same bytes again."""
    (command,) = re.findall(r"# made by: python -m vgpt2\.sql (import \S+ --out) (\S+)\n", BIKESHOP.read_text("utf-8"))
    shutil.copytree(ROOT / "data" / "samples", tmp_path / "data" / "samples")
    monkeypatch.chdir(tmp_path)
    assert main([*command[0].split(), command[1]]) == 0
    assert (tmp_path / "data" / "catalogues" / "bikeshop.yaml").read_text("utf-8") == BIKESHOP.read_text("utf-8")


def test_every_object_and_column_of_the_bike_shop_has_a_key_and_a_description() -> None:
    catalogue = load_catalogue(BIKESHOP)
    tables = [o for o in catalogue.objects.values() if o.kind == "table"]
    assert (len(tables), len(catalogue)) == (18, 20)
    assert all(o.description for o in catalogue.objects.values())
    assert all(o.business_key and all(column.description for column in o.columns) for o in tables)
    assert catalogue.family("SaleLine") == ("Sale", "SaleLine")
    assert [key.pairs for key in catalogue.joins("SaleLine", "Sale")] == [(("StoreNo", "StoreNo"), ("SaleNo", "SaleNo"))]


def test_training_data_of_the_bike_shop_passes_the_audit(tmp_path: Path) -> None:
    out = tmp_path / "sft.jsonl"

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vgpt2.datagen", *map(str, arguments), "--catalogue", str(BIKESHOP)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    made = call("sft", "--out", out, "--size", "60", "--seed", "1")
    assert made.returncode == 0, made.stderr
    audited = call("audit", out)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_the_table_counts_what_was_found_and_what_was_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SCRIPTS / "ssms.sql", "--out", tmp_path / "c.yaml", "--modules", "names") == 0
    rows = dict(re.findall(r"^(\S.*?) {2,}([\d,]+)$", capsys.readouterr().out, re.MULTILINE))
    expected = {"files read": 1, "objects": 8, "tables": 2, "views": 6, "views that show one table": 3, "foreign keys stated": 1}
    expected |= {"user-defined types": 2, "triggers passed over": 1, "not read": 2}
    assert {name: int(rows[name]) for name in expected} == expected
    assert load_catalogue(tmp_path / "c.yaml").objects["bAPTH"].module == "AP"


def test_many_things_that_cannot_be_read_are_shown_in_part_and_listed_whole_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.sql").write_text("CREATE TABLE T (A int)\nGO\n" + "ALTER TABLE U ADD A int\nGO\n" * 30, "utf-8")
    assert run(tmp_path / "x.sql", "--out", tmp_path / "c") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-11:][0] == "  x.sql:3: changes 'U', which no script makes; the change is left out"
    assert out.endswith("  and 20 more; --json lists them all\n")
    assert run(tmp_path / "x.sql", "--out", tmp_path / "c", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["counts"]["not read"], len(told["not_read"]), told["not_read"][29]["place"]) == (30, 30, "x.sql:61")


def test_every_kind_of_source_is_known_by_itself(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "anything.bin")
    connection.executescript("CREATE TABLE T (A int)")
    connection.close()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "t.sql").write_text("CREATE TABLE T (A int)", "utf-8")
    (tmp_path / "t.csv").write_text("table_name;field\nT;A\n", "utf-8")
    for source in ("anything.bin", "scripts", "scripts/t.sql", "t.csv"):
        assert run(tmp_path / source, "--out", tmp_path / "c.yaml", "--field", "COLUMN_NAME=field") == 0
        assert load_catalogue(tmp_path / "c.yaml").objects["T"].column_names == ("A",)


def test_descriptions_come_from_another_catalogue_where_the_source_has_none(tmp_path: Path) -> None:
    (tmp_path / "t.sql").write_text("CREATE TABLE Sale (SaleNo int, -- receipt\nStoreNo int, Mine int)", "utf-8")
    assert run(tmp_path / "t.sql", "--out", tmp_path / "c.yaml", "--descriptions", BIKESHOP) == 0
    sale = load_catalogue(tmp_path / "c.yaml").objects["Sale"]
    assert sale.description == "sale at the counter, one receipt"
    assert [column.description for column in sale.columns] == ["receipt", "store that sells", None]


def test_without_inference_stated_keys_stand_alone_and_the_file_says_so(tmp_path: Path) -> None:
    script = ROOT / "data" / "samples" / "bikeshop" / "bikeshop.sql"
    assert run(script, "--out", tmp_path / "c.yaml", "--no-inference", "--modules", "schemas") == 0
    catalogue = load_catalogue(tmp_path / "c.yaml")
    assert {key.source for key in catalogue.foreign_keys} == {"constraint"}
    assert catalogue.objects["Sale"].module == "dbo"
    head = (tmp_path / "c.yaml").read_text("utf-8").splitlines()[0]
    assert head == "# made by: python -m vgpt2.sql import bikeshop.sql --out c.yaml --modules schemas --no-inference"


def test_the_connection_string_is_looked_for_where_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)
    monkeypatch.setenv("MY_SERVER", "PWD=hunter2-hunter2")
    (tmp_path / "string.txt").write_text("PWD=hunter2-hunter2\n", "utf-8")
    for option in (["--connection-env", "MY_SERVER"], ["--connection-file", str(tmp_path / "string.txt")]):
        assert run("sqlserver", "--out", tmp_path / "c.yaml", *option) == 2
        shown = capsys.readouterr()
        assert "pip install pyodbc" in shown.err  # so the string was found
        assert "hunter2" not in shown.err + shown.out


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(*(argument.replace("TMP", str(tmp_path)) for argument in arguments)) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["TMP/gone", "--out", "TMP/c.yaml"], "gone: no such file or folder; give scripts, an SQLite file, an export"),
        (["TMP/empty", "--out", "TMP/c.yaml"], "empty: no script in this folder; the name of a script ends in"),
        (["TMP/notes.txt", "--out", "TMP/c.yaml"], "neither an SQLite database nor a file of a known kind; the name must end in"),
        (["TMP/none.sql", "--out", "TMP/c.yaml"], "none.sql: states no table and no view; give the scripts or the export of a database"),
        (["TMP/t.sql", "--out", "TMP/full"], "--out TMP/full: holds something else than a catalogue; name a new folder, or a file"),
        (["TMP/t.sql", "--out", "TMP/c.yaml", "--descriptions", "TMP/gone"], "columns.json: no such file; a catalogue folder holds"),
        (["TMP/t.csv", "--out", "TMP/c.yaml"], "has no field COLUMN_NAME; its fields are TABLE_NAME, field; name yours with --field"),
        (["TMP/t.csv", "--out", "TMP/c.yaml", "--field", "COLUMN_NAME=field", "--keys", "TMP/gone.csv"], "gone.csv"),
        (["sqlserver", "--out", "TMP/c.yaml", "--connection-env", "NOT_SET_HERE"], "environment variable NOT_SET_HERE is not set"),
        (["sqlserver", "--out", "TMP/c.yaml", "--connection-file", "TMP/gone"], "gone"),
    ],
)
def test_a_mistake_is_one_line_with_its_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "mine.txt").write_text("", "utf-8")
    (tmp_path / "notes.txt").write_text("CREATE TABLE T (A int)", "utf-8")
    (tmp_path / "none.sql").write_text("SELECT 1", "utf-8")
    (tmp_path / "t.sql").write_text("CREATE TABLE T (A int)", "utf-8")
    (tmp_path / "t.csv").write_text("TABLE_NAME,field\nT,A\n", "utf-8")
    assert message.replace("TMP", str(tmp_path)) in refused(tmp_path, capsys, *arguments)
    assert not (tmp_path / "c.yaml").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_as_the_source_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.sql")
    assert "is not a plain file" in refused(tmp_path, capsys, "TMP/pipe.sql", "--out", "TMP/c.yaml")


@pytest.mark.parametrize("text", ["COLUMN_NAME", "COLUMN_NAME=", "FOO=bar"])
def test_a_field_that_is_none_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, "--out", tmp_path / "c.yaml", "--field", text)
    assert caught.value.code == 2
    assert f"'{text}' is not NAME=THEIRS; NAME is one of TABLE_SCHEMA, TABLE_NAME" in capsys.readouterr().err
