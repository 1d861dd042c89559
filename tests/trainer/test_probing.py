"""A run that asks its model questions at every evaluation: the answers are judged, may choose the best, and change nothing else."""

import json

from tiny_runs import differences, outcome, train

from vgpt2 import checkpoint

PROBE = {"probe__suite": "eval/suites/demo.jsonl", "probe__questions": 5, "probe__max_new_tokens": 4, "checkpoint__eval_every": 2}


def test_task_metrics_are_logged_and_choose_the_best(place):
    """INVARIANT 34, on the command."""
    done = train(place.argv("sft", **PROBE, checkpoint__best_metric="task/collapse"))
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (place.output / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    evaluated = [row for row in rows if row["kind"] == "eval"]
    assert [row["step"] for row in evaluated] == [2, 4, 6, 8]
    for row in evaluated:
        tasks = {name: value for name, value in row.items() if name.startswith("task/")}
        assert tasks.keys() >= {"task/right", "task/resolves", "task/collapse", "task/false_rejection"}
        assert all(0 <= value <= 1 for value in tasks.values())
        assert row["wall"]["took_s"] > 0
    least = min(evaluated, key=lambda row: row["task/collapse"])
    assert checkpoint.resolve(place.output / "run" / "best").name == f"step-{least['step']:06d}"
    assert "collapsed" in done.out


def test_a_probe_leaves_the_weights_and_moments_as_they_would_be_without_it(place):
    """INVARIANT 45."""
    for name, settings in (("probed", PROBE), ("plain", {"checkpoint__eval_every": 2})):
        assert train(place.argv("sft", name, **settings)).code == 0
    probed, plain = (outcome(place.output / name) for name in ("probed", "plain"))
    for file in ("adapter_model.safetensors", "optimizer.safetensors"):
        assert probed[file] == plain[file]
    assert differences(place.output / "probed", place.output / "plain") == ["metrics"]
