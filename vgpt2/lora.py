"""Low-rank adapters on a built model: y = W x + s B A x with W frozen, s = alpha / rank or alpha / sqrt(rank).

Adapters are attached from outside (`add_lora`) and folded into the weights when they are done (`merge_lora`); adapter_files.py stores them.
Hu et al. 2021, arXiv:2106.09685; rank-stabilised: Kalajdzievski 2023, arXiv:2312.03732. DoRA: dora.py, PiSSA: pissa.py.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgpt2 import dora, modules_to_save, pissa
from vgpt2.config import LoRAConfig
from vgpt2.projections import Factors, kept, multiply, rescaled
from vgpt2.qlora import NF4Linear
from vgpt2.targets import adapted, rank_of, scale_of


class LoRALinear(nn.Module):
    """A frozen linear layer, perhaps in NF4, and its adapter: lora_A (R, in), lora_B (out, R), fp32 (fp64 on an fp64 base).

    With DoRA also lora_magnitude_vector (out,). The adapter's matmuls run in the autocast dtype, without autocast in the wider of its own
    and the input's; the result has the base's.
    """

    row_squares: Tensor  # (out,) of the frozen weight, with DoRA

    def __init__(
        self, base: nn.Linear | NF4Linear, cfg: LoRAConfig, generator: torch.Generator, *, name: str = "", start: pissa.Start | None = None
    ) -> None:
        """name: what patterns decide by. start: PiSSA's, where it is known. Raises ValueError for a base that PiSSA cannot take apart."""
        super().__init__()
        self.base = base
        self.cfg = cfg
        self.scale = scale_of(name, cfg)
        self.start = self._taken_out(start, rank_of(name, cfg), name) if cfg.init == "pissa" else None
        if self.start:
            lora_A, lora_B = self.start.lora_A.clone(), self.start.lora_B.clone()
        else:
            dtype = torch.promote_types(torch.float32, self._base_dtype)
            lora_A = torch.empty(rank_of(name, cfg), base.in_features, dtype=dtype)
            nn.init.kaiming_uniform_(lora_A, a=math.sqrt(5), generator=generator)
            lora_B = torch.zeros(base.out_features, rank_of(name, cfg), dtype=dtype)
        device = base.device if isinstance(base, NF4Linear) else base.weight.device
        self.lora_A, self.lora_B = nn.Parameter(lora_A.to(device)), nn.Parameter(lora_B.to(device))
        self.register_parameter("lora_magnitude_vector", None)
        if cfg.use_dora:
            wide = self._weight(self._base_dtype).detach()
            self.register_buffer("row_squares", torch.linalg.vector_norm(wide, dim=1, dtype=lora_A.dtype).square(), persistent=False)
            self.lora_magnitude_vector = nn.Parameter(self._row_norms(self._base_dtype))

    def forward(self, x: Tensor) -> Tensor:
        if (factors := self.factors(x)) is not None:
            return multiply(kept(x), [factors])[0]
        dtype = self._dtype(x)
        dropped = F.dropout(x, self.cfg.dropout, self.training).to(dtype)
        update = self.scale * F.linear(F.linear(dropped, self.lora_A.to(dtype)), self.lora_B.to(dtype))
        if self.lora_magnitude_vector is None:
            y = self.base(x)
            return y + update.to(y.dtype)
        y = self._without_bias(x)
        return rescaled(y + update.to(y.dtype), self._row_scale(dtype), self.base.bias)

    def factors(self, x: Tensor) -> Factors | None:
        """What `multiply` needs of this layer, or None with dropout or where the base cannot be multiplied in the adapter's dtype."""
        dtype, base = self._dtype(x), self.base
        drops = self.training and self.cfg.dropout > 0
        if drops or not (torch.is_autocast_enabled(x.device.type) or self._base_dtype == dtype):
            return None
        if not isinstance(base, NF4Linear) and type(base) is not nn.Linear:
            return None
        weight = partial(base.dequantised, dtype) if isinstance(base, NF4Linear) else base.weight
        row_scale = None if self.lora_magnitude_vector is None else self._row_scale(dtype)
        return Factors(weight, base.bias, dtype, self.lora_A, self.lora_B, self.scale, row_scale)

    def merged(self) -> Tensor:
        """The weight that does what the layer does, in the adapter's dtype."""
        weight = self._weight(self.lora_A.dtype).addmm(self.lora_B, self.lora_A, alpha=self.scale)
        if self.lora_magnitude_vector is None:
            return weight
        norms = torch.linalg.vector_norm(weight, dim=1).clamp_min(torch.finfo(weight.dtype).tiny)
        return weight * (self.lora_magnitude_vector / norms)[:, None]

    def _row_scale(self, dtype: torch.dtype) -> Tensor:
        """DoRA's c (out,), through which the gradient of the magnitude goes."""
        return self.lora_magnitude_vector / self._row_norms(dtype)

    def _row_norms(self, dtype: torch.dtype) -> Tensor:
        return dora.row_norms(self._weight(dtype), self.row_squares, self.lora_A, self.lora_B, self.scale)

    def _without_bias(self, x: Tensor) -> Tensor:
        if isinstance(self.base, NF4Linear):
            return multiply(kept(x), [replace(self.base.factors(x), bias=None)])[0]
        return F.linear(x, self.base.weight)

    def _weight(self, dtype: torch.dtype) -> Tensor:
        return self.base.dequantised(dtype) if isinstance(self.base, NF4Linear) else self.base.weight.to(dtype)

    def _taken_out(self, start: pissa.Start | None, rank: int, name: str) -> pissa.Start:
        """PiSSA's start, which the base has lost."""
        if isinstance(self.base, NF4Linear):
            raise ValueError(f"{name}: is in nf4, and lora.init pissa takes the adapter out of the weight; set lora.init=kaiming")
        weight = self.base.weight
        if rank > min(weight.shape):
            raise ValueError(f"{name}: has {min(weight.shape)} singular values; set a lora.rank of {rank} down to that for pissa")
        start = start or pissa.principal(weight, rank, self.scale)
        pissa.take_out(weight, start, self.scale)
        return start

    @property
    def _base_dtype(self) -> torch.dtype:
        return self.base.dtype if isinstance(self.base, NF4Linear) else self.base.weight.dtype

    def _dtype(self, x: Tensor) -> torch.dtype:
        """Of the adapter's matmuls."""
        if torch.is_autocast_enabled(x.device.type):
            return torch.get_autocast_dtype(x.device.type)
        return torch.promote_types(x.dtype, self.lora_A.dtype)


