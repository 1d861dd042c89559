"""Every Triton kernel, interpreted on the CPU, against its formula in fp64: values and every gradient, odd shapes, each dtype.

The interpreter is chosen when a kernel is defined, so a child process runs the cases; another compiles the kernels for real cards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from devices import on_gpu
from torch.testing import assert_close

pytest.importorskip("triton", reason="triton is not installed here; it is made for Linux")
HERE = Path(__file__).parent
# twice the spacing of the dtype, relative to the largest number of a tensor: one rounding, and one more in what it came from
BOUNDS = {"float32": 2e-6, "bfloat16": 2**-7, "float16": 2**-10}
# of 5 tokens, 1 token and none; V = 123 in 3 tiles, 3 scored positions at once, walked forward and for the weight's gradient
LAUNCHES = {
    "rms_norm": (2, 2, 0),
    "rms_norm, many rows": (2, 2, 0),
    "add_rms_norm": (2, 2, 0),
    "swiglu": (2, 2, 0),
    "rope": (2, 2, 0),
    "nf4": (1, 1, 0),
    "linear_logps, all labels": (12, 6, 0),
    "linear_logps, some labels": (6, 6, 0),
    "linear_logps, no labels": (0, 0, 0),
}


def child(script: str, folder: Path, **environment: str) -> list[dict]:
    """What tests/kernels/<script> prints: one JSON object a line."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TRITON", "VGPT2"))}
    env = kept | environment | {"PYTHONPATH": str(HERE.parents[1]), "TRITON_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, str(HERE / script)], env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    return child("triton_cases.py", tmp_path_factory.mktemp("cache"), TRITON_INTERPRET="1", VGPT2_KERNELS="triton")


@pytest.mark.parametrize("kernel", LAUNCHES)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_values_and_gradients_are_the_fp64_formula_rounded(cases: list[dict], kernel: str, dtype: str):
    mine = {case["tokens"]: case for case in cases if case["kernel"] == kernel and case["dtype"] == dtype}
    assert [mine[tokens]["launches"] for tokens in (5, 1, 0)] == list(LAUNCHES[kernel])
    check(mine, kernel, dtype)


def test_a_whole_model_scores_and_learns_by_the_kernels_as_by_the_references(tmp_path: Path):
    """fp32, norms on queries and keys, adapters, a layer that runs again in the backward pass; one scale for all gradients of a tensor."""
    by_reference, by_kernel = child("triton_model.py", tmp_path, TRITON_INTERPRET="1")
    assert by_kernel != by_reference, "the kernels were not used"
    assert by_kernel.keys() == by_reference.keys()
    assert len(by_kernel) == 1 + 2 * 2 * 7
    for name, ours in by_kernel.items():
        expected = torch.tensor(by_reference[name])
        assert_close(torch.tensor(ours), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@on_gpu
def test_on_a_card_they_are_too(tmp_path: Path):
    found = child("triton_cases.py", tmp_path, VGPT2_KERNELS="triton")
    for kernel in LAUNCHES:
        for dtype in BOUNDS:
            check({case["tokens"]: case for case in found if case["kernel"] == kernel and case["dtype"] == dtype}, kernel, dtype)


def check(mine: dict[int, dict], kernel: str, dtype: str) -> None:
    assert set(mine) == {5, 1, 0}
    for case in mine.values():
        assert len(case["errors"]) == {"nf4": 1, "swiglu": 3, "rope": 4, "add_rms_norm": 5}.get(kernel, 3)  # outputs and inputs
        assert max(case["errors"]) <= BOUNDS[dtype], case
        assert set(case["dtypes"]) - ({"float32"} if "linear_logps" in kernel else set()) <= {dtype}, "scores are fp32"


def test_every_kernel_compiles_for_the_cards_it_is_meant_for_and_spills_nothing(tmp_path: Path):
    """A6000 (8.6), A100 (8.0), H100 and H200 (9.0), at the widths of a 7B model, by Triton's own compiler and assembler."""
    built = child("triton_builds.py", tmp_path)
    assert {(each["kernel"], each["capability"]) for each in built} == {
        (kernel, capability)
        for kernel in ("rms_norm", "rms_norm_backward", "swiglu", "swiglu_backward", "rope", "take_in", "logits_gradient", "nf4")
        for capability in (80, 86, 90)
    }
    for each in built:
        assert each["stack_bytes"] == 0, each
        assert each["registers"] * each["threads"] <= 65_536, each


def test_the_kernels_module_never_needs_triton():
    """INVARIANT 47: where the package is absent, every operation runs on its reference."""
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, kernels.dispatch as dispatch\n"
        "dispatch.has_triton = lambda: False\n"
        "from kernels.rms_norm import rms_norm\n"
        "rms_norm(torch.ones(2, 3), torch.ones(3), 0.0)\n"
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith("VGPT2")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=HERE.parents[1])
    assert done.returncode == 0, done.stderr
