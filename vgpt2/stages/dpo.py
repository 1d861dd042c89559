"""Direct preference optimization: of two answers to one prompt, the chosen one gains on the rejected one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vgpt2.config import DPOConfig, TrainConfig
from vgpt2.dataset import Record
from vgpt2.losses.dpo import dpo_loss
from vgpt2.losses.hinge import hinge_loss
from vgpt2.losses.ipo import ipo_loss
from vgpt2.losses.length_normalised import length_normalised_loss
from vgpt2.losses.logps import sequence_lengths, sequence_logps
from vgpt2.losses.orpo import orpo_loss
from vgpt2.losses.rpo import chosen_nll
from vgpt2.losses.simpo import simpo_loss
from vgpt2.packing import Packed, pack, plan_examples, stored_tokens
from vgpt2.stages.answers import Answer, encode_answer, restored_answers
from vgpt2.tokencache import Row
from vgpt2.tokenizer import ChatTokenizer

Metrics = dict[str, tuple[Tensor, int]]

# policy_logps, ref_logps, lengths (P, 2) -> losses (P,), rewards (P, 2)
LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, DPOConfig], tuple[Tensor, Tensor]]] = {
    "sigmoid": lambda policy, ref, _, cfg: dpo_loss(policy, ref, beta=cfg.beta, label_smoothing=cfg.label_smoothing),
    "hinge": lambda policy, ref, _, cfg: hinge_loss(policy, ref, beta=cfg.beta),
    "ipo": lambda policy, ref, lengths, cfg: ipo_loss(policy, ref, lengths, beta=cfg.beta),
    "length_normalised": lambda policy, ref, lengths, cfg: length_normalised_loss(policy, ref, lengths, beta=cfg.beta),
    "simpo": lambda policy, _, lengths, cfg: simpo_loss(policy, lengths, beta=cfg.beta, gamma=cfg.simpo_gamma or 0.0),
    "orpo": lambda policy, _, lengths, cfg: orpo_loss(policy, lengths, beta=cfg.beta),
}
REFERENCE_FREE = frozenset({"simpo", "orpo"})


@dataclass(frozen=True)
class DPOExample:
    """A pair: answers[0] is the chosen one, answers[1] the rejected one, both behind the same prompt ids."""

    where: str
    answers: tuple[Answer, Answer]
    markers: int
    ref_logps: tuple[float, ...] | None = None  # (2,)
    units: int = 1  # a pair

    @property
    def sequences(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        return tuple(answer.sequence for answer in self.answers)

    @cached_property
    def tokens(self) -> int:
        return stored_tokens(self.sequences)


@dataclass(frozen=True)
class DPOBatch:
    packed: Packed  # chosen, rejected, chosen, rejected ...: 2P sequences, each rejected one a branch of its chosen one
    ref_logps: Tensor  # (P, 2)
    units: int  # P

    def to(self, device: torch.device) -> "DPOBatch":
        return replace(self, packed=self.packed.to(device), ref_logps=self.ref_logps.to(device, non_blocking=True))


class DPO:
    """Stage "dpo": the unit of the loss is one pair."""

    name = "dpo"
    unit = "pair"
    metrics: tuple[str, ...] = (
        "loss",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margin",
        "rewards/accuracy",
        "logps/chosen",
        "logps/rejected",
    )

    def __init__(self, cfg: TrainConfig) -> None:
        self.cfg = cfg.dpo
        self.batch = cfg.batch
        self.cutoff_tokens = cfg.data.cutoff_tokens
        self.needs_reference = cfg.dpo.loss not in REFERENCE_FREE

    def encode(self, record: Record, tokenizer: ChatTokenizer) -> DPOExample | str:
        """The row's two answers, or the reason why it cannot be used."""
        answers = [encode_answer(record.prompt, text, tokenizer, self.cutoff_tokens) for text in (record.chosen, record.rejected)]
        reasons = [answer for answer in answers if isinstance(answer, str)]
        if reasons:
            return reasons[0]
        chosen, rejected = (answer for answer in answers if isinstance(answer, Answer))
        if np.array_equal(chosen.input_ids, rejected.input_ids):
            return "chosen equals rejected"
        return DPOExample(record.where, (chosen, rejected), chosen.markers + rejected.markers)

    def store(self, example: DPOExample) -> Row:
        return Row(example.where, example.sequences, tuple(answer.markers for answer in example.answers))

    def restore(self, row: Row) -> DPOExample:
        chosen, rejected = restored_answers(row)
        return DPOExample(row.where, (chosen, rejected), sum(row.markers))

    def complete(self, train: list[DPOExample], held_out: list[DPOExample], *, seed: int) -> tuple[list[DPOExample], list[DPOExample]]:
        return train, held_out

    def notes(self) -> list[str]:
        return []

    def plan(self, tokens: Sequence[int], *, seed: int, epoch: int) -> list[list[list[int]]]:
        return plan_examples(tokens, self.batch.examples_per_step, self.batch.micro_batch_tokens, seed=seed, epoch=epoch)

    def collate(self, examples: Sequence[DPOExample]) -> DPOBatch:
        packed = pack([sequence for example in examples for sequence in example.sequences], share_prompts=True)
        ref_logps = torch.tensor([example.ref_logps or (0.0, 0.0) for example in examples])  # (P, 2)
        return DPOBatch(packed, ref_logps, len(examples))

    def prepare(self, policy: Callable[[Packed], Tensor], batches: list[DPOBatch]) -> list[DPOBatch]:
        return batches

    def loss(self, policy: Callable[[Packed], Tensor], batch: DPOBatch) -> tuple[Tensor, Metrics]:
        """Losses (P,) and the metrics of P pairs."""
        packed = batch.packed
        policy_logps = sequence_logps(policy(packed), packed.cu_seqlens).view(-1, 2)  # (P, 2)
        lengths = sequence_lengths(packed.labels, packed.cu_seqlens).view(-1, 2)  # (P, 2)
        losses, rewards = LOSSES[self.cfg.loss](policy_logps, batch.ref_logps, lengths, self.cfg)
        if self.cfg.sft_weight:
            losses = losses + self.cfg.sft_weight * chosen_nll(policy_logps, lengths)
        return losses, pair_metrics(policy_logps.detach(), rewards)

    def summarise(self, values: dict[str, float]) -> dict[str, float]:
        return values

    def remarks(self, first: dict[str, float], now: dict[str, float]) -> list[str]:
        """What the held-out values say in words, against those of the first evaluation."""
        remarks = []
        if now["logps/chosen"] < first["logps/chosen"] - 1 and now["rewards/chosen"] < 0:
            remarks.append(
                "the chosen log-prob falls too: the margin grows by pushing both answers down; see 'Reading the curves' in README.md"
            )
        if now["rewards/accuracy"] < 0.5:
            remarks.append("the rejected answers win more than half of the pairs: are chosen and rejected swapped in the data?")
        return remarks

    def is_saturated(self, values: dict[str, float]) -> bool:
        limit = self.cfg.saturation_margin
        return limit is not None and values["rewards/accuracy"] == 1 and values["rewards/margin"] > limit


def pair_metrics(policy_logps: Tensor, rewards: Tensor) -> Metrics:
    """Sums over P pairs of policy_logps and rewards (P, 2), chosen first."""
    pairs = len(rewards)
    pair_margin = rewards[:, 0] - rewards[:, 1]  # (P,)
    return {
        "rewards/chosen": (rewards[:, 0].sum(), pairs),
        "rewards/rejected": (rewards[:, 1].sum(), pairs),
        "rewards/margin": (pair_margin.sum(), pairs),
        "rewards/accuracy": ((pair_margin > 0).sum(), pairs),
        "logps/chosen": (policy_logps[:, 0].sum(), pairs),
        "logps/rejected": (policy_logps[:, 1].sum(), pairs),
    }
