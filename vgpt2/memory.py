"""The memory plan: the fewest recomputed layers that fit, or what would fit instead, as a table.

    plan = chosen(cfg, setup_of(model, cfg, compute=2), batch, room)       # refuses what does not fit

The layers at the front are the recomputed ones: when their turn comes in the backward pass, what the others kept is gone. Offloaded, the
inputs of all but the last of them lie in the host's memory, and the next one is on its way back while a layer runs again.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from vgpt2.config import TrainConfig
from vgpt2.model_config import ModelConfig
from vgpt2.packing import label_count, stored_tokens
from vgpt2.step_bytes import (
    GIB,
    MicroBatch,
    Setup,
    checkpoint_bytes,
    embedding_backward_bytes,
    fixed_bytes,
    head_bytes,
    layer_backward_bytes,
    layer_bytes,
    linear_shapes,
    norm_backward_bytes,
    outside_bytes,
    page_locked,
    paged_bytes,
    reference_bytes,
    stepping_bytes,
    waiting_bytes,
    whole_counts,
)
from vgpt2.targets import EMBEDDING, adapted

WORKSPACE = int(0.35 * GIB)  # cuBLAS, flash attention's scratch and what the allocator rounds up
SAFE = 0.97  # of the room is what `auto` fills: the allocator cannot use the gaps between its blocks


@dataclass(frozen=True)
class Plan:
    """Bytes by what they are for at the fullest moment of a step, which `moment` names; `peak` is their sum, without the host's."""

    recomputed: int  # layers
    moment: str
    rows: dict[str, int]
    host: int = 0  # page-locked bytes of the host's memory
    paged: int = 0  # bytes of moments that wait there between two steps

    @property
    def peak(self) -> int:
        return sum(self.rows.values())


def setup_of(model: ModelConfig, cfg: TrainConfig, *, compute: int, on_cuda: bool = True) -> Setup:
    """compute: bytes of a number in the matmuls. Raises ValueError for names in cfg.lora that the model has not."""
    if cfg.lora:
        adapted([name for index in range(model.num_hidden_layers) for name, _ in linear_shapes(model, index)], cfg.lora)
        whole_counts(model, cfg.lora)
    return Setup(
        model,
        cfg.lora,
        compute,
        nf4=cfg.model.quantization == "nf4",
        eight_bit_moments=cfg.optim.kind == "adamw8bit",
        paged=cfg.optim.paged,
        in_backward=cfg.optim.in_backward,
        on_cuda=on_cuda,
        offload=cfg.model.offload_checkpoints,
    )


def fullest(cfg: TrainConfig, tokens: int) -> MicroBatch:
    """The micro-batch of `tokens` that takes the most: every token scored, in a preference stage nearly all a prompt seen twice."""
    return MicroBatch(tokens, tokens, tokens if cfg.stage == "sft" else 2 * tokens)


def fullest_of(examples: Sequence[Any], steps: Sequence[Sequence[Sequence[int]]], *, budget: int) -> MicroBatch:
    """The most tokens, scored ones and keys that any micro-batch of the steps' example indices has.

    Where a micro-batch is a step, KTO's mismatched answers may lie in it too, at most `budget` tokens with them.
    """
    sizes = [_size(example.tokens, example.sequences) for example in examples]
    with_all = [[answer.sequence for answer in getattr(example, "answers", ())] for example in examples]
    wholes = [_size(stored_tokens(sequences), sequences) if sequences else size for size, sequences in zip(sizes, with_all)]
    totals = [_total(sizes, rows) for step in steps for rows in step]
    wider = [_total(wholes, step[0]) for step in steps if len(step) == 1]
    return MicroBatch(*map(max, zip(*totals, *(total for total in wider if total[0] <= budget))))


def _size(tokens: int, sequences: Sequence[tuple[Any, Any]]) -> tuple[int, int, int]:
    ids, masks = zip(*sequences)
    return tokens, sum(map(label_count, masks)), sum(map(len, ids))


def _total(sizes: Sequence[tuple[int, int, int]], rows: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(sizes[index] for index in rows))))


