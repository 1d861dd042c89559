"""VGPT2: a general language model made expert on one SQL Server database, in pure PyTorch."""

__version__ = "0.1.0"
