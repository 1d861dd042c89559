"""Runs on a base in nf4: they learn, resume bit for bit, keep the reference's promise, and answer."""

import signal

import pytest
from devices import DEVICES
from tiny_runs import ON, Trigger, differences, train

from vgpt2 import checkpoint, loading


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_run_on_nf4_resumes_bit_for_bit(stage, device, place, undisturbed):
    """INVARIANT 29; for DPO also 10: policy and reference agree before step 1 on the same four bits."""
    settings = ON[device] | {"model__quantization": "nf4"}
    whole = undisturbed(stage, **settings)
    first = train(place.argv(stage, **settings), trigger=Trigger("vgpt2.loop:clip", 3, (signal.SIGINT,)))
    assert first.code == 130, first.err
    if stage == "dpo":
        assert "first batch: |policy - reference| is at most " in first.out
    assert "get_kernel" not in first.out + first.err
    done = train(place.resume())
    assert done.code == 0, done.err
    assert differences(place.output / "run", whole) == []
    assert differences(place.output / "run", undisturbed(stage, **ON[device])), "four bits change the run"
    loaded = loading.load(checkpoint.resolve(whole / "best"), device="cpu", base=place.model)
    assert loaded.dtype.startswith("nf4 in ")


def test_a_run_begun_in_sixteen_bits_does_not_go_on_in_four(place):
    first = train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 2, (signal.SIGINT,)))
    assert first.code == 130, first.err
    refused = train(place.resume("run", "--set", "model.quantization=nf4"))
    assert refused.code == 2
    assert "model.quantization: None -> nf4" in refused.err
