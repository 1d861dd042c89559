"""The devices that a test runs on: the CPU everywhere, a CUDA device where there is one; `pytest -m gpu` runs the latter alone."""

import pytest
import torch

GPU = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))
DEVICES = ("cpu", pytest.param("cuda", marks=GPU))


def on_gpu(test):
    """A test that has no form on the CPU."""
    for mark in GPU:
        test = mark(test)
    return test
