"""The whole chain on a database that is not Vista's: sets, suite, audit, a page, and a training run on what the audit let through."""

import json
from pathlib import Path

import pytest

from vgpt2 import tiny, train
from vgpt2.datagen.__main__ import main
from vgpt2.datagen.sets.records import manifest_path

ROOT = Path(__file__).parents[3]
BIKESHOP = ROOT / "data" / "catalogues" / "bikeshop.yaml"
pytestmark = pytest.mark.skipif(not BIKESHOP.exists(), reason="data/catalogues/bikeshop.yaml is not there")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the suite and the three sets, each as its command made it."""
    folder = tmp_path_factory.mktemp("bikeshop")
    catalogue = ["--catalogue", str(BIKESHOP)]
    assert main(["suite", *catalogue, "--out", str(folder)]) == 0
    wide = ["--recipe", "wide", "--shares", str(ROOT / "configs" / "datagen" / "wide.yaml")]
    for stage, options in (("sft", wide), ("dpo", []), ("kto", [])):
        assert main([stage, *options, *catalogue, "--out", str(folder / f"{stage}.jsonl"), "--size", "240"]) == 0
    return folder


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_every_set_passes_the_audit_against_the_suite(made, stage, capsys):
    against = ["--catalogue", str(BIKESHOP), "--suite", str(made / "demo.jsonl"), "--html", str(made / "page.html")]
    assert main(["audit", str(made / f"{stage}.jsonl"), *against]) == 0, capsys.readouterr().out
    manifest = json.loads(manifest_path(made / f"{stage}.jsonl").read_text(encoding="utf-8"))
    assert manifest["audit"]["passed"]
    assert manifest["rows"] > 100
    assert manifest["plan"]
    assert "bikeshop" in manifest["command"]


def test_nothing_of_vista_is_in_a_set_of_another_database(made):
    for stage in ("sft", "dpo", "kto"):
        text = (made / f"{stage}.jsonl").read_text(encoding="utf-8")
        assert not [word for word in ("APTH", "APCo", "Viewpoint", "Vista", "bAPTH") if word in text]


def test_a_tiny_model_trains_on_it(made, tmp_path):
    """With the audit required: the trainer reads the verdict in the manifest."""
    model = tmp_path / "tiny"
    model.mkdir()
    tiny.write_tiny(model)
    suite = ["--suite", str(made / "demo.jsonl")]
    assert main(["audit", str(made / "sft.jsonl"), "--catalogue", str(BIKESHOP), *suite]) == 0
    options = [f"model.path={model}", f"data.train=[{made / 'sft.jsonl'}]", f"output={tmp_path / 'runs'}", "data.require_audit=true"]
    options += ["max_steps=1", "data.max_rows=40", "data.cutoff_tokens=2048", "batch.pack_tokens=2048", "batch.micro_batch_tokens=2048"]
    settings = [part for option in options for part in ("--set", option)]
    config = ROOT / "configs" / "tiny" / "sft.yaml"
    assert train.main(["--stage", "sft", "--config", str(config), "--run", "bikes", *settings]) == 0
    summary = json.loads((tmp_path / "runs" / "bikes" / "summary.json").read_text(encoding="utf-8"))
    assert summary["steps"] == 1
