"""What a user can mend is one line that says what, where and how, exit code 2, and nothing half-written."""

import json
import os
import shutil
import socket

import pytest
import torch
from tiny_runs import REPOSITORY, Trigger, snapshot, start, train

PAIR = {"prompt": "Does APTH exist?", "chosen": "Yes.", "rejected": "No."}
ANSWER = {"prompt": "Does APTH exist?", "completion": "Yes.", "label": True}
ROW = {"instruction": "Does APTH exist?", "output": "Yes."}


def rows(*several: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in several)


def answers(label: bool) -> str:
    return rows(*(ANSWER | {"prompt": f"Does table {number} exist?", "label": label} for number in range(6)))


# stage, the data file's text, settings, what the line says
CASES = {
    "no model": ("sft", None, {"model__path": "nowhere/model"}, "model.path: nowhere/model: is no folder here and not in the hub's cache"),
    "empty file": ("sft", "", {}, "rows.jsonl: is empty; it needs at least one row"),
    "file of blanks": ("sft", " \n\n", {}, "rows.jsonl: holds no row; it needs at least one"),
    "not JSON": ("sft", rows(ROW) + '{"instruction": "a', {}, "rows.jsonl:2: not JSON"),
    "no completion": ("sft", rows(ROW, {"instruction": "Does it exist?"}), {}, "rows.jsonl:2:output: "),
    "no rejected": ("dpo", rows(PAIR, {"prompt": "a", "chosen": "b"}), {}, "rows.jsonl:2:rejected: "),
    "over-long": ("sft", None, {"data__cutoff_tokens": 16}, "none of 19 rows can be trained on"),
    "one class": ("kto", answers(True), {}, "all 6 rows are desirable; KTO needs undesirable answers too"),
    "no file": ("sft", None, {"data__train": ["nowhere.jsonl"]}, "nowhere.jsonl: no such file"),
    "no data": ("sft", None, {"data__train": []}, "data.train: names no file"),
    "no audit": ("sft", rows(ROW), {"data__require_audit": True}, "rows.jsonl: no audit stands beside it; python -m vgpt2.datagen audit "),
    "no GPU": ("sft", None, {"device": "cuda"}, "device cuda: torch sees no GPU; choose cpu, or install the CUDA build of torch"),
    "no pages": (
        "sft",
        None,
        {"optim__kind": "adamw8bit", "optim__paged": True},
        "optim.paged is true; only CUDA on Linux pages moments, this is cpu on ",
    ),
    "no parent": ("dpo", None, {"init_adapter": "checkpoints/nobody/best"}, "init_adapter: checkpoints/nobody/best does not exist"),
    "no such metric": (
        "kto",
        None,
        {"checkpoint__best_metric": "eval/lost"},
        "checkpoint.best_metric is 'eval/lost'; this run has eval/ with kl, logps/chosen",
    ),
    "no such probe": ("sft", None, {"probe__suite": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
    "no metric of the probe": (
        "sft",
        None,
        {"probe__suite": "eval/suites/demo.jsonl", "checkpoint__best_metric": "task/lost"},
        "this run has task/ with collapse, false_acceptance",
    ),
    "no such layer": ("sft", None, {"lora__targets": ["q_prj"]}, "no linear layer of the model is called 'q_prj'; did you mean 'q_proj'?"),
    "unknown key": ("sft", None, {"optim__lrr": 1}, "--set optim.lrr=1: unknown config key 'optim.lrr'; did you mean 'optim.lr'?"),
    "dropout": ("dpo", None, {"lora__dropout": 0.1}, "lora.dropout is 0.1; stage dpo compares two log-probabilities and needs 0"),
    "nothing held out": ("sft", rows(ROW), {"data__validation": 0.5}, "data.validation: 0.5 cannot be held out of one prompt"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_with_the_cure_and_leaves_nothing(case, place):
    stage, text, settings, said = CASES[case]
    if case == "no GPU" and torch.cuda.is_available():
        pytest.skip("there is one here")
    if text is not None:
        path = place.output / "rows.jsonl"
        path.write_text(text, "utf-8")
        settings = {"data__train": [str(path)]} | settings
    before = snapshot(place.output)
    done = train(place.argv(stage, **settings))
    assert done.code == 2, done
    assert said in done.err
    assert "Traceback" not in done.err
    assert "\r" not in done.out + done.err
    first = done.err.splitlines()[0].replace(str(place.output), "").replace(str(place.model), "")
    assert len(first) <= 200
    assert not first.endswith(".")
    assert snapshot(place.output) == before
    assert not (place.output / "run").exists()


def test_several_mistakes_are_said_at_once(place):
    argv = place.argv("sft", model__path="nowhere", data__train=["gone.jsonl"], init_adapter="lost")
    done = train(argv)
    assert done.code == 2
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["init_adapter", "model.path", "data.train"]
    done = train([*argv, "--set", "epochs=0", "--set", "optim.schedule=cosin", "--set", "seed=x"])
    assert done.code == 2
    assert done.err.count("--set ") == 3
    assert "did you mean 'cosine'?" in done.err


def test_an_unknown_stage_is_refused_with_those_there_are(place):
    done = train(["--stage", "dop"])
    assert done.code == 2
    assert "invalid choice: 'dop' (choose from 'sft', 'dpo', 'kto')" in done.err


@pytest.mark.parametrize("name", ["../x", "a/b", "CON", "nul.txt", "x" * 300, "-x", "two\nlines", " "])
def test_a_name_that_is_no_folder_name_everywhere_is_refused(name, place):
    """Fault plan 46."""
    done = train(["--stage", "sft", "--config", "configs/tiny/sft.yaml", f"--run={name}", "--set", f"output={place.output}"])
    assert done.code == 2
    assert "not a run name; allowed is [A-Za-z0-9]" in done.err
    assert list(place.output.iterdir()) == []


# Run folders


def test_a_run_that_exists_is_not_begun_again_and_one_that_does_not_is_not_resumed(place, undisturbed):
    shutil.copytree(undisturbed("sft"), place.output / "run")
    before = snapshot(place.output)
    done = train(place.argv("sft"))
    assert done.code == 2
    assert "this run exists; go on with --resume, or choose another name with --run NAME" in done.err
    done = train(place.resume("none"))
    assert done.code == 2
    assert "there is no run 'none' to resume, start it without --resume" in done.err
    assert snapshot(place.output) == before


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml"])
def test_a_foreign_folder_is_left_alone(name, place):
    (place.output / "run").mkdir()
    (place.output / "run" / name).write_text("mine: 1\n", "utf-8")
    before = snapshot(place.output)
    done = train(place.argv("sft"))
    assert done.code == 2
    assert "run: not empty and not a run of ours; choose another name with --run NAME" in done.err
    assert snapshot(place.output) == before


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_a_linked_run_folder_is_refused_and_its_target_stays(place, undisturbed):
    """Fault plan 44."""
    target = place.output / "elsewhere"
    shutil.copytree(undisturbed("sft"), target)
    (place.output / "run").symlink_to(target, target_is_directory=True)
    before = snapshot(target)
    for argv in (place.argv("sft"), place.resume()):
        done = train(argv)
        assert done.code == 2
        assert "is a symbolic link; a run folder must be a real one" in done.err
    assert snapshot(target) == before


def test_a_folder_that_another_run_holds_is_refused_with_its_process(place):
    """Fault plan 38: the one that holds it is not disturbed."""
    first = start(place.argv("sft"))
    first.wait_for("step     2/8")
    second = train(place.resume())
    assert second.code == 2
    assert f"run.lock: held by process {first.process.pid} on {socket.gethostname()} for 0 min; wait for it" in second.err
    assert first.wait().code == 0


def test_a_run_whose_lock_was_taken_saves_nothing_more(place):
    run_dir = place.output / "run"
    other = {"pid": 1, "start_time": "1", "host": "elsewhere", "run_id": "other", "since": "2026-01-01T00:00:00+00:00"}
    run = start(place.argv("sft", epochs=40))
    run.wait_for("step     4/")
    (run_dir / "run.lock").write_text(json.dumps(other), "utf-8")
    done = run.wait()
    assert done.code == 2
    assert "run.lock: another process has taken the run over; this one ends without saving" in done.err
    assert json.loads((run_dir / "run.lock").read_text("utf-8")) == other
    assert not [path.name for path in run_dir.iterdir() if path.name.endswith(".tmp")]


# Adapters to go on from


def test_an_adapter_of_another_rank_is_refused_with_the_setting_that_fits(place, undisturbed):
    done = train(place.argv("dpo", init_adapter=undisturbed("sft"), lora__rank=8))
    assert done.code == 2
    assert "adapter_config.json: rank is 4, lora.rank of this run is 8; set lora.rank=4" in done.err
    assert not (place.output / "run").exists()


def test_the_parent_is_the_reference_and_stands_in_the_lineage(place, undisturbed):
    """INVARIANT 11, through the command; a parent that is gone or changed is refused when the run goes on."""
    parent = place.output / "parent"
    shutil.copytree(undisturbed("sft"), parent)
    done = train(place.argv("kto", init_adapter=parent / "best"), trigger=Trigger("vgpt2.loop:clip", 2, (2,)))
    assert done.code == 130
    assert f"reference: the starting policy, {parent / 'best'}" in done.out
    record = json.loads((place.output / "run" / "run.json").read_text("utf-8"))
    [adapter] = record["lineage"]
    assert (adapter["stage"], adapter["adapter"]) == ("sft", (parent / "step-000008").as_posix())
    for name in ("step-000008", "step-000006"):
        shutil.rmtree(parent / name, ignore_errors=True)
    done = train(place.resume())
    assert done.code == 2
    assert str(parent) in done.err


# Memory


def out_of_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_full_memory_is_one_line_with_the_peak_and_the_setting_to_change(place):
    """Fault plan 36."""
    done = train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 4, instead=out_of_memory))
    assert done.code == 2
    assert "Traceback" not in done.err
    said, cure = done.err.splitlines()
    assert said.startswith("out of memory, peak 0.")
    assert "GiB with batch.micro_batch_tokens 256; halve that" in said
    assert cure.startswith(f"saved {place.output / 'run' / 'step-000003'}; go on with: python -m vgpt2.train")


@pytest.mark.skipif(os.name == "nt", reason="address space limits are POSIX's")
def test_the_allocator_of_the_cpu_is_understood_too(place):
    """Fault plan 36, for real: RLIMIT_AS."""
    done = train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 2, instead=too_much))
    assert done.code == 2, done.err
    assert done.err.startswith("out of memory, peak 0.")


