"""Disks that are full, too small, or not there: training goes on where it can, and nothing half-written is left."""

import errno
import os
import signal

import pytest
import torch
from safetensors.torch import load_file
from tiny_jobs import sft_rows, tiny_config, tiny_job, tiny_model
from tiny_runs import Trigger, differences, leftovers, snapshot, train

from vgpt2 import loop, run


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def nearly_full() -> int:
    return 300_000


def test_three_failed_saves_in_a_row_end_the_run_with_the_way_to_go_on(place, undisturbed):
    """Fault plan 18: the last checkpoint is whole."""
    settings = {"checkpoint__save_every": 1}
    done = train(place.argv("sft", **settings), trigger=Trigger("vgpt2.checkpoint:seal", 4, instead=full))
    assert done.code == 2
    assert "Traceback" not in done.err
    *warned, failed, cure = done.err.splitlines()
    assert [line.split(":")[1].split("/")[-1] for line in warned if "training goes on" in line] == ["step-000004", "step-000005"]
    run_dir = place.output / "run"
    assert failed.startswith(f"{run_dir / 'step-000006'}: not saved, no space left on device (needs ")
    assert cure == f"saved {run_dir / 'step-000003'}; go on with: python -m vgpt2.train --run run --set output={place.output} --resume"
    assert leftovers(run_dir) == []
    assert train(place.resume()).code == 0
    assert differences(run_dir, undisturbed("sft", **settings)) == []


def test_an_interrupt_on_a_full_disk_says_that_nothing_was_saved(place):
    trigger = Trigger("vgpt2.checkpoint:seal", 1, (signal.SIGINT,), instead=full)
    done = train(place.argv("sft", checkpoint__save_every=2), trigger=trigger)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("no step was saved; go on with: python -m vgpt2.train")
    assert "training goes on, the next try" in done.err
    assert leftovers(place.output / "run") == []


def test_logs_that_cannot_be_written_cost_one_warning_each(place):
    """Fault plan 21: metrics.jsonl, TensorBoard, the plot, the state and the summary."""
    for function, name in (
        ("vgpt2.metrics:RunLog._append", "metrics.jsonl"),
        ("vgpt2.metrics:_append_events", "tensorboard"),
        ("vgpt2.plot:loss_curve", "training_loss.png"),
        ("vgpt2.runrecord:write_summary", "summary.json"),
    ):
        done = train(place.argv("sft", name.partition(".")[0], max_steps=2), trigger=Trigger(function, 1, instead=full))
        assert done.code == 0, done.err
        assert "Traceback" not in done.err
        assert done.err.count("warning: ") == 1
        assert f"{name}: not written" in done.err


def test_a_disk_too_small_is_refused_before_the_first_step_with_bytes(place):
    """Fault plan 22."""
    done = train(place.argv("sft"), trigger=Trigger("vgpt2.checkpoint:_free_bytes", 1, instead=nearly_full))
    assert done.code == 2
    assert done.err.startswith(f"{place.output / 'run'}: needs 5 x ")
    assert "300.0 kB free; free some, or lower checkpoint.keep" in done.err
    assert not (place.output / "run").exists()


@pytest.mark.parametrize(
    ("dtype", "keys"),
    [
        (torch.float32, {}),
        (torch.bfloat16, {"optim": {"kind": "adamw8bit"}, "lora": {"rank": 64}}),
        (torch.float32, {"lora": {"init": "pissa"}}),
        (torch.float32, {"lora": None}),
        (torch.bfloat16, {"lora": None, "optim": {"kind": "adamw8bit", "in_backward": True, "clip": "tensor"}}),
    ],
    ids=["lora", "lora in 8 bits", "pissa", "full", "lean full"],
)
def test_the_room_that_a_run_asks_for_is_what_its_checkpoints_take(dtype, keys, tmp_path):
    cfg = tiny_config("sft", **keys, batch={"packs_per_step": 2, "micro_batch_tokens": 4096})
    job, state = tiny_job(cfg, sft_rows(8), tmp_path, model=tiny_model(dtype=dtype)), loop.State()
    loop.take_step(job, state)
    run.write_checkpoint(tmp_path, state, job.model, job.optimizer, cfg)
    written = [tensor for path in tmp_path.glob("*.safetensors") for tensor in load_file(path).values()]
    assert sum(tensor.nbytes for tensor in written) == run.checkpoint_bytes(job.optimizer, cfg.lora)


def test_a_place_where_nothing_can_be_made_is_refused_before_the_model_loads(place):
    """Fault plan 23: a parent that is a file does what `chmod` cannot do against root."""
    (place.output / "file").write_text("mine", "utf-8")
    done = train(type(place)(place.output / "file", place.model).argv("sft"))
    assert (done.code, done.out) == (2, "")
    assert f"{place.output / 'file'} is a file; give another folder with --set output=DIR" in done.err
    assert snapshot(place.output) == {"file": b"mine"}
