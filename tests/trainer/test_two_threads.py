import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.injection import REPOSITORY


@pytest.mark.slow
def test_six_fresh_processes_on_two_threads_end_with_equal_bytes(model):
    """INVARIANT 48, for each stage and for a full fine-tune, whose embedding gets its gradient by scattered rows; three run at a time."""
    paths = os.pathsep.join([str(REPOSITORY / "tests"), str(REPOSITORY)])
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "PYTHONPATH": paths}
    command = [sys.executable, str(Path(__file__).with_name("two_threads.py")), str(model)]
    said = []
    for _ in range(2):
        runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        for run in runs:
            out, err = run.communicate(timeout=280)
            assert run.returncode == 0, err
            said.append(out)
    assert len(said[0].splitlines()) == 5
    assert set(said) == {said[0]}
