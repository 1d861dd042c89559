"""What the GPU benchmark trains on: cases, shapes, and equal random weights for whoever builds the model."""

import random
import zlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from workload import Row, make_rows

from vgpt2.model_config import ModelConfig

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
    peers: tuple[str, ...]
    nf4: bool = False

    def scaled(self) -> "Case":
        """The same on the tiny model, for a trial on any machine."""
        rank = self.rank and 8
        return Case(self.stage, "tiny", rank, self.longest // 32, self.per_step, self.lengths, self.peers, self.nf4)

    def rows(self, steps: int) -> list[Row]:
        return make_rows(self.per_step * steps, self.longest, lengths=self.lengths)


CASES = {
    "S1": Case("sft", "7b", 128, 4096, 4, "fixed", ("trl", "trl-packed")),
    "S2": Case("sft", "7b", 128, 4096, 4, "mix", ("trl", "trl-packed")),
    "S3": Case("sft", "7b", 256, 8192, 1, "fixed", ("trl", "trl-packed")),
    "P1": Case("dpo", "7b", 128, 2048, 2, "mix", ("trl",)),
    "P2": Case("kto", "7b", 128, 2048, 4, "mix", ("trl",)),
    "Q1": Case("sft", "32b", 128, 4096, 1, "fixed", (), nf4=True),
    "F1": Case("sft", "7b", None, 4096, 1, "fixed", ("trl",)),
}


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
