"""Runs whose tokens are mapped from the cache end with the bits of those that keep them in memory, whatever happens to the data file."""

import os
import signal

import pytest
from faults.injection import needs_linux
from tiny_runs import REPOSITORY, STAGES, Trigger, differences, leftovers, start, train


@pytest.mark.parametrize("stage", STAGES)
def test_built_mapped_and_in_memory_give_the_same_bits(stage, place, undisturbed):
    """INVARIANT 29: the first run builds the cache, the second is stopped and resumed and only reads it."""
    cache = place.output / "cache"
    built = train(place.argv(stage, "built", data__cache=cache))
    assert built.code == 0, built.err
    (path,) = cache.iterdir()
    assert f"tokens are mapped from {path}" in built.out
    never = Trigger("vgpt2.run:encode_into", 1, (signal.SIGKILL,))
    assert train(place.argv(stage, "mapped", data__cache=cache, max_steps=1), trigger=never).code == 0
    stop = Trigger("vgpt2.loop:clip", 3, (signal.SIGINT,))
    assert train(place.argv(stage, data__cache=cache), trigger=stop).code == 130
    assert train(place.resume(), trigger=never).code == 0
    for name in ("built", "run"):
        assert differences(place.output / name, undisturbed(stage)) == []


@needs_linux
def test_a_data_file_overwritten_and_deleted_during_the_run_changes_nothing(place, undisturbed):
    """Fault plan 33."""
    rows = place.output / "rows.jsonl"
    rows.write_bytes((REPOSITORY / "data/samples/sft_chat.jsonl").read_bytes())
    settings = {"data__train": [str(rows)], "data__cache": place.output / "cache"}
    run = start(place.argv("sft", **settings), trigger=Trigger("vgpt2.loop:clip", 2, (signal.SIGSTOP,)))
    run.wait_for("tokens are mapped from")
    while not (place.output / "run" / "metrics.jsonl").exists():
        assert run.process.is_alive()
    os.truncate(rows, 10)
    rows.write_bytes(b"\0" * 1_000_000)
    rows.unlink()
    while run.process.is_alive():  # it may be told before it has stopped
        run.send(signal.SIGCONT)
        run.process.join(0.1)
    done = run.wait()
    assert done.code == 0, done.err
    assert differences(place.output / "run", undisturbed("sft")) == []


def test_killed_while_it_tokenises_the_same_command_starts_again(place, undisturbed):
    """Fault plan 4."""
    cache = place.output / "cache"
    kill = Trigger("vgpt2.tokencache:Shelf.publish", 1, (signal.SIGKILL,))
    assert train(place.argv("sft", data__cache=cache), trigger=kill).code == -signal.SIGKILL
    assert [path.suffix for path in cache.iterdir()] == [".tmp"]
    done = train(place.argv("sft", data__cache=cache))
    assert done.code == 0, done.err
    assert len(list(cache.iterdir())) == 1
    assert leftovers(place.output / "run") == []
    assert differences(place.output / "run", undisturbed("sft")) == []
