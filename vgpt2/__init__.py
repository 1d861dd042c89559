"""VGPT2: a general language model made expert on one SQL Server database, in pure PyTorch."""

import os

__version__ = "0.1.0"

# Before torch is imported anywhere. On a busy machine an OpenMP thread that spins takes the core from the one it waits for: with two
# threads on two shared cores a training step of 5 s took 60 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
