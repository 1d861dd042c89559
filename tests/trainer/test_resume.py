"""A run that was stopped and went on is the run that was never stopped, bit for bit."""

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
from devices import DEVICES
from tiny_runs import ON, REPOSITORY, STAGES, STEPS, Place, Trigger, differences, leftovers, snapshot, train

# one after the other: inside an epoch, in its last step, in the evaluation after it (twice), and in the last step of all
STOPS = (
    Trigger("vgpt2.loop:clip", 2, (signal.SIGINT,)),
    Trigger("vgpt2.loop:clip", 2, (signal.SIGINT,)),
    Trigger("vgpt2.loop:evaluate", 1, (signal.SIGTERM,)),
    Trigger("vgpt2.loop:evaluate", 1, (signal.SIGINT,)),
    Trigger("vgpt2.loop:clip", 4, (signal.SIGTERM,)),
)
STOPPED_AT = (2, 4, 4, 4, 8)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stage", STAGES)
def test_stopped_and_resumed_equals_undisturbed(stage, device, place, undisturbed):
    """INVARIANTS 14, 29, 31: weights, moments, state, order, reference and metrics; SFT with packing and dropout."""
    for number, (trigger, step) in enumerate(zip(STOPS, STOPPED_AT)):
        done = train(place.resume() if number else place.argv(stage, **ON[device]), trigger=trigger)
        assert done.code == (143 if trigger.signals == (signal.SIGTERM,) else 130), done.err
        saved = place.output / "run" / f"step-{step:06d}"
        assert f"interrupted; saved {saved}; go on with: python -m vgpt2.train --run run --set output=" in done.err
    done = train(place.resume())
    assert done.code == 0, done.err
    assert f"{STEPS} of {STEPS} steps" in done.out
    assert f"{len(STOPS)} interruptions" in done.out
    assert differences(place.output / "run", undisturbed(stage, **ON[device])) == []
    assert leftovers(place.output / "run") == []


def test_tokenising_in_workers_changes_nothing_and_may_change_on_the_way(place, undisturbed):
    """INVARIANT 29."""
    done = train(place.argv("sft", data__workers=2), trigger=Trigger("vgpt2.loop:clip", 3, (signal.SIGINT,)))
    assert done.code == 130, done.err
    done = train(place.resume("run", "--set", "data.workers=0"))
    assert done.code == 0, done.err
    assert differences(place.output / "run", undisturbed("sft")) == []


def test_an_early_stop_is_the_same_stop_after_a_resumption(place, undisturbed):
    """INVARIANT 29: a best loss that cannot improve ends the run at its second evaluation, whose steps are logged."""
    settings = {"checkpoint__patience": 1, "checkpoint__eval_every": 1, "log_every": 4, "optim__lr": 0.4}
    whole = undisturbed("sft", **settings)
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text("utf-8").splitlines()]
    last = max(row["step"] for row in rows)
    assert last < STEPS
    assert {row["kind"] for row in rows if row["step"] == last} == {"train", "eval"}
    done = train(place.argv("sft", **settings), trigger=Trigger("vgpt2.loop:evaluate", last, (signal.SIGINT,)))
    assert done.code == 130, done.err
    done = train(place.resume())
    assert done.code == 0, done.err
    assert "stopped early, eval/loss has not improved" in done.out
    assert differences(place.output / "run", whole) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_finished_run_has_nothing_left_to_do_and_is_left_as_it_is(stage, place, undisturbed):
    """Fault plan 10."""
    shutil.copytree(undisturbed(stage), place.output / "run")
    before = snapshot(place.output / "run")
    done = train(place.resume())
    assert (done.code, done.err) == (0, "")
    assert f"nothing is left to do: {STEPS} of {STEPS} steps" in done.out
    assert "going on" not in done.out
    assert snapshot(place.output / "run") == before


@pytest.mark.parametrize("phase", ["vgpt2.loop:publish", "vgpt2.run:finish"])
def test_a_run_killed_after_its_last_step_is_still_finished(phase, place, undisturbed):
    """Pointers, plot and summary are caught up with."""
    call = 4 if phase.endswith("publish") else 1
    done = train(place.argv("sft"), trigger=Trigger(phase, call, (signal.SIGKILL,)))
    assert done.code == -signal.SIGKILL
    assert not (place.output / "run" / "summary.json").exists()
    done = train(place.resume())
    assert done.code == 0, done.err
    assert "done: 8 of 8 steps" in done.out
    assert differences(place.output / "run", undisturbed("sft")) == []
    assert (place.output / "run" / "training_loss.png").exists()


def test_the_printed_command_works_when_pasted(tmp_path, model, undisturbed):
    """Fault plan 47 too: a folder with a blank and letters outside ASCII."""
    place = Place(tmp_path / "Läufe von heute", model)
    done = train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 5, (signal.SIGINT,)))
    command = done.err.split("go on with: ")[1].splitlines()[0]
    assert shlex.split(command)[:3] == ["python", "-m", "vgpt2.train"]
    environment = {
        **os.environ,
        "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "1",
    }
    pasted = subprocess.run(["/bin/sh", "-c", command], cwd=REPOSITORY, env=environment, capture_output=True, check=False)
    assert pasted.returncode == 0, pasted.stderr
    assert b"\r" not in pasted.stdout + pasted.stderr
    assert differences(place.output / "run", undisturbed("sft")) == []