def room_on(device: torch.device, cap_gib: float | None) -> int | None:
    """Bytes for tensors: the cap, else what is free on the card; None on a CPU without a cap, whose limit nobody knows."""
    if cap_gib is not None:
        return int(cap_gib * GIB)
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def host_room() -> int | None:
    """Bytes of this machine's memory; None where the system does not tell."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None


def require_on_host(found: Plan, room: int | None) -> None:
    """Raises ValueError when what waits in the host's memory takes more than its `room` bytes, naming the larger: inputs or moments."""
    if room is not None and found.host + found.paged > room:
        needs = f"needs {(found.host + found.paged) / GIB:.1f} GiB of the host's {room / GIB:.1f}"
        if found.paged > found.host:
            raise ValueError(f"optim.paged: {needs}; train fewer weights, or set it to false")
        raise ValueError(f"model.offload_checkpoints: {needs}; lower batch.micro_batch_tokens, or set it to false")


def chosen(cfg: TrainConfig, setup: Setup, batch: MicroBatch, room: int | None) -> Plan:
    """The plan that model.gradient_checkpointing asks for.

    Raises ValueError when it takes more than `room` bytes, with the nearest setting that does not; no room given: nothing is refused.
    """
    asked, layers = cfg.model.gradient_checkpointing, setup.model.num_hidden_layers
    fewest = fewest_recomputed(setup, batch, room and int(SAFE * room)) or fewest_recomputed(setup, batch, room)
    everything = plan(setup, batch, layers)
    if asked == "auto":
        found = fewest or everything
    else:
        found = everything if asked is True else plan(setup, batch, min(int(asked), layers))
    if room is None or found.peak <= room:
        return found
    if fewest:
        needs = f"needs {found.peak / GIB:.1f} GiB of {room / GIB:.1f} with {found.recomputed} of {layers} layers recomputed"
        raise ValueError(f"model.gradient_checkpointing: {needs}; {fewest.recomputed} fit, so set it to auto")
    needs = f"needs {everything.peak / GIB:.1f} GiB of {room / GIB:.1f} with every layer recomputed"
    raise ValueError(f"batch.micro_batch_tokens {cfg.batch.micro_batch_tokens}: {needs}; {_cure(cfg, setup, room)}")


def smallest_tokens(cfg: TrainConfig) -> int:
    """The least that batch.micro_batch_tokens may be: one pack, one pair or one answer is never cut."""
    return {"sft": cfg.batch.pack_tokens, "dpo": 2 * cfg.data.cutoff_tokens, "kto": cfg.data.cutoff_tokens}[cfg.stage]


def largest_tokens(cfg: TrainConfig, setup: Setup, room: int, *, step: int) -> int:
    """The most tokens of a micro-batch, a multiple of `step`, that fit with every layer recomputed; 0 where none do."""
    layers, most = setup.model.num_hidden_layers, 2**22 // step
    return step * bisect_right(range(1, most), room, key=lambda n: plan(setup, fullest(cfg, n * step), layers).peak)


def _cure(cfg: TrainConfig, setup: Setup, room: int) -> str:
    smallest = smallest_tokens(cfg)
    recompute = "" if cfg.model.gradient_checkpointing in (True, "auto") else ", and model.gradient_checkpointing=auto"
    if tokens := largest_tokens(cfg, setup, room, step=smallest):
        return f"set it to {tokens}{recompute}"
    leaner = {"model.offload_checkpoints": replace(setup, offload=True), "optim.paged": replace(setup, paged=setup.eight_bit_moments)}
    for key, less in leaner.items():
        if tokens := largest_tokens(cfg, less, room, step=smallest):
            lower = f"set it to {tokens} and " if tokens < cfg.batch.micro_batch_tokens else "set "
            return f"{lower}{key}=true{recompute}"
    if tokens := largest_tokens(cfg, setup, room, step=128):
        longest = tokens // 2 if cfg.stage == "dpo" else tokens
        return f"rows of {longest} tokens fit, so lower data.cutoff_tokens" + (" and batch.pack_tokens" if cfg.stage == "sft" else "")
    if setup.lora is None:
        return "no row fits: train adapters (lora), or set optim.in_backward with optim.kind adamw8bit"
    return "no row fits: take a smaller model" if setup.nf4 else "no row fits: set model.quantization=nf4"


