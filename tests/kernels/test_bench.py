"""The benchmark where nothing can be timed: errors of every form, and a file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernels.bench import errors
from kernels.bench_cases import ODD, cases

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("TRITON", "VGPT2"))}
    return subprocess.run([sys.executable, "-m", "kernels.bench", *arguments], cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is something to time here")
def test_without_cuda_it_says_so_in_a_line_and_prints_errors(tmp_path: Path):
    done = bench("--json", str(tmp_path / "new" / "kernels.json"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no CUDA device, so there is nothing to time; ")
    rows = json.loads((tmp_path / "new" / "kernels.json").read_text("utf-8"))["rows"]
    assert {row["kernel"] for row in rows} == {"rms_norm", "add_rms_norm", "swiglu", "rope", "linear_logps", "nf4"}
    assert {row["form"] for row in rows} >= {"eager", "reference"}
    bounds = {"float32": 2e-6, "bfloat16": 2**-7, "float16": 2**-10}
    assert all(max(row["value_error"], row["gradient_error"] or 0) <= bounds[row["dtype"]] for row in rows)
    assert len(done.stdout.splitlines()) == 2 + len(rows)


def test_impossible_sizes_are_refused():
    done = bench("--tokens", "0")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_4_bit_peer_reads_the_same_bytes():
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not made for this system")
    (case,) = (case for case in cases(ODD, 5, 5, torch.bfloat16, torch.device("cpu")) if case.matrix)
    assert errors(case, "bitsandbytes")["value_error"] <= 2**-8
    assert errors(case, "reference")["value_error"] <= 2**-8
