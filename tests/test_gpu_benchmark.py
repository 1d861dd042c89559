"""The GPU benchmark's dry run: every part of it but the card."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_trial_on_the_cpu_measures_both_sides_on_equal_weights_and_rows(tmp_path):
    """The first losses agree: the sides train on the same thing."""
    options = [
        "--device",
        "cpu",
        "--size",
        "tiny",
        "--cases",
        "S1",
        "--sides",
        "ours,trl",
        "--rounds",
        "1",
        "--steps",
        "1",
        "--warm-up",
        "1",
    ]
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *options, "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["results"]
    assert [result["side"] for result in results] == ["ours", "trl"]
    assert all(result["valid"] for result in results)
    assert results[0]["loss_first"] == pytest.approx(results[1]["loss_first"], abs=1e-3)