def fewest_recomputed(setup: Setup, batch: MicroBatch, room: int | None) -> Plan | None:
    """The plan with the fewest recomputed layers whose peak is at most `room` bytes; None where none is. No room given: no layer is."""
    plans = (plan(setup, batch, recomputed) for recomputed in range(setup.model.num_hidden_layers + 1))
    return next((one for one in plans if room is None or one.peak <= room), None)


def plan(setup: Setup, batch: MicroBatch, recomputed: int) -> Plan:
    """What a step holds at its fullest moment when the first `recomputed` layers are."""
    layers = setup.model.num_hidden_layers
    one = checkpoint_bytes(setup, batch)
    away = max(recomputed - 1, 0) if setup.offload else 0
    checkpoints = (recomputed - away) * one
    kept = sum(layer_bytes(setup, batch, index) for index in range(recomputed, layers))
    outside = outside_bytes(setup, batch)
    waiting = waiting_bytes(setup)
    in_layer = waiting + layer_backward_bytes(setup, batch)
    moments = {  # of the backward pass: kept by the layers, and what comes and goes beside it
        "head": (kept, head_bytes(setup, batch)),
        "last norm": (kept, waiting + norm_backward_bytes(setup, batch)),
        "layer": (kept, in_layer),
    }
    if recomputed:
        again = max(layer_bytes(setup, batch, index) for index in range(recomputed))
        # the later layers are done with; the layer's input is a checkpoint already
        moments["layer again"] = (0, again - one + in_layer + (one if away else 0))
    if setup.trains(EMBEDDING):
        beside = max(2 * waiting, stepping_bytes(setup, setup.model.vocab_size * setup.model.hidden_size))  # the other gradient and the sum
        moments["embedding"] = (0, embedding_backward_bytes(setup, batch) + beside)
    moment = max(moments, key=lambda name: sum(moments[name]))
    kept, beside = moments[moment]
    rows = {"inputs of recomputed layers": checkpoints, "kept by the other layers": kept, "kept beside the layers": outside}
    rows |= {"at the fullest moment": beside} | ({"workspace": WORKSPACE} if setup.on_cuda else {})
    return Plan(recomputed, moment, fixed_bytes(setup) | rows, host=away * page_locked(one), paged=paged_bytes(setup))


def column(cfg: TrainConfig, setup: Setup, batch: MicroBatch, found: Plan, room: int) -> dict[str, str]:
    """A plan as text, row by row, with what else fits into `room` bytes."""
    layers = setup.model.num_hidden_layers
    fewest = fewest_recomputed(setup, batch, room)
    most = largest_tokens(cfg, setup, room, step=smallest_tokens(cfg))
    return {name: _gib(value) for name, value in found.rows.items()} | {
        "peak": _gib(found.peak),
        "room": _gib(room),
        "fullest moment": found.moment,
        **({"host memory, page-locked": _gib(found.host)} if cfg.model.offload_checkpoints else {}),
        **({"host memory, moments": _gib(found.paged)} if cfg.optim.paged else {}),
        "peak without gradients": _gib(sum(fixed_bytes(setup).values()) + reference_bytes(setup, batch)),
        "micro-batch, tokens": f"{batch.tokens:,}",
        "recomputed layers": f"{found.recomputed} of {layers}",
        "fewest that fit": str(fewest.recomputed) if fewest else "none",
        "largest micro-batch, tokens": f"{most:,}" if most else "none",
    }


def table(columns: Mapping[str, Mapping[str, str]]) -> str:
    """A line a row of any stage's column; a column without figures has none."""
    names = list(dict.fromkeys(name for cells in columns.values() for name in cells))
    width = max(map(len, ["GiB", *names]))
    head = "  ".join([f"{'GiB':{width}}", *(f"{stage:>12}" for stage in columns)])
    lines = ["  ".join([f"{name:{width}}", *(f"{cells.get(name, '-'):>12}" for cells in columns.values())]) for name in names]
    return "\n".join([head, *lines])


def _gib(value: int) -> str:
    return f"{value / GIB:.2f}"