def too_much() -> None:
    import resource
    from pathlib import Path

    import torch

    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), used + (64 << 20)))
    torch.zeros(256 << 20)


def test_steps_without_a_finite_gradient_end_with_rows_and_the_way_to_go_on(place):
    """INVARIANT 23; fault plan 35."""
    done = train(place.argv("sft", nonfinite_limit=2), trigger=Trigger("vgpt2.loop:clip", 4, instead=not_a_number))
    assert done.code == 2
    *warned, said, cure = done.err.splitlines()
    assert len(warned) == 2
    assert all("the step is skipped, weights and moments stay as they were; rows data/samples/sft_chat.jsonl:" in line for line in warned)
    assert "2 steps in a row without a finite gradient (nonfinite_limit); lower optim.lr or look at rows" in said
    assert cure.startswith("saved ")


def not_a_number() -> float:
    return float("nan")


def test_the_data_file_may_go_while_the_run_goes_on(place):
    """Fault plan 33: it was read once, at the start."""
    path = place.output / "rows.jsonl"
    shutil.copy(REPOSITORY / "data/samples/sft_chat.jsonl", path)
    run = start(place.argv("sft", data__train=[str(path)]))
    run.wait_for("step     2/8")
    path.write_text("", "utf-8")
    assert run.wait().code == 0
