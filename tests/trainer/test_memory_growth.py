"""The memory of a run on the CPU does not grow with its steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vgpt2.cpu_layout import has_blocks
from vgpt2.run import PRIMITIVE_CACHES

SCRIPT = """
import json, random, sys
from pathlib import Path
import torch
from torch import nn
from vgpt2.config import TrainConfig
from vgpt2.run import choose_device

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

torch.set_num_threads(1)
choose_device(TrainConfig.model_validate({"stage": "sft", "device": "cpu", "model": {"path": "none"}}))
layer = nn.Sequential(nn.Linear(512, 1024), nn.SiLU(), nn.Linear(1024, 512))
tokens, found = random.Random(0), []
for step in range(76):
    x = torch.randn(tokens.randint(500, 1000), 512, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    if step in (30, 75):
        found.append(resident_mib())
print(json.dumps(found))
"""


def growth_mib(**variables: str) -> int:
    """Between the 30th and the 75th step of other lengths."""
    root = str(Path(__file__).parents[2])
    environment = {key: value for key, value in os.environ.items() if key not in PRIMITIVE_CACHES}
    environment |= {"PYTHONPATH": root, **variables}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    return after - before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads its memory where Linux tells it")
@pytest.mark.skipif(not has_blocks(torch.empty(0, dtype=torch.bfloat16)), reason="oneDNN has no bf16 on this processor")
def test_steps_of_other_lengths_leave_nothing_behind():
    assert growth_mib() < 60
    assert growth_mib(**dict.fromkeys(PRIMITIVE_CACHES, "1024")) > 120, "the caches that are bounded are not what grows"
