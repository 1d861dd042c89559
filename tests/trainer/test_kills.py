"""SIGKILL at any moment: the run goes on and ends with the bits of the undisturbed one, and nothing half-written is ever used."""

import random
import signal
import time

import pytest
from faults.injection import needs_linux
from tiny_kills import fault_at_events, kill_at_random
from tiny_runs import STAGES, Trigger, differences, leftovers, train

from vgpt2 import reference

pytestmark = needs_linux


def test_ten_kills_at_random_moments_of_the_three_stages(place, undisturbed):
    """Fault plan 2, 5, 8; INVARIANTS 29, 32, 49. benchmarks/kills.py does a hundred."""
    seed = time.time_ns()
    print("seed", seed)
    for stage, kills in zip(STAGES, (4, 3, 3)):
        found = kill_at_random(place, stage, undisturbed(stage), random.Random(f"{seed}/{stage}"), kills, seconds=1.5)
        assert found.different == []
        assert found.survived == found.tried == kills


def test_killed_and_stopped_in_the_reference_pass(place, undisturbed):
    """Fault plan 3; INVARIANT 49: what a kill leaves is not used, what a signal leaves is used and verified."""
    column = place.output / "run" / reference.FILE
    done = train(place.argv("dpo"), trigger=Trigger("vgpt2.reference:sequence_logps", 3, (signal.SIGKILL,)))
    assert done.code == -signal.SIGKILL
    assert not column.exists()
    done = train(place.resume(), trigger=Trigger("vgpt2.reference:sequence_logps", 2, (signal.SIGINT,)))
    assert done.code == 130
    assert "interrupted; no step was saved; go on with: " in done.err
    assert column.exists()
    # the half column goes on where it stopped, is killed, and is as it was
    half = column.read_bytes()
    done = train(place.resume(), trigger=Trigger("vgpt2.reference:sequence_logps", 2, (signal.SIGKILL,)))
    assert done.code == -signal.SIGKILL
    assert column.read_bytes() == half
    assert train(place.resume()).code == 0
    assert differences(place.output / "run", undisturbed("dpo")) == []
    assert leftovers(place.output / "run") == []


@pytest.mark.parametrize("phase", ["vgpt2.run:read", "vgpt2.weights:load_model", "vgpt2.runrecord:write"])
def test_killed_before_it_began_the_same_command_starts_again(phase, place):
    done = train(place.argv("sft", max_steps=1), trigger=Trigger(phase, 1, (signal.SIGKILL,)))
    assert done.code == -signal.SIGKILL
    assert (place.output / "run" / "run.lock").exists()
    refused = train(place.resume())
    assert refused.code == 2
    assert "start it without --resume" in refused.err
    done = train(place.argv("sft", max_steps=1))
    assert done.code == 0
    assert "is dead" in done.err
    assert leftovers(place.output / "run") == []


@pytest.mark.slow
@pytest.mark.parametrize("action", ["kill", "ENOSPC"])
def test_the_file_events_of_a_run_from_its_last_save_but_one(action, place, undisturbed):
    """Fault plan 1, 6, 18, 21; INVARIANT 49: some of them, chosen anew each time; benchmarks/kills.py does all.

    After a kill --resume ends with the undisturbed run's bits. When a disk takes something once not, the run itself does, or it
    ends with 2, one line and no traceback, and --resume does.
    """
    assert train(place.argv("sft"), trigger=Trigger("vgpt2.loop:clip", 5, (signal.SIGINT,))).code == 130
    first = random.randint(1, 15)
    found = fault_at_events(place.output, place.output / "run", place.model, undisturbed("sft"), action, first=first, every=15)
    print(f"{action}: {found.covered} of {found.existing} file events, {found.went_on} runs went on by themselves")
    assert found.different == []
    assert found.covered >= found.existing // 15
