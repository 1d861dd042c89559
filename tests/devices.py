"""The devices that a test runs on: the CPU everywhere, and by `pytest -m gpu` a CUDA device, on the same lines.

Without a mark of its own, what runs on the CPU is what runs on the card: only the device is another.
"""

import pytest
import torch

GPU = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))
CUDA = pytest.param("cuda", marks=GPU)
DEVICES = ("cpu", CUDA)


def on_gpu(test):
    """A test that has no form on the CPU."""
    for mark in GPU:
        test = mark(test)
    return test
