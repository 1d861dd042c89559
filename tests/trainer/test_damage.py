"""Checkpoints with a byte changed, gone or from elsewhere: refused by name, and an older one taken, never a fresh start."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tiny_runs import Place, Trigger, differences, snapshot, train

from vgpt2 import checkpoint


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, model) -> Path:
    """An SFT run with checkpoints of steps 3, 4 (the best) and 6."""
    place = Place(tmp_path_factory.mktemp("stopped"), model)
    done = train(place.argv("sft", checkpoint__keep=4), trigger=Trigger("vgpt2.loop:clip", 7, (signal.SIGINT,)))
    assert done.code == 130
    run_dir = place.output / "run"
    shutil.rmtree(run_dir / "step-000007")
    (run_dir / "latest").write_text("step-000006\n", "utf-8")
    return run_dir


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


FILES = ("adapter_config.json", "adapter_model.safetensors", "manifest.json", "optimizer.safetensors", "trainer_state.json")


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused_by_the_files_name_and_an_older_checkpoint_ends_with_the_same_bits(name, place, stopped, undisturbed):
    """INVARIANT 53; fault plan 26."""
    seed = time.time_ns()
    print("seed", seed)
    run_dir = place.output / "run"
    shutil.copytree(stopped, run_dir)
    flip(run_dir / "step-000006" / name, random.Random(seed))
    done = train(place.resume())
    assert done.code == 0, done.err
    assert f"warning: {run_dir / 'step-000006'}: {name} " in done.err
    assert "using step-000004, 2 steps will be repeated" in done.err
    assert "going on after step 4" in done.out
    assert differences(run_dir, undisturbed("sft", checkpoint__keep=4)) == []


def test_all_damaged_is_refused_with_every_reason_and_nothing_is_started_over(place, stopped):
    """INVARIANT 53; fault plan 27, 29."""
    run_dir = place.output / "run"
    shutil.copytree(stopped, run_dir)
    (run_dir / "step-000003" / "optimizer.safetensors").unlink()
    (run_dir / "step-000004" / "adapter_model.safetensors").write_bytes(b"")
    flip(run_dir / "step-000006" / "trainer_state.json", random.Random(1))
    before = snapshot(run_dir)
    done = train(place.resume())
    assert done.code == 2
    first, *rest = done.err.splitlines()
    assert "none of its 3 checkpoints is whole" in first
    assert [line.strip().split(": ")[1].split()[0].strip("'") for line in rest] == [
        "trainer_state.json",
        "adapter_model.safetensors",
        "optimizer.safetensors",
    ]
    assert snapshot(run_dir) == before


def test_a_step_folder_of_another_run_is_refused(place, stopped, undisturbed):
    """Fault plan 30: it is whole and of equal shapes, yet not of this run."""
    run_dir = place.output / "run"
    shutil.copytree(stopped, run_dir)
    shutil.copytree(undisturbed("dpo") / "step-000008", run_dir / "step-000008")
    before = snapshot(run_dir)
    done = train(place.resume())
    assert done.code == 2
    assert done.err.startswith(f"{run_dir / 'step-000008'}: was saved by another run")
    assert snapshot(run_dir) == before


def test_a_run_record_or_pointer_that_cannot_be_read_is_refused_by_name(place, stopped):
    run_dir = place.output / "run"
    shutil.copytree(stopped, run_dir)
    (run_dir / "best").write_text("../elsewhere\n", "utf-8")
    done = train(place.resume())
    assert done.code == 2
    assert f"{run_dir / 'best'}: names '../elsewhere'" in done.err
    (run_dir / "best").write_text("step-000004\n", "utf-8")
    (run_dir / "run.json").write_text('{"format": 1, ', "utf-8")
    done = train(place.resume())
    assert done.code == 2
    assert done.err.startswith(f"{run_dir / 'run.json'}: cannot be read")


def test_a_damaged_reference_column_is_computed_again_before_training_and_refused_after(place, undisturbed):
    """INVARIANTS 14, 51."""
    column = place.output / "run" / "ref_logps.safetensors"
    trigger = Trigger("vgpt2.reference:largest_difference", 1, (signal.SIGINT,))
    assert train(place.argv("dpo"), trigger=trigger).code == 130
    column.write_bytes(column.read_bytes()[:-7])
    assert train(place.resume(), trigger=Trigger("vgpt2.loop:clip", 2, (signal.SIGINT,))).code == 130
    whole = column.read_bytes()
    flip(column, random.Random(2))
    done = train(place.resume())
    assert done.code == 2
    assert "ref_logps.safetensors: " in done.err
    column.write_bytes(whole)
    assert train(place.resume()).code == 0
    assert differences(place.output / "run", undisturbed("dpo")) == []


# Weights that are no numbers


def poisoned(folder: Path, name: str) -> None:
    path = next(folder.glob("*model.safetensors"))
    tensors = load_file(path)
    tensors[name].view(-1)[3] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})


def test_nan_in_a_base_weight_is_named_before_the_first_step(place, model):
    """Fault plan 31."""
    mine = place.output / "model"
    shutil.copytree(model, mine)
    poisoned(mine, "model.layers.2.mlp.up_proj.weight")
    done = train(Place(place.output, mine).argv("sft"))
    assert done.code == 2
    assert "model.layers.2.mlp.up_proj.weight: holds NaN or infinite weights" in done.err
    assert not (place.output / "run").exists()


def test_nan_in_the_starting_adapter_is_named_before_the_first_step(place, undisturbed):
    """Fault plan 31."""
    adapter = place.output / "adapter"
    adapter.mkdir()
    for path in checkpoint.resolve(undisturbed("sft") / "best").glob("adapter*"):
        shutil.copy(path, adapter)
    key = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    poisoned(adapter, key)
    done = train(place.argv("dpo", init_adapter=adapter))
    assert done.code == 2
    assert f"'{key}' holds NaN" in done.err
    assert not (place.output / "run").exists()
