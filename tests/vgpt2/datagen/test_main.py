import json
from pathlib import Path

import pytest

from vgpt2.datagen.__main__ import main
from vgpt2.datagen.audit import balance
from vgpt2.datagen.sets.records import manifest_path

ROOT = Path(__file__).parents[3]
SUITE = ["--suite", str(ROOT / "eval" / "suites" / "demo.jsonl")]
CORE = ["--catalogue", str(ROOT / "data" / "catalogues" / "vista-core")]


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_a_set_is_made_audited_and_made_again_with_the_same_bytes(tmp_path, stage, capsys):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path in (first, second):
        assert main([stage, *CORE, "--out", str(path), "--size", "200", "--seed", "9"]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert main(["audit", str(first), *CORE, *SUITE, "--json", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["passed"]
    assert "audit passed" in capsys.readouterr().out


def test_what_the_audit_will_refuse_is_said_when_a_small_set_is_made(tmp_path, monkeypatch, capsys):
    """An allowed share below what chance gives stands for a set that came out uneven."""
    make = ["kto", *CORE, "--out", str(tmp_path / "kto.jsonl"), "--size", "40"]
    assert main(make) == 0
    assert "note:" not in capsys.readouterr().err
    monkeypatch.setattr(balance, "LENGTH_RATIO", (0.999, 1.0))
    assert main(make) == 0
    said = capsys.readouterr().err
    assert said.startswith("note: the audit will refuse this set: lengths of right and wrong answers: ")
    assert "another --seed" in said
    assert json.loads(manifest_path(tmp_path / "kto.jsonl").read_text(encoding="utf-8"))["audit"] is None


def test_the_manifest_repeats_the_command_without_the_machine(tmp_path):
    out = tmp_path / "sft.jsonl"
    main(["sft", *CORE, "--out", str(out), "--size", "30", "--seed", "4"])
    manifest = json.loads(manifest_path(out).read_text(encoding="utf-8"))
    assert manifest["command"] == "python -m vgpt2.datagen sft --catalogue vista-core --out sft.jsonl --size 30 --recipe thin --seed 4"
    assert str(tmp_path) not in manifest_path(out).read_text(encoding="utf-8")


def test_the_gate_says_no_with_3_and_shows_the_first_rows(tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"instruction": "Which table?", "output": "Use APInvoiceHeader."}) + "\n", encoding="utf-8")
    assert main(["audit", str(bad), *CORE]) == 3
    assert "bad.jsonl:1: names APInvoiceHeader" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sft", "--catalogue", "nowhere", "--out", "x.jsonl", "--size", "5"], "no such file"),
        (["sft", *CORE, "--out", "x.jsonl", "--size", "0"], "--size: 0 rows"),
        (["audit", "nowhere.jsonl", *CORE], "nowhere.jsonl"),
        (["audit", __file__, *CORE, "--tokenizer", "nowhere"], "tokenizer.json"),
    ],
)
def test_mistakes_end_in_one_line_and_2(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_shipped_suite_is_what_its_command_makes(tmp_path):
    """Whoever changes what a suite holds raises SUITE_VERSION and writes it anew: python -m vgpt2.datagen suite --out eval/suites ..."""
    shipped = ROOT / "eval" / "suites" / "demo.jsonl"
    assert main(["suite", *CORE, "--out", str(tmp_path), "--seed", "1"]) == 0
    assert (tmp_path / "demo.jsonl").read_bytes() == shipped.read_bytes()
    for name in ("sha256", "version", "suite", "by_category"):
        made, kept = (json.loads(manifest_path(p).read_text(encoding="utf-8"))[name] for p in (tmp_path / "demo.jsonl", shipped))
        assert made == kept


def test_a_second_database_goes_through_the_same_commands(shop_folder, tmp_path):
    catalogue = ["--catalogue", str(shop_folder)]
    assert main(["suite", *catalogue, "--out", str(tmp_path)]) == 0
    for stage in ("sft", "dpo", "kto"):
        out = tmp_path / f"{stage}.jsonl"
        assert main([stage, *catalogue, "--out", str(out), "--size", "200"]) == 0
        assert main(["audit", str(out), *catalogue, "--suite", str(tmp_path / "demo.jsonl")]) == 0
