"""Embedding, head and norms that are trained whole beside adapters: an fp32 parameter takes the place of the frozen one.

PEFT's word for them is modules_to_save. The function at the start is the same: the residual stream keeps its dtype, and the head's
matmul takes its weight in the dtype of the hidden states (see model.py). An embedding that is also the head stays one parameter.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgpt2.config import LoRAConfig
from vgpt2.targets import is_end, trained_whole


class WideEmbedding(nn.Module):
    """Rows of an fp32 table (V, D) in the dtype that the residual stream has in the rest of the model."""

    def __init__(self, weight: nn.Parameter, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = weight
        self.dtype = dtype

    def forward(self, input_ids: Tensor) -> Tensor:
        return F.embedding(input_ids, self.weight).to(self.dtype)


def train_whole(model: nn.Module, cfg: LoRAConfig) -> None:
    """Gives the modules that cfg.modules_to_save means trainable copies of their weights, in fp32 (fp64 in an fp64 model).

    Raises ValueError as targets.trained_whole does.
    """
    copies: dict[int, nn.Parameter] = {}
    for name, old in weights_of(model, cfg).items():
        if id(old) not in copies:
            copies[id(old)] = nn.Parameter(old.detach().to(torch.promote_types(old.dtype, torch.float32), copy=True))
        module = model.get_submodule(name)
        module.weight = copies[id(old)]
        if isinstance(module, nn.Embedding):
            model.set_submodule(name, WideEmbedding(module.weight, old.dtype).train(module.training))


@torch.no_grad()
def fold(model: nn.Module, cfg: LoRAConfig, dtype: torch.dtype) -> None:
    """Rounds what was trained whole to `dtype`, frozen, and puts the bare embedding back."""
    folded: dict[int, nn.Parameter] = {}
    for name, old in weights_of(model, cfg).items():
        folded.setdefault(id(old), nn.Parameter(old.detach().to(dtype), requires_grad=False))
        module = model.get_submodule(name)
        if isinstance(module, WideEmbedding):
            module = nn.Embedding(old.shape[0], old.shape[1], _weight=folded[id(old)])
            model.set_submodule(name, module)
        module.weight = folded[id(old)]


def weights_of(model: nn.Module, cfg: LoRAConfig) -> dict[str, nn.Parameter]:
    """The weights of the modules that cfg.modules_to_save means, by the modules' names; two names of one tensor stay two."""
    modules = dict(model.named_modules())
    names = trained_whole(modules, cfg, is_tied=is_tied(model)) if cfg.modules_to_save else []
    return {name: modules[name].weight for name in names}


def is_tied(model: nn.Module) -> bool:
    """Whether the embedding is also the head."""
    ends = [module.weight for name, module in model.named_modules() if is_end(name)]
    return len(set(map(id, ends))) < len(ends)
