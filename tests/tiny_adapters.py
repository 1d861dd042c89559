"""Tiny models with adapters that have left their starting point, ours and PEFT's: what the tests of adapters share."""

from __future__ import annotations

from pathlib import Path

import peft
import tiny_models
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from vgpt2.adapter_files import save_adapter
from vgpt2.config import LoRAConfig
from vgpt2.lora import add_lora, lora_parameters
from vgpt2.model import CausalLM
from vgpt2.packing import pack

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
IDS = torch.tensor([[5, 9, 2, 40, 31, 7, 7, 0, 96, 12]])
PACKED = pack([(IDS[0].tolist(), [False] * 4 + [True] * 6)])


def llama(dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 97}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)).to(dtype).eval()


def move(model: nn.Module, *, by: float = 0.05) -> None:
    """Lets every trainable parameter leave its starting point, by its place in the model."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(by * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))


def adapted(dtype: torch.dtype = torch.float32, **knobs: object) -> LlamaForCausalLM:
    """A model whose adapters have left their starting point."""
    model = llama(dtype)
    add_lora(model, LoRAConfig(**{"rank": 4, "alpha": 8.0, **knobs}), seed=0)
    move(model)
    return model


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model(IDS).logits


def ours(family: str, dtype: torch.dtype = torch.float64, **knobs: object) -> CausalLM:
    """Our model of a family with adapters that have left their starting point."""
    model = tiny_models.twin(tiny_models.oracle(family, dtype=dtype))
    add_lora(model, LoRAConfig(**{"rank": 4, "alpha": 8.0, **knobs}), seed=0)
    move(model)
    return model


def theirs(family: str, folder: Path, dtype: torch.dtype = torch.float64) -> peft.PeftModel:
    """PEFT's model of the same family and weights with the adapter in `folder`, trainable."""
    return peft.PeftModel.from_pretrained(tiny_models.oracle(family, dtype=dtype), folder, is_trainable=True).eval()


def saved(model: CausalLM, folder: Path) -> Path:
    save_adapter(model, folder, "base")
    return folder


def loss_of(model: PreTrainedModel | peft.PeftModel) -> tuple[Tensor, Tensor]:
    """Logits (T, V) and minus the sum of the scored log-probabilities, as our model gives them for PACKED."""
    found = model(IDS).logits[0]
    return found, -found.log_softmax(-1)[3:9].gather(1, IDS[0, 4:, None]).sum()


def twin_parameters(model: CausalLM, other: peft.PeftModel) -> list[tuple[str, nn.Parameter, nn.Parameter]]:
    """(name, ours, PEFT's) of every adapter parameter."""
    named = dict(other.named_parameters())
    return [(name, parameter, named[f"base_model.model.{name}.default.weight"]) for name, parameter in lora_parameters(model).items()]
