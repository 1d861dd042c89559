"""The model configs on a model of a thousandth of the size, on the CPU; and the room that a run is given."""

import re
from pathlib import Path

import pytest
from tiny_runs import differences, train

from vgpt2 import checkpoint, loading

SCALED = {
    "device": "cpu",
    "model.dtype": "float32",
    "data.train": ["data/samples/sft_chat.jsonl"],
    "data.validation": 0,
    "data.cutoff_tokens": 256,
    "data.require_audit": False,
    "data.workers": 0,
    "batch.pack_tokens": 256,
    "batch.packs_per_step": 1,
    "batch.micro_batch_tokens": 512,
    "max_steps": 2,
}


CONFIGS = sorted(Path("configs/models").glob("*.yaml"))
PREFERENCES = [(stage, path) for path in CONFIGS if path.stem in ("qwen7b-full", "qwen32b-qlora") for stage in ("dpo", "kto")]
CASES = [*(("sft", path) for path in CONFIGS), *PREFERENCES]


@pytest.mark.parametrize(("stage", "path"), CASES, ids=lambda part: getattr(part, "stem", part))
def test_a_scaled_down_twin_of_each_model_config_trains(stage, path, place):
    """Every file in SFT; the two ways to hold a base, all weights trained and four bits, in the other stages too."""
    settings = SCALED | ({} if stage == "sft" else {"data.train": [f"data/samples/{stage}.jsonl"], "batch.micro_batch_tokens": 1024})
    argv = place.argv(stage, **settings)
    done = train([*argv[:2], "--config", str(path), *argv[4:]])
    assert done.code == 0, done.err
    assert "done: 2 of 2 steps" in done.out


def test_a_run_says_what_it_will_hold_and_recomputes_what_the_room_asks_for(place, undisturbed):
    """20 MiB with none of the four layers recomputed; which of them run again changes no bit."""
    done = train([*place.argv("sft", model__gradient_checkpointing="auto"), "--cap-gib", "0.016"])
    assert done.code == 0, done.err
    assert re.search(r"^room +0\.02$", done.out, re.M)
    found = re.search(r"^recomputed layers +(\d) of 4$", done.out, re.M)
    assert found
    assert 0 < int(found[1]) < 4
    assert differences(place.output / "run", undisturbed("sft")) == []


def test_a_run_without_room_is_refused_before_the_model_is_read(place):
    done = train([*place.argv("sft", model__gradient_checkpointing="auto"), "--cap-gib", "0.005"])
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("batch.micro_batch_tokens 256: needs 0.0")
    assert not (place.output / "run" / "run.json").exists()


def test_a_model_is_given_by_its_hub_name_where_the_hubs_cache_holds_it(place):
    """As LLaMA-Factory's files name it; the run remembers the folder."""
    snapshot = place.output / "hub" / "models--Tiny--model" / "snapshots" / "abc123"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(place.model)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc123", "utf-8")
    argv = place.argv("sft", model__path="Tiny/model", max_steps=1)
    done = train(argv, environment={"HF_HUB_CACHE": str(place.output / "hub")})
    assert done.code == 0, done.err
    assert f"path: {snapshot}" in (place.output / "run" / "config.yaml").read_text("utf-8")
    assert loading.base_of(checkpoint.resolve(place.output / "run" / "best")) == snapshot
