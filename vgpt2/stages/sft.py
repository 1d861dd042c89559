"""Supervised fine-tuning: the answers' tokens are predicted, full packs of rows make a step."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from vgpt2.config import TrainConfig
from vgpt2.dataset import Record
from vgpt2.losses.sft import sft_loss
from vgpt2.packing import Packed, label_count, pack, plan_batches
from vgpt2.tokencache import Row
from vgpt2.tokenizer import ChatTokenizer


@dataclass(frozen=True)
class SFTExample:
    """One conversation as ids and the mask of its supervised tokens, both (T,)."""

    where: str
    input_ids: np.ndarray  # (T,) int32
    completion_mask: np.ndarray  # (T,) bool
    markers: int  # control strings of the content, encoded as text

    @property
    def sequences(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        return ((self.input_ids, self.completion_mask),)

    @property
    def tokens(self) -> int:
        return len(self.input_ids)

    @property
    def units(self) -> int:
        return label_count(self.completion_mask)


@dataclass(frozen=True)
class SFTBatch:
    packed: Packed
    units: int  # label tokens

    def to(self, device: torch.device) -> "SFTBatch":
        return SFTBatch(self.packed.to(device), self.units)


class SFT:
    """Stage "sft": the unit of the loss is one label token."""

    name = "sft"
    unit = "label token"
    metrics: tuple[str, ...] = ("loss", "perplexity")
    needs_reference = False

    def __init__(self, cfg: TrainConfig) -> None:
        self.cutoff_tokens = cfg.data.cutoff_tokens
        self.batch = cfg.batch

    def encode(self, record: Record, tokenizer: ChatTokenizer) -> SFTExample | str:
        """The row's ids and mask, or the reason why it cannot be used."""
        encoded = tokenizer.encode(record.messages)
        if len(encoded.input_ids) > self.cutoff_tokens:
            return "over-long"
        if not label_count(encoded.completion_mask):
            return "no supervised token"
        ids, mask = np.asarray(encoded.input_ids, np.int32), np.asarray(encoded.completion_mask, bool)
        return SFTExample(record.where, ids, mask, encoded.markers)

    def store(self, example: SFTExample) -> Row:
        return Row(example.where, example.sequences, (example.markers,))

    def restore(self, row: Row) -> SFTExample:
        ((ids, mask),) = row.sequences
        return SFTExample(row.where, ids, mask, sum(row.markers))

    def complete(self, train: list[SFTExample], held_out: list[SFTExample], *, seed: int) -> tuple[list[SFTExample], list[SFTExample]]:
        return train, held_out

    def notes(self) -> list[str]:
        return []

    def plan(self, tokens: Sequence[int], *, seed: int, epoch: int) -> list[list[list[int]]]:
        """Steps of micro-batches of rows: full packs, `packs_per_step` of them a step, as many in a micro-batch as fit."""
        packs = plan_batches(tokens, self.batch.pack_tokens, seed=seed, epoch=epoch)
        together = self.batch.micro_batch_tokens // self.batch.pack_tokens
        steps = [packs[i : i + self.batch.packs_per_step] for i in range(0, len(packs), self.batch.packs_per_step)]
        return [[list(chain(*step[i : i + together])) for i in range(0, len(step), together)] for step in steps]

    def collate(self, examples: Sequence[SFTExample]) -> SFTBatch:
        packed = pack([sequence for example in examples for sequence in example.sequences])
        return SFTBatch(packed, sum(example.units for example in examples))

    def prepare(self, policy: Callable[[Packed], Tensor], batches: list[SFTBatch]) -> list[SFTBatch]:
        return batches

    def loss(self, policy: Callable[[Packed], Tensor], batch: SFTBatch) -> tuple[Tensor, dict[str, tuple[Tensor, int]]]:
        """Negative log-probabilities (U,) of the label tokens; no metric beside their mean."""
        return sft_loss(policy(batch.packed), batch.packed.labels, batch.packed.scored), {}

    def summarise(self, values: dict[str, float]) -> dict[str, float]:
        """Adds the perplexity, exp of the mean loss."""
        return values | {"perplexity": math.exp(min(values["loss"], 100.0))} if "loss" in values else values

    def remarks(self, first: dict[str, float], now: dict[str, float]) -> list[str]:
        return []

    def is_saturated(self, values: dict[str, float]) -> bool:
        return False
