"""Prints the scores of two rows and every adapter gradient of a tiny model, a line by the references and a line by interpreted kernels."""

from __future__ import annotations

import json
import os

import torch

from vgpt2.config import LoRAConfig
from vgpt2.lora import add_lora, lora_parameters
from vgpt2.model import CausalLM, ModelConfig
from vgpt2.packing import pack


def scores_and_gradients() -> dict[str, list]:
    torch.manual_seed(0)
    model = CausalLM(ModelConfig("qwen3", 97, 48, 96, 2, 4, 2, 12, qk_norm=True))
    add_lora(model, LoRAConfig(rank=4), seed=0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.15)
    model.recompute_layers = 1
    token_logps = model(pack([(list(range(3, 20)), [True] * 17), ([5, 9, 11], [False, True, True])]))
    token_logps.sum().backward()
    return {"token_logps": token_logps.tolist()} | {name: p.grad.tolist() for name, p in lora_parameters(model).items()}


if __name__ == "__main__":
    for kernels in ("reference", "triton"):
        os.environ["VGPT2_KERNELS"] = kernels
        print(json.dumps(scores_and_gradients()))
