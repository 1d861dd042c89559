"""The GPU benchmark's dry run: every part of it but the card, and how it reads its own results."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def gpu(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("gpu")


@pytest.mark.slow
def test_a_trial_on_the_cpu_measures_both_sides_on_equal_weights_and_rows(tmp_path):
    """The losses agree: the sides train on the same thing. What is not installed says so, and nothing stops."""
    what = ["--cases", "S1", "--sides", "ours,hf,trl,unsloth", "--settings", "same"]
    options = ["--device", "cpu", "--size", "tiny", "--rounds", "1", "--steps", "1", "--warm-up", "1", *what]
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *options, "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["results"]
    assert [result["side"] for result in results] == ["ours", "hf", "trl", "unsloth"]
    if importlib.util.find_spec("unsloth") is None:
        assert results.pop()["error"] == "skipped: unsloth is not installed: pip install unsloth"
    for result in results[:3]:
        assert result["valid"], result
        assert result["loss_first"] == pytest.approx(results[0]["loss_first"], abs=1e-3)
        assert result["loss_last"] == pytest.approx(results[0]["loss_last"], abs=1e-3)
    lines = [line for line in done.stdout.splitlines() if line.startswith("S1")]
    assert [line.split()[-2:] for line in lines[1:3]] == [["yes", "True"]] * 2


def test_every_side_of_the_protocol_has_its_settings(gpu):
    for case in gpu.CASES.values():
        assert "ours" in case.sides
        for side in case.sides:
            best = gpu.settings_of(case, side, "best")
            assert best
            assert all(case.per_step % setting.rows == 0 for setting in best)
            assert side == "ours-offload" or gpu.settings_of(case, side, "same") == [gpu.Setting(case.per_step, True)]


def test_packed_rows_on_a_card_do_not_pay_for_a_dense_mask(gpu):
    import argparse

    import torch

    auto = argparse.Namespace(attn="auto")
    assert gpu.attention_of("trl-packed-liger", torch.device("cuda"), auto) == "flex_attention"
    assert gpu.attention_of("trl", torch.device("cuda"), auto) == "sdpa"
    assert gpu.attention_of("trl-packed", torch.device("cuda"), argparse.Namespace(attn="sdpa")) == "sdpa"


def run_of(side: str, kind: str, setting: str, rate: float, **more) -> dict:
    values = {"case": "S1", "side": side, "kind": kind, "setting": setting, "tokens_per_s": rate, "loss_first": 2.0, "loss_last": 1.5}
    return values | {"valid": True} | more


def test_the_fastest_valid_setting_counts_and_is_the_one_that_runs_again(gpu):
    results = [
        run_of("hf", "best", "4 free", 900.0, valid=False),
        run_of("hf", "best", "1 free", 700.0),
        run_of("hf", "best", "1 ckpt", 600.0),
        {"case": "S1", "side": "hf", "kind": "best", "setting": "2 free", "error": "out of memory"},
        run_of("hf", "best", "1 free", 710.0),
    ]
    named = {"case": "S1", "side": "hf", "kind": "best"}
    settings = [gpu.Setting(4, False), gpu.Setting(1, False), gpu.Setting(1, True)]
    assert gpu.fastest(results, named, settings) == [gpu.Setting(1, False)]
    assert gpu.fastest(results[:1], named, settings) == []
    assert [one["tokens_per_s"] for one in gpu.counted(results, "S1", "hf", "best")] == [700.0, 710.0]


def test_a_table_names_our_ratio_a_loss_that_differs_and_the_reason_of_a_side_without_figures(gpu):
    results = [
        run_of("ours", "best", "1 free", 1500.0, useful_tflops=50.0),
        run_of("hf", "best", "1 free", 1000.0),
        run_of("trl", "best", "1 free", 750.0, loss_last=1.6),
        {"case": "S1", "side": "liger", "kind": "best", "error": "skipped: liger-kernel is not installed: pip install liger-kernel"},
    ]
    ours, hf, trl, liger = gpu.table(results, 100.0).splitlines()[1:]
    assert "50.0%" in ours
    assert "1.50 x" in hf
    assert hf.split()[-2:] == ["yes", "True"]
    assert "2.00 x" in trl
    assert trl.split()[-2:] == ["NO", "True"]
    assert liger.endswith("skipped: liger-kernel is not installed: pip install liger-kernel")
