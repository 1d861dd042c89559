"""Ctrl+C and SIGTERM in every phase of a run: answered soon, with something to go on from, or with nothing begun."""

import os
import signal
import subprocess
import sys
import time

import pytest
from faults.injection import REPOSITORY, faulty_environment, needs_linux
from tiny_runs import PLOT, Trigger, differences, leftovers, start, train

from vgpt2.checkpoint import newest_good, step_of
from vgpt2.interrupts import SECOND_S

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")

# stage, the function before which the signal comes, at which call, and the step that is saved: None before the run began
PHASES = {
    "read": ("sft", "vgpt2.run:read", 1, None),
    "tokenise": ("sft", "vgpt2.run:encode_into", 1, None),
    "load": ("dpo", "vgpt2.weights:load_model", 1, None),
    "record": ("sft", "vgpt2.runrecord:write", 1, None),
    "reference pass": ("dpo", "vgpt2.reference:sequence_logps", 3, 0),
    "reference check": ("kto", "vgpt2.reference:largest_difference", 1, 0),
    "step": ("dpo", "vgpt2.loop:clip", 2, 2),
    "prepare": ("kto", "vgpt2.stages:KTO.prepare", 2, 1),
    "evaluation": ("sft", "vgpt2.loop:evaluate", 1, 4),
    "evaluation's prepare": ("kto", "vgpt2.stages:KTO.prepare", 5, 4),
    "save": ("sft", "vgpt2.checkpoint:seal", 1, 3),
    "rotation": ("dpo", "vgpt2.checkpoint:rotate", 3, 6),
}
ANSWER_CPU_S = 10.0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_answered_in_every_phase(number, code, place):
    """INVARIANTS 31, 50; fault plan 11, 14. All at once: most of the time is the second that a run waits for the rest of a storm."""
    answered = 0
    for names in (list(PHASES)[:6], list(PHASES)[6:]):
        runs = {}
        for name in names:
            stage, function, call, _ = PHASES[name]
            runs[name] = start(place.argv(stage, name.replace(" ", "-").replace("'", "")), trigger=Trigger(function, call, (number,)))
        for name, run in runs.items():
            done, run_dir, step = run.wait(), place.output / name.replace(" ", "-").replace("'", ""), PHASES[name][3]
            assert (name, done.code) == (name, code), done.err
            assert "Traceback" not in done.err
            assert done.err.count("\n") == 2, done.err
            assert done.answered_cpu_s is not None
            assert done.answered_cpu_s < ANSWER_CPU_S
            if step is None:
                assert "no step was saved; the same command starts again" in done.err
                assert not run_dir.exists() or not (run_dir / "run.json").exists()
            else:
                found, refused = newest_good(run_dir)
                assert (name, step_of(found) if found else 0, refused) == (name, step, [])
                assert f"; go on with: python -m vgpt2.train --run {run_dir.name} " in done.err
            assert not run_dir.exists() or leftovers(run_dir) == []
            answered += 1
    print(f"phases that answer {signal.Signals(number).name}: {answered} of {len(PHASES)}")


@pytest.mark.parametrize("phase", [PLOT, "vgpt2.runrecord:write_summary"])
def test_a_signal_after_the_last_step_lets_the_run_finish(phase, place, undisturbed):
    """INVARIANT 50: plot and summary take less than an answer may."""
    done = train(place.argv("sft", max_steps=2), trigger=Trigger(phase, 1, (signal.SIGINT,)))
    assert done.code == 0
    assert done.answered_cpu_s is not None
    assert done.answered_cpu_s < ANSWER_CPU_S
    assert "done: 2 of 2 steps" in done.out
    assert leftovers(place.output / "run") == []


def test_a_signal_while_the_command_is_imported_ends_without_a_traceback(place):
    """INVARIANT 50, before there is a run: in a process that starts from nothing, and halfway through torch."""
    script = (
        "import os, runpy, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job starts with Ctrl+C ignored
        "sys.addaudithook(lambda event, args: event == 'import' and args[0] == 'torch.nn' and os.kill(os.getpid(), signal.SIGINT))\n"
        "runpy.run_module('vgpt2.train', run_name='__main__')\n"
    )
    run = subprocess.run([sys.executable, "-c", script, *place.argv("sft")], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr.splitlines()) == (130, ["interrupted; nothing was begun or lost"])
    assert list(place.output.iterdir()) == []


@needs_linux
def test_a_second_signal_inside_a_save_ends_at_once_and_the_checkpoint_before_stands(place, undisturbed):
    """INVARIANTS 31, 32; fault plan 13."""
    run_dir, log = place.output / "run", place.output / "events"
    assert train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 5, (signal.SIGINT,))).code == 130
    waiting = faulty_environment(run_dir, log, at=30, action="wait")  # in the save of step 6
    run = start(place.resume(), environment=waiting)
    deadline = time.monotonic() + 60
    while not log.exists() or "waiting" not in log.read_text("utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "step-000006" in log.read_text("utf-8").splitlines()[-2]
    run.send(signal.SIGINT)
    run.wait_for("once more, and it stops at once")
    time.sleep(2 * SECOND_S)
    run.send(signal.SIGINT)
    assert run.wait().code == 130  # long before the ten minutes that the save waits there
    assert step_of(newest_good(run_dir)[0]) == 5
    assert train(place.resume()).code == 0
    assert differences(run_dir, undisturbed("sft")) == []
    assert leftovers(run_dir) == []


def test_a_storm_is_one_request(place, undisturbed):
    """Fault plan 12."""
    done = train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 5, (signal.SIGINT,) * 200, apart_s=0.0005))
    assert done.code == 130
    assert done.err.count("SIGINT: stopping at the next safe point") == 1
    assert train(place.resume()).code == 0
    assert differences(place.output / "run", undisturbed("sft")) == []


def test_ignored_interrupts_are_counted_and_change_no_bit(place, undisturbed):
    """Fault plan 15: from the first phase on."""
    trigger = Trigger("vgpt2.run:read", 1, (signal.SIGINT,) * 1000, apart_s=0.0005)
    done = train([*place.argv("sft"), "--ignore-interrupts"], trigger=trigger)
    assert done.code == 0, done.err
    assert done.err.count("Ctrl+C is ignored and counted (--ignore-interrupts)") == 1
    ignored = int(done.out.split(" ignored")[0].split()[-1])
    assert 1 < ignored <= 1000
    assert differences(place.output / "run", undisturbed("sft")) == []


def test_what_is_said_is_seen_at_once_also_through_a_pipe(place):
    """The first lines come before the model is loaded."""
    run = start(place.argv("dpo"), trigger=Trigger("vgpt2.weights:load_model", 1, (signal.SIGSTOP,)))
    run.wait_for("pairs to train on")
    run.send(signal.SIGKILL)
    assert run.wait().code == -signal.SIGKILL


def test_a_run_that_was_put_to_sleep_wakes_up(place, undisturbed):
    """Fault plan 17."""
    run = start(place.argv("sft"))
    run.wait_for("step     2/8")
    run.send(signal.SIGSTOP)
    time.sleep(1)
    run.send(signal.SIGCONT)
    done = run.wait()
    assert done.code == 0, done.err
    assert differences(place.output / "run", undisturbed("sft")) == []