def add_lora(model: nn.Module, cfg: LoRAConfig, *, seed: int, starts: Mapping[str, pissa.Start] | None = None) -> None:
    """Freezes `model`, puts adapters on the layers that `cfg` means and trains whole what cfg.modules_to_save means.

    A is drawn for each layer by its name and `seed`, whatever the other layers, and B is 0: the outputs stay bit-identical. With PiSSA and
    DoRA they stay the same to rounding. starts: PiSSA's by layer, where a folder knows them, which takes the place of singular values.
    Raises ValueError when a target matches no layer or the model already has adapters. The head never takes one: it is no matmul of
    its own, its rows go straight into the log-probabilities.
    """
    if adapters(model):
        raise ValueError("lora: the model already has adapters; merge them first, or load the folder into them")
    layers = linear_layers(model)
    names = adapted(layers, cfg)
    model.requires_grad_(False)
    modules_to_save.train_whole(model, cfg)
    for name in names:
        generator = torch.Generator().manual_seed(random.Random(f"{seed}/lora/{name}").getrandbits(63))
        layer = LoRALinear(layers[name], cfg, generator, name=name, start=starts[name] if starts else None)
        model.set_submodule(name, layer.train(layers[name].training))


def linear_layers(model: nn.Module) -> dict[str, nn.Linear | NF4Linear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | NF4Linear)}


def adapters(model: nn.Module) -> dict[str, LoRALinear]:
    """The adapted layers of `model` by the names their base layers have in the bare model."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}


def lora_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Adapter parameters by their names in the model, in the model's order; what is trained whole is none."""
    ends = (".lora_A", ".lora_B", ".lora_magnitude_vector")
    return {name: parameter for name, parameter in model.named_parameters() if name.endswith(ends)}


@torch.no_grad()
def merge_lora(model: nn.Module) -> None:
    """Adds every adapter to its weight, W + s B A summed in fp32 and rounded once to W's dtype, and puts the bare layers back.

    Everything stays frozen. Raises ValueError when there is nothing to merge, and for a base in NF4, which the sum would round again.
    """
    layers = adapters(model)
    if not layers:
        raise ValueError("lora: the model has no adapters to merge")
    for name, layer in layers.items():
        base = layer.base
        if isinstance(base, NF4Linear):
            raise ValueError(f"{name}: is in nf4, which merging would round anew; merge into the 16-bit folder: python -m vgpt2.export")
        base.weight.copy_(layer.merged())
        model.set_submodule(name, base)
        dtype = base.weight.dtype
    modules_to_save.fold(model, layer.cfg, dtype)
