import gzip
import json
import time

import pytest
import torch
from tiny_jobs import ROWS, tiny_config, tiny_job

from vgpt2 import loop, profiling
from vgpt2.loop import PARTS, State
from vgpt2.profiling import WARM_UP, Profile, table

CPU = torch.device("cpu")


def rows_of(lines):
    """Name -> (milliseconds a step, share in percent) of a table's lines."""
    found = {}
    for line in lines[1:]:
        *name, ms, share = line.split()
        found[" ".join(name)] = (float(ms), float(share.rstrip("%")))
    return found


def test_the_table_by_hand():
    lines = table({"data": 0.5, "forward": 1.5}, took_s=4.0, steps=2)
    assert rows_of(lines) == {"data": (250, 12.5), "forward": (750, 37.5), "between them": (1000, 50), "a step": (2000, 100)}
    assert len({len(line) for line in lines}) == 1


def test_the_steps_of_the_warm_up_and_after_the_traced_ones_do_not_count(tmp_path):
    """Three parts of 20 ms in the traced steps, of 200 ms in the others."""
    said = []
    with Profile(tmp_path, steps=3, parts=("data", "forward"), device=CPU, say=said.append) as profile:
        for step in range(8):
            counts = WARM_UP <= step < WARM_UP + 3
            assert profile.is_on == counts
            with profile.part("forward"):
                time.sleep(0.02 if counts else 0.1)
            profile.step()
    found = rows_of(said[:-1])
    assert said[0].startswith("time of 3 steps")
    assert found["data"] == (0, 0)
    assert 20 <= found["forward"][0] < 60
    assert found["forward"][0] <= found["a step"][0] < 90
    assert said[-1] == f"trace in {tmp_path / 'trace.json.gz'}"


@pytest.mark.parametrize("stage", ["sft", "kto"])
def test_a_run_is_traced_with_the_parts_of_its_steps_and_trains_to_the_same_bits(stage, tmp_path):
    weights = []
    for is_profiled in (True, False):
        job, said = tiny_job(tiny_config(stage, epochs=4), ROWS[stage](24), tmp_path), []
        if is_profiled:
            job.profile = Profile(tmp_path, steps=2, parts=PARTS, device=CPU, say=said.append)
        loop.fit(job, State())
        weights.append([parameter.detach().clone() for parameter in job.parameters])
        if is_profiled:
            found = rows_of(said[:-1])
            assert list(found) == [*PARTS, "between them", "a step"]
            assert all(found[name][0] > 0 for name in ("forward", "backward", "optimizer"))
            assert sum(share for _, share in found.values()) == pytest.approx(200, abs=1)
            with gzip.open(tmp_path / "trace.json.gz", "rt", encoding="utf-8") as file:
                events = [event.get("name") for event in json.load(file)["traceEvents"]]
            assert events.count("optimizer") == 2
            assert events.count("forward") >= 2
            assert "aten::mm" in events
    assert all(torch.equal(one, other) for one, other in zip(*weights))


@pytest.mark.parametrize(("steps", "last"), [(1, "nothing was traced"), (WARM_UP + 1, "trace in ")])
def test_a_run_that_ends_early_says_what_was_traced(steps, last, tmp_path):
    said = []
    with Profile(tmp_path, steps=5, parts=("forward",), device=CPU, say=said.append) as profile:
        for _ in range(steps):
            with profile.part("forward"):
                pass
            profile.step()
    assert last in said[-1]
    assert (tmp_path / "trace.json.gz").exists() == (steps > WARM_UP)
    if steps > WARM_UP:
        assert said[0].startswith("time of 1 steps")


def test_a_disk_that_takes_no_trace_costs_a_line(tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(profiling.torch_profile, "export_chrome_trace", full)
    said = []
    with Profile(tmp_path, steps=1, parts=("forward",), device=CPU, say=said.append) as profile:
        for _ in range(WARM_UP + 1):
            profile.step()
    assert said[-1] == f"no trace: {tmp_path / 'trace.json.gz'}: no space left on device"
    assert list(tmp_path.iterdir()) == []