# What has changed since the start


@pytest.fixture
def stopped(place):
    """A DPO run of its own data file, stopped after two steps."""
    (place.output / "pairs.jsonl").write_bytes((REPOSITORY / "data/samples/dpo.jsonl").read_bytes())
    done = train(
        place.argv("dpo", data__train=[str(place.output / "pairs.jsonl")]), trigger=Trigger("vgpt2.loop:clip", 2, (signal.SIGINT,))
    )
    assert done.code == 130, done.err
    return place


CHANGES = {
    "seed=1": "seed: 0 -> 1",
    "batch.examples_per_step=8": "batch.examples_per_step: 4 -> 8",
    "optim.lr=1e-3": "optim.lr: 0.01 -> 0.001",
    "data.system=Hello": "tokenizer, template and system prompt: ",
    "epochs=3": "epochs: 2 -> 3",
    "dpo.beta=0.2": "dpo.beta: 0.1 -> 0.2",
}


def test_changed_settings_and_data_are_refused_with_then_and_now(stopped):
    """INVARIANT 30; fault plan 32, 34: all at once, exit 2, nothing touched; threads and memory are warnings."""
    run_dir, pairs = stopped.output / "run", stopped.output / "pairs.jsonl"
    before = snapshot(run_dir)
    sets = [part for change in CHANGES for part in ("--set", change)]
    refused = train(stopped.resume("run", *sets))
    assert refused.code == 2
    first, *rest = refused.err.splitlines()
    assert "was started with other settings (then -> now); restore them, or start anew with --run NAME" in first
    for difference in CHANGES.values():
        assert any(line.strip().startswith(difference) for line in rest), difference

    rows = pairs.read_text("utf-8").splitlines(keepends=True)
    pairs.write_text("".join(rows[:-2]), "utf-8")
    refused = train(stopped.resume())
    assert refused.code == 2
    assert f"{pairs}: " in refused.err
    assert "read: 16 -> 14" in refused.err
    pairs.unlink()
    refused = train(stopped.resume())
    assert refused.code == 2
    assert f"{pairs}: no such file" in refused.err
    pairs.write_text("".join(rows), "utf-8")
    assert snapshot(run_dir) == before

    done = train(stopped.resume("run", "--set", "batch.micro_batch_tokens=1024"), threads=2)
    assert done.code == 0, done.err
    for change in ("threads: 1 -> 2", "batch.micro_batch_tokens: 512 -> 1024"):
        assert f"warning: {change} since the start: the run goes on, its last bits may differ" in done.err


def test_another_model_under_the_same_name_is_refused(place, model):
    """Fault plan 30."""
    mine = place.output / "model"
    shutil.copytree(model, mine)
    place = Place(place.output, mine)
    assert train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 2, (signal.SIGINT,))).code == 130
    weights = bytearray((mine / "model.safetensors").read_bytes())
    weights[-4] ^= 1
    (mine / "model.safetensors").write_bytes(weights)
    refused = train(place.resume())
    assert refused.code == 2
    assert "    model: " in refused.err


# Other ways to the same bits


def test_gradient_checkpointing_changes_no_bit(place, undisturbed):
    """INVARIANT 25, dropout included."""
    done = train(place.argv("sft", model__gradient_checkpointing=True))
    assert done.code == 0, done.err
    assert differences(place.output / "run", undisturbed("sft")) == []


def test_inputs_in_the_hosts_memory_change_no_bit_and_the_run_says_how_many_bytes_they_are(place, undisturbed):
    offload = {"model__gradient_checkpointing": True, "model__offload_checkpoints": True}
    done = train([*place.argv("sft", **offload), "--cap-gib", "1"])
    assert done.code == 0, done.err
    assert re.search(r"^recomputed layers +4 of 4$", done.out, re.M)
    assert re.search(r"^host memory, page-locked +0\.00$", done.out, re.M)
    assert differences(place.output / "run", undisturbed("sft")) == []


def test_dpo_says_that_policy_and_reference_agree_and_starts_at_ln_2(place):
    """INVARIANT 10."""
    done = train(place.argv("dpo", log_every=1, max_steps=1))
    assert done.code == 0, done.err
    assert "reference: the starting policy, base model, no adapter" in done.out
    line = next(line for line in done.out.splitlines() if line.startswith("first batch: |policy - reference|"))
    assert float(line.split("at most ")[1].split()[0]) <= 1e-4
    first = json.loads((place.output / "run" / "metrics.jsonl").read_text("utf-8").splitlines()[0])
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["rewards/chosen"] == pytest.approx(0, abs=1e-6)
