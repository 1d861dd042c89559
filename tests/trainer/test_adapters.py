"""Runs with DoRA, PiSSA, patterns and modules trained whole: they resume bit for bit, go on from each other, and export."""

import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import Trigger, differences, train
from torch.testing import assert_close

from vgpt2 import adapter_files, checkpoint, export, loading
from vgpt2.export import probe
from vgpt2.weights import load_model

# kind: stage and settings
RUNS = {
    "dora": ("sft", {"use_dora": True, "rank_pattern": {"down_proj": 2, "layers.0.*": 6}, "alpha_pattern": {"q_proj": 4}}, {}),
    "whole": ("dpo", {"modules_to_save": ["embed_tokens", "lm_head", "norm"]}, {}),  # the tiny model's head is its embedding
    "pissa": ("sft", {"init": "pissa", "use_rslora": True}, {}),
    "pissa and dora": ("kto", {"init": "pissa", "use_dora": True, "modules_to_save": ["model.norm"]}, {}),
    "dora on nf4": ("sft", {"use_dora": True, "modules_to_save": ["norm"]}, {"model__quantization": "nf4", "sft__neftune_alpha": 5}),
}


def settings(kind: str) -> dict[str, object]:
    _, lora, more = RUNS[kind]
    return {f"lora__{key}": value for key, value in lora.items()} | more


def refuse() -> None:
    raise AssertionError("a run that goes on computes no singular value: another machine's would differ in their last bits")


@pytest.mark.parametrize("kind", list(RUNS))
def test_a_stopped_run_goes_on_to_the_same_bits(kind, place, undisturbed):
    """INVARIANTS 10 and 29."""
    stage = RUNS[kind][0]
    whole = undisturbed(stage, **settings(kind))
    first = train(place.argv(stage, **settings(kind)), trigger=Trigger("vgpt2.loop:clip", 3, (signal.SIGINT,)))
    assert first.code == 130, first.err
    if stage == "dpo":
        assert "first batch: |policy - reference| is at most " in first.out
    done = train(place.resume(), trigger=Trigger("vgpt2.pissa:principal", 1, instead=refuse))
    assert done.code == 0, done.err
    assert differences(place.output / "run", whole) == []


def logits(model) -> torch.Tensor:
    return probe(model, list(range(40, 60)))


@pytest.mark.parametrize("kind", ["dora", "whole", "pissa", "pissa and dora"])
def test_what_was_trained_is_what_is_loaded_and_exported(kind, place, undisturbed, tmp_path, capsys):
    """INVARIANTS 36 and 37: attached, merged on loading, and as a plain folder."""
    step = checkpoint.resolve(undisturbed(RUNS[kind][0], **settings(kind)) / "latest")
    attached = load_model(place.model, dtype=torch.float32, device="cpu").eval()
    bare = logits(attached)
    adapter_files.load_adapter(attached, step)
    merged = loading.load(step, base=place.model, dtype="float32", device="cpu").model
    assert_close(logits(merged), logits(attached), atol=2e-4, rtol=0)
    assert (logits(attached) - bare).abs().max() > 0.1
    out = tmp_path / "out"
    assert export.main(["--checkpoint", str(step), "--base", str(place.model), "--merge", str(out), "--dtype", "float32"]) == 0
    assert_close(logits(load_model(out, dtype=torch.float32, device="cpu")), logits(attached), atol=2e-4, rtol=0)
    if kind == "whole":
        stored, trained = load_file(out / "model.safetensors"), load_file(step / adapter_files.WEIGHTS_FILE)
        assert torch.equal(stored["model.embed_tokens.weight"], trained["base_model.model.lm_head.weight"])
        assert "lm_head.weight" not in stored


def test_dpo_goes_on_from_pissa_s_adapter_as_one_or_as_a_plain_one_of_twice_the_rank(place, undisturbed):
    """INVARIANT 11: the reference is the SFT policy either way, so the first loss is ln 2 and the logps are equal."""
    best = undisturbed("sft", **settings("pissa")) / "best"
    columns = {}
    for name, lora in (("one", settings("pissa")), ("plain", {"lora__rank": 8, "lora__alpha": 8 * 2**0.5, "lora__use_rslora": True})):
        done = train(place.argv("dpo", name, init_adapter=best, max_steps=2, log_every=1, **lora))
        assert done.code == 0, done.err
        first = json.loads((place.output / name / "metrics.jsonl").read_text("utf-8").splitlines()[0])
        assert first["loss"] == pytest.approx(0.6931, abs=1e-3)
        columns[name] = load_file(place.output / name / "ref_logps.safetensors")["ref_logps"]
    assert_close(columns["one"], columns["plain"], atol=1e-2, rtol=1e-4)
    refused = train(place.argv("dpo", "refused", init_adapter=best, lora__rank=4))
    assert refused.code == 2
    assert "rank is 8, lora.rank of this run is 4; set lora.rank=8" in refused.err


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"lora__modules_to_save": ["lm_head"]}, "lora.modules_to_save: lm_head and embed_tokens are one tensor in this model; name both"),
        ({"lora__rank_pattern": {"(": 3}}, "key 'lora.rank_pattern' is"),
        ({"lora__init": "pissa", "lora__rank": 4096}, "singular values; set a lora.rank of 4096 down to that for pissa"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_is_one_line_and_exit_2(lora, message, place):
    refused = train(place.argv("sft", **lora))
    assert refused.code == 2
    assert message in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert not (place.output / "run" / "run.json").exists()


def test_an_older_adapter_without_the_later_keys_is_read(place, undisturbed, tmp_path):
    step = checkpoint.resolve(undisturbed("sft") / "best")
    (tmp_path / "old").mkdir()
    config = json.loads((step / adapter_files.CONFIG_FILE).read_text("utf-8"))
    for key in ("rank_pattern", "alpha_pattern", "use_dora"):
        del config[key]
    (tmp_path / "old" / adapter_files.CONFIG_FILE).write_text(json.dumps(config), "utf-8")
    (tmp_path / "old" / adapter_files.WEIGHTS_FILE).write_bytes(Path(step / adapter_files.WEIGHTS_FILE).read_bytes())
    models = [load_model(place.model, dtype=torch.float32, device="cpu").eval() for _ in "on"]
    for model, folder in zip(models, (tmp_path / "old", step)):
        adapter_files.load_adapter(model, folder)
    assert torch.equal(logits(models[0]), logits(models[1]))
