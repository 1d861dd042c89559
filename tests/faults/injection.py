"""Runs a Python command with a fault at one of its file events; no product code knows of it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="file events are followed through /proc")


@dataclass
class Outcome:
    code: int
    events: list[str]  # "fsync /step-000003/weights.bin", in order
    stdout: str
    stderr: str


def run(argv: Sequence[str], root: Path, *, at: int = 0, action: str = "count", skip: str = "", timeout_s: float = 120) -> Outcome:
    """Runs `python argv...`; at its file event number `at` (from 1) below `root` the action happens.

    Actions: kill, an errno's name (raised once), full (ENOSPC at that and every later event that takes space), wait, slowSECONDS.
    """
    log = root.parent / f"{root.name}.events"
    log.unlink(missing_ok=True)
    environment = faulty_environment(root, log, at=at, action=action, skip=skip)
    done = subprocess.run(
        [sys.executable, *argv], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    events = log.read_text("utf-8").splitlines() if log.exists() else []
    return Outcome(done.returncode, events, done.stdout, done.stderr)


def faulty_environment(root: Path, log: Path, *, at: int = 0, action: str = "count", skip: str = "") -> dict[str, str]:
    faults = {"FAULT_ROOT": str(root.resolve()), "FAULT_AT": str(at), "FAULT_ACTION": action, "FAULT_LOG": str(log), "FAULT_SKIP": skip}
    return {**os.environ, **faults, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), str(REPOSITORY)])}
