"""What the GPU benchmark trains on: cases, sides, settings, and equal random weights for whoever builds the model."""

import importlib.util
import random
import shutil
import tempfile
import zlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from workload import Row, make_rows

from vgpt2.model_config import ModelConfig
from vgpt2.step_bytes import weight_count

LR = 1e-4
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SIZES = {
    "7b": ModelConfig("qwen2", 152_064, 3584, 18_944, 28, 28, 4, 128, qkv_bias=True),
    "14b": ModelConfig("qwen2", 152_064, 5120, 13_824, 48, 40, 8, 128, qkv_bias=True),
    "32b": ModelConfig("qwen2", 152_064, 5120, 27_648, 64, 40, 8, 128, qkv_bias=True),
    "tiny": ModelConfig("qwen2", 2048, 64, 160, 4, 4, 2, 16, qkv_bias=True),
}


@dataclass(frozen=True)
class Case:
    """`per_step` rows of at most `longest` tokens make a step: SFT rows, DPO pairs or KTO answers. rank None: every weight is trained."""

    stage: str
    size: str
    rank: int | None
    longest: int
    per_step: int
    lengths: str
    sides: tuple[str, ...]
    nf4: bool = False

    @property
    def has_8_bit_moments(self) -> bool:
        return self.nf4 or self.rank is None

    def scaled(self) -> "Case":
        """The same on the tiny model, for a trial on any machine."""
        return replace(self, size="tiny", rank=self.rank and 8, longest=self.longest // 32)

    def rows(self, steps: int) -> list[Row]:
        return make_rows(self.per_step * steps, self.longest, lengths=self.lengths)


PACKED = ("trl-packed", "trl-packed-liger")
SFT = ("ours", "hf", "liger", "trl", *PACKED, "unsloth")
CASES = {
    "S1": Case("sft", "7b", 128, 4096, 4, "fixed", SFT),
    "S2": Case("sft", "7b", 128, 4096, 4, "mix", SFT),
    "S3": Case("sft", "7b", 256, 8192, 1, "fixed", ("ours", *PACKED, "unsloth")),
    "P1": Case("dpo", "7b", 128, 2048, 2, "mix", ("ours", "trl", "trl-liger")),
    "P1F": Case("dpo", "7b", 128, 2048, 2, "fixed", ("ours", "trl", "trl-liger")),
    "P2": Case("kto", "7b", 128, 2048, 4, "mix", ("ours", "trl", "trl-liger")),
    "P2F": Case("kto", "7b", 128, 2048, 4, "fixed", ("ours", "trl", "trl-liger")),
    "Q1": Case("sft", "32b", 128, 4096, 1, "fixed", ("ours", "ours-offload", "hf", "trl-packed", "unsloth"), nf4=True),
    "Q2": Case("sft", "14b", 128, 4096, 1, "fixed", ("ours", "hf", "trl-packed", "unsloth"), nf4=True),
    "F1": Case("sft", "7b", None, 4096, 1, "fixed", ("ours", "hf", "trl-packed")),
}
SIDES = tuple(dict.fromkeys(side for case in CASES.values() for side in case.sides))


@dataclass(frozen=True)
class Setting:
    """`rows` of one forward and backward, of one step several; checkpointing: every layer runs again, else none (ours: as planned)."""

    rows: int
    checkpointing: bool

    def __str__(self) -> str:
        return f"{self.rows} {'ckpt' if self.checkpointing else 'free'}"


def settings_of(case: Case, side: str, kind: str) -> list[Setting]:
    """same: what every side is given. best: what may be a side's fastest under the cap; all are tried, the fastest counts."""
    if kind == "same":
        return [] if side == "ours-offload" else [Setting(case.per_step, True)]
    if side.startswith("ours"):
        return [Setting(1, False)]
    fewest = 2 if case.stage == "kto" else 1  # TRL's KTO makes its mismatched answers within a batch
    candidates = [Setting(case.per_step, False), Setting(fewest, False), Setting(fewest, True)]
    return [setting for setting in dict.fromkeys(candidates) if setting != Setting(case.per_step, True)]


def missing(case: Case, side: str) -> str | None:
    """Why a side cannot run here, if it cannot."""
    needed = {"liger": "liger_kernel", "unsloth": "unsloth"}
    for part in side.split("-"):
        if part in needed and importlib.util.find_spec(needed[part]) is None:
            package = needed[part].replace("_", "-")
            return f"{package} is not installed: pip install {package}"
    if side == "unsloth":
        size, free = 2 * weight_count(SIZES[case.size]), shutil.disk_usage(tempfile.gettempdir()).free
        if size * 1.05 > free:
            return f"it loads from a folder of {size / 1e9:.0f} GB; {tempfile.gettempdir()} has {free / 1e9:.0f} GB: set TMPDIR"
    return None


@torch.no_grad()
def fill(name: str, tensor: torch.Tensor) -> None:
    """Random values that follow from the parameter's name alone, which is Hugging Face's on both sides; norms are 1, biases 0."""
    if tensor.ndim < 2:
        tensor.fill_(1.0 if "norm" in name else 0.0)
        return
    seed = random.Random(zlib.crc32(name.encode())).getrandbits(62)
    tensor.normal_(0.0, 0.02, generator=torch.Generator(tensor.device).manual_seed(seed))


def filled(model: nn.Module) -> Any:
    for name, parameter in model.named_parameters():
        fill(name, parameter)
    return model
