"""How the CPU benchmark reads its own results; the measurement itself takes an hour and is no test."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def cpu(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("cpu")


def test_the_readmes_table_is_what_the_benchmark_prints_of_its_results(cpu):
    record = json.loads((ROOT / "benchmarks" / "results" / "cpu.json").read_text("utf-8"))
    assert cpu.readme(record) in (ROOT / "README.md").read_text("utf-8")


def run_of(case: str, lengths: str, rate: float, loss: float = 2.0) -> dict:
    return {"case": case, "lengths": lengths, "tokens_per_cpu_s": rate, "first_loss": loss, "peak_rss_mib": 1200}


def test_a_ratio_is_of_medians_within_one_kind_of_lengths(cpu):
    results = [run_of("ours-sft", "mix", rate) for rate in (500.0, 600.0, 900.0)] + [run_of("trl-sft", "mix", 200.0)]
    results += [run_of("ours-sft", "fixed", 400.0), run_of("trl-sft", "fixed", 400.0)]
    assert cpu.our_ratio(results, "mix", "trl-sft") == 3.0
    assert cpu.our_ratio(results, "fixed", "trl-sft") == 1.0
    assert [line.split()[4] for line in cpu.table(results).splitlines()[1:]] == ["1.00", "3.00", "1.00", "1.00"]


def test_sides_that_did_not_train_on_the_same_thing_are_named(cpu):
    results = [run_of("ours-sft", "mix", 1.0), run_of("trl-sft", "mix", 1.0, loss=2.0005), run_of("peft-sft", "mix", 1.0, loss=2.1)]
    results += [run_of("trl-sft-packed", "mix", 1.0, loss=2.3), run_of("ours-sft", "fixed", 1.0)]
    results += [run_of("trl-sft-packed", "fixed", 1.0, loss=float("nan"))]
    assert cpu.disagreements(results) == [
        "mix peft-sft: first loss 2.1, ours 2.0",
        "fixed trl-sft-packed: first loss nan, ours 2.0",
    ]
