"""The command that compares: files, exit codes, mistakes."""

import json

import pytest
import tiny_judge
from tiny_judge import CATALOGUE_FOLDER, accepter, gold, write_answers

from eval import compare, run


@pytest.fixture
def reports(tmp_path):
    suite = tmp_path / "suite.jsonl"
    items = tiny_judge.write_suite(suite)

    def report(name: str, model):
        answers = write_answers(tmp_path / f"{name}.jsonl", items, model)
        options = ["--suite", str(suite), "--catalogue", str(CATALOGUE_FOLDER), "--out", str(tmp_path / name)]
        assert run.main(["--answers", str(answers), *options]) == 0
        return str(tmp_path / name)

    return report


def test_three_models_side_by_side(reports, tmp_path, capsys):
    folders = [reports("base", accepter), reports("sft", gold), reports("dpo", gold)]
    capsys.readouterr()
    assert compare.main([*folders, "--out", str(tmp_path / "out"), "--gate"]) == 0
    printed = capsys.readouterr()
    assert printed.out == (tmp_path / "out" / "table.txt").read_text("utf-8")
    assert printed.out.splitlines()[0].split() == ["base", "sft", "dpo", "want"]
    assert printed.err == ""
    content = json.loads((tmp_path / "out" / "comparison.json").read_text("utf-8"))
    assert content["names"] == ["base", "sft", "dpo"]
    assert content["worse"] == content["lost"] == []
    changes = {line["title"]: [cell["change"] for cell in line["cells"]] for line in content["lines"]}
    assert changes["fake objects refused, listed"] == [None, "better", "same"]
    assert (tmp_path / "out" / "report.html").read_text("utf-8").count("<details ") == 46


def test_the_gate_says_no_with_three_only_when_asked(reports, tmp_path, capsys):
    folders = [reports("sft", gold), reports("dpo", accepter)]
    assert compare.main([*folders, "--out", str(tmp_path / "out")]) == 0
    assert compare.main([*folders, "--out", str(tmp_path / "out"), "--gate"]) == 3
    assert "dpo is worse than sft on " in capsys.readouterr().err
    assert compare.main([folders[1], folders[0], "--out", str(tmp_path / "out"), "--gate"]) == 0


def test_json_goes_to_stdout_alone(reports, tmp_path, capsys):
    folder = reports("sft", gold)
    capsys.readouterr()
    assert compare.main([folder, "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == ["sft"]


def test_a_missing_report_is_one_line_and_exit_code_two(tmp_path, capsys):
    assert compare.main([str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert "no such report" in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
