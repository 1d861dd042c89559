"""The command line of the checker."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vgpt2.sql.__main__ import main

ROOT = Path(__file__).parents[3]
BAD = "SELECT APTH.InvNum\nFROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1"
GOOD = BAD.replace("InvNum", "APRef")


def test_check_prints_a_line_for_each_finding_and_exits_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "q.sql"
    path.write_text(BAD, encoding="utf-8")
    assert main(["check", str(path)]) == 1
    assert capsys.readouterr().out == f"{path}:1:13 unknown_column 'APTH' has no column 'InvNum' (InvId)\n"


def test_check_is_silent_about_clean_sql(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "q.sql"
    path.write_text(GOOD, encoding="utf-8")
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_check_reads_the_encodings_that_sql_servers_tools_write(tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "q.sql"
    path.write_text(BAD, encoding=encoding)
    assert main(["check", str(path), "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)
    assert (finding["code"], finding["line"], finding["column"], finding["file"]) == ("unknown_column", 1, 13, str(path))


def test_a_warning_alone_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "q.sql"
    path.write_text("SELECT NVL(1, 2) AS x", encoding="utf-8")
    assert main(["check", str(path)]) == 0
    assert "unknown_function" in capsys.readouterr().out


def test_check_reads_the_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    assert main(["check", "-"]) == 0
    assert capsys.readouterr().out == ""


def test_show_prints_columns_and_joins(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "APTL"]) == 0
    out = capsys.readouterr().out
    assert "  APLine smallint key" in out
    assert "JOIN APTL TO APTH ON APTL.APCo = APTH.APCo" in out


def test_search_prints_a_table_of_objects_with_the_reason_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "vendor", "invoices", "on", "hold", "--limit", "4"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["rank", "object", "why", "description"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert {"APTH", "APHD"} <= {line.split()[1] for line in lines}
    assert main(["search", "qqqq"]) == 0
    assert capsys.readouterr().out.startswith("no object fits")


def test_search_prints_json_or_the_schema_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "invoices on hold", "--json", "--limit", "3"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert len(read["objects"]) == 3
    assert {"name", "why", "score", "columns", "note", "description"} == set(read["objects"][0])
    assert "invoice on hold" in read["terms"]
    assert main(["search", "invoices on hold", "--schema", "--limit", "3", "--max-tokens", "500"]) == 0
    assert "APHD key(APCo, Mth, APTrans, APLine, APSeq, HoldCode)" in capsys.readouterr().out


def test_search_takes_glossary_and_descriptions_from_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "objects.json").write_text('[{"name": "APTH", "kind": "view"}]', encoding="utf-8")
    (tmp_path / "columns.json").write_text(
        json.dumps([{"object": "APTH", "column": "APCo"}, {"object": "APTH", "column": "Box"}]), encoding="utf-8"
    )
    (tmp_path / "said").mkdir()
    (tmp_path / "said" / "objects.json").write_text('[{"name": "APTH", "kind": "view", "description": "bills"}]', encoding="utf-8")
    (tmp_path / "said" / "columns.json").write_text("[]", encoding="utf-8")
    (tmp_path / "said" / "glossary.yaml").write_text("terms:\n  crate: {means: [APTH.Box]}\n", encoding="utf-8")
    assert main(["search", "crates", "--catalogue", str(tmp_path), "--knowledge", str(tmp_path / "said")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["1", "APTH", "glossary", "bills"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "APTX"], "there is no table or view 'APTX' in the catalogue; nearest: "),
        (["check", "no-such-file.sql"], "no-such-file.sql"),
        (["check", "-", "--catalogue", "no-such-folder"], "no such file; a catalogue folder holds"),
        (["check", "-", "--rules", "no-such-rules.yaml"], "no-such-rules.yaml"),
        (["search", "bills", "--knowledge", "no-such-folder"], "no-such-folder"),
    ],
)
def test_what_cannot_be_carried_out_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_the_module_runs_as_a_command() -> None:
    result = subprocess.run([sys.executable, "-m", "vgpt2.sql", "--version"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.startswith("vgpt2 ")
