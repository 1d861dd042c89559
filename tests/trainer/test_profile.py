"""train --profile N: a table and a trace, and nothing else changes."""

from tiny_runs import differences, leftovers, train


def test_profiled_steps_are_shown_and_change_no_bit(place, undisturbed):
    done = train([*place.argv("sft"), "--profile", "2"])
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("time of 2 steps"))
    assert [line.split()[0] for line in lines[head + 1 : head + 7]] == ["data", "prepare", "forward", "backward", "optimizer", "logging"]
    run_dir = place.output / "run"
    assert f"trace in {run_dir / 'trace.json.gz'}" in lines
    assert (run_dir / "trace.json.gz").stat().st_size > 1000
    assert differences(run_dir, undisturbed("sft")) == []
    assert leftovers(run_dir) == []


def test_a_number_of_steps_below_one_is_refused(place):
    done = train([*place.argv("sft"), "--profile", "0"])
    assert done.code == 2
    assert "--profile must be 1 or more" in done.err
