"""Every Triton kernel, interpreted on the CPU, against its formula in fp64: values and every gradient, odd shapes, each dtype.

The interpreter is chosen when a kernel is defined, so a child process runs the cases; and kernels are compiled for real cards in another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed here (it is made for Linux)")
HERE = Path(__file__).parent
# twice the spacing of the dtype, relative to the largest number of a tensor: one rounding, and one more in what it came from
BOUNDS = {"float32": 2e-6, "bfloat16": 2**-7, "float16": 2**-10}


def child(script: str, *arguments: str, **environment: str) -> list[dict]:
    """What tests/kernels/<script> prints: one JSON object a line."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("TRITON", "VGPT2"))} | environment
    env["PYTHONPATH"] = str(HERE.parents[1])
    done = subprocess.run([sys.executable, str(HERE / script), *arguments], env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def cases() -> list[dict]:
    return child("interpreted.py", TRITON_INTERPRET="1", VGPT2_KERNELS="triton")


@pytest.mark.parametrize("kernel", ["rms_norm", "rms_norm, many rows", "add_rms_norm", "swiglu", "rope"])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_values_and_gradients_are_the_fp64_formula_rounded(cases: list[dict], kernel: str, dtype: str):
    mine = [case for case in cases if case["kernel"] == kernel and case["dtype"] == dtype]
    assert {case["tokens"] for case in mine} == {5, 1, 0}
    for case in mine:
        assert case["launches"] == (2 if case["tokens"] else 0), "one forward, one backward"
        assert len(case["errors"]) == case["tensors"]
        assert all(error <= BOUNDS[dtype] for error in case["errors"].values()), case
        assert case["dtypes"] == [dtype]
