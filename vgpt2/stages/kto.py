"""Kahneman-Tversky optimization: single answers, desirable or not, against the step's KL estimate."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from vgpt2.config import KTOConfig, TrainConfig
from vgpt2.dataset import Record
from vgpt2.losses.apo import apo_zero_unpaired_loss
from vgpt2.losses.kto import kto_loss
from vgpt2.losses.logps import sequence_logps
from vgpt2.packing import Packed, pack, plan_examples
from vgpt2.stages.answers import Answer, Mismatched, encode_answer, restored_answers
from vgpt2.tokencache import Row
from vgpt2.tokenizer import ChatTokenizer

Metrics = dict[str, tuple[Tensor, int]]


@dataclass(frozen=True)
class KTOExample:
    """An answer with its label; answers[1], where there is one, is the mismatched answer: this prompt, another row's answer."""

    where: str
    answers: tuple[Answer | Mismatched, ...]
    is_desirable: bool
    markers: int
    ref_logps: tuple[float, ...] | None = None  # one a member of `answers`
    units: int = 1  # an answer

    @property
    def own(self) -> Answer:
        own = self.answers[0]
        assert isinstance(own, Answer)
        return own

    @property
    def sequences(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        return (self.own.sequence,)

    @property
    def tokens(self) -> int:
        return self.own.tokens


@dataclass(frozen=True)
class KTOBatch:
    packed: Packed  # N answers
    ref_logps: Tensor  # (N,)
    is_desirable: Tensor  # (N,) bool
    desirable: int  # how many are
    mismatched: Packed | None  # M <= N mismatched answers
    mismatched_ref_logps: Tensor  # (M,)
    both: "Both | None"  # all N + M answers, where one pass over them costs less than two
    kl: Tensor | None  # (), of the whole step; filled in by `prepare`, None where `loss` finds it in its own pass over `both`
    units: int  # N

    def to(self, device: torch.device) -> "KTOBatch":
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ("ref_logps", "is_desirable", "mismatched_ref_logps")}
        parts = {name: (part := getattr(self, name)) and part.to(device) for name in ("packed", "mismatched", "both")}
        return replace(self, kl=None if self.kl is None else self.kl.to(device, non_blocking=True), **moved, **parts)


@dataclass(frozen=True)
class Both:
    """Each row's answer and, behind the same stored prompt, its mismatched one."""

    packed: Packed  # N + M answers
    own: Tensor  # (N,) int64, which of them are the rows' own
    mismatched: Tensor  # (M,) int64

    def to(self, device: torch.device) -> "Both":
        return Both(self.packed.to(device), self.own.to(device, non_blocking=True), self.mismatched.to(device, non_blocking=True))


class KTO:
    """Stage "kto": the unit of the loss is one answer."""

    name = "kto"
    unit = "answer"
    metrics: tuple[str, ...] = (
        "loss",
        "kl",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margin",
        "rewards/accuracy",
        "logps/chosen",
        "logps/rejected",
    )
    needs_reference = True

    def __init__(self, cfg: TrainConfig) -> None:
        self.cfg = cfg.kto
        self.batch = cfg.batch
        self.cutoff_tokens = cfg.data.cutoff_tokens
        self.weights = (1.0, 1.0)  # desirable, undesirable; both set by `complete`
        self.without_mismatched = 0

    def encode(self, record: Record, tokenizer: ChatTokenizer) -> KTOExample | str:
        """The row's answer and label, or the reason why it cannot be used."""
        answer = encode_answer(record.prompt, record.completion, tokenizer, self.cutoff_tokens)
        if isinstance(answer, str):
            return answer
        assert record.label is not None  # dataset.read has normalised it
        return KTOExample(record.where, (answer,), record.label, answer.markers)

    def store(self, example: KTOExample) -> Row:
        return Row(example.where, example.sequences, (example.markers,), example.is_desirable)

    def restore(self, row: Row) -> KTOExample:
        assert row.label is not None
        return KTOExample(row.where, tuple(restored_answers(row)), row.label, sum(row.markers))

    def complete(self, train: list[KTOExample], held_out: list[KTOExample], *, seed: int) -> tuple[list[KTOExample], list[KTOExample]]:
        """Both sets with their mismatched answers; the class weights come from the training rows."""
        self.weights = class_weights(self.cfg, [example.is_desirable for example in train])
        if self.cfg.loss != "kto":
            return train, held_out
        train = add_mismatched(train, self.cutoff_tokens, seed=seed)
        self.without_mismatched = sum(len(example.answers) == 1 for example in train)
        return train, add_mismatched(held_out, self.cutoff_tokens, seed=seed)

    def notes(self) -> list[str]:
        """The class weights, and the rows that no other prompt's answer could be found for."""
        desirable, undesirable = self.weights
        return [
            f"class weights: desirable {desirable:.3g}, undesirable {undesirable:.3g}; {self.without_mismatched} rows do not count in kl"
        ]

    def plan(self, tokens: Sequence[int], *, seed: int, epoch: int) -> list[list[list[int]]]:
        return plan_examples(tokens, self.batch.examples_per_step, self.batch.micro_batch_tokens, seed=seed, epoch=epoch)

    def collate(self, examples: Sequence[KTOExample]) -> KTOBatch:
        others = [example for example in examples if len(example.answers) == 2]
        return KTOBatch(
            packed=pack([example.answers[0].sequence for example in examples]),
            ref_logps=torch.tensor([example.ref_logps[0] if example.ref_logps else 0.0 for example in examples]),
            is_desirable=torch.tensor([example.is_desirable for example in examples]),
            desirable=sum(example.is_desirable for example in examples),
            mismatched=pack([example.answers[1].sequence for example in others]) if others else None,
            mismatched_ref_logps=torch.tensor([example.ref_logps[1] if example.ref_logps else 0.0 for example in others]),
            both=join(examples, self.batch.micro_batch_tokens),
            kl=torch.zeros(()),
            units=len(examples),
        )

    @torch.no_grad()
    def prepare(self, policy: Callable[[Packed], Tensor], batches: list[KTOBatch]) -> list[KTOBatch]:
        """Fills in kl: the mean over the step's mismatched answers of log policy / reference, at least 0.

        A step of one micro-batch leaves that to `loss`, whose pass may hold them beside the rows' own answers, prompts stored once.
        """
        if len(batches) == 1 and batches[0].both is not None:
            return [replace(batches[0], kl=None)]
        log_ratios = [
            sequence_logps(policy(batch.mismatched), batch.mismatched.cu_seqlens) - batch.mismatched_ref_logps
            for batch in batches
            if batch.mismatched is not None
        ]
        if not log_ratios:
            return batches
        kl = estimate_kl(log_ratios)
        return [replace(batch, kl=kl) for batch in batches]

    def loss(self, policy: Callable[[Packed], Tensor], batch: KTOBatch) -> tuple[Tensor, Metrics]:
        """Losses (N,) and the metrics of N answers."""
        policy_logps, kl = self._scored(policy, batch)
        desirable_weight, undesirable_weight = self.weights
        options = {"beta": self.cfg.beta, "desirable_weight": desirable_weight, "undesirable_weight": undesirable_weight}
        if self.cfg.loss == "kto":
            losses, rewards = kto_loss(policy_logps, batch.ref_logps, batch.is_desirable, kl, **options)
        else:
            losses, rewards = apo_zero_unpaired_loss(policy_logps, batch.ref_logps, batch.is_desirable, **options)
        metrics = answer_metrics(policy_logps.detach(), rewards, batch.is_desirable, batch.desirable, self.cfg.beta * kl)
        return losses, metrics | {"kl": (kl * batch.units, batch.units)}

    def _scored(self, policy: Callable[[Packed], Tensor], batch: KTOBatch) -> tuple[Tensor, Tensor]:
        """policy_logps (N,) of the rows' own answers, and kl ()."""
        if batch.kl is not None:
            return sequence_logps(policy(batch.packed), batch.packed.cu_seqlens), batch.kl
        both = batch.both
        assert both is not None  # prepare saw it
        logps = sequence_logps(policy(both.packed), both.packed.cu_seqlens)  # (N + M,)
        return logps[both.own], estimate_kl([logps.detach()[both.mismatched] - batch.mismatched_ref_logps])

    def summarise(self, values: dict[str, float]) -> dict[str, float]:
        """Adds the margin, which needs both classes' means."""
        if {"rewards/chosen", "rewards/rejected"} <= values.keys():
            return values | {"rewards/margin": values["rewards/chosen"] - values["rewards/rejected"]}
        return values

    def remarks(self, first: dict[str, float], now: dict[str, float]) -> list[str]:
        """What the held-out values say in words, against those of the first evaluation."""
        if now.get("rewards/chosen", 0.0) < -0.1:
            return ["the desirable answers lose on the reference: see 'Reading the curves' in README.md; lower optim.lr or raise kto.beta"]
        return []

    def is_saturated(self, values: dict[str, float]) -> bool:
        return False


def estimate_kl(log_ratios: Sequence[Tensor]) -> Tensor:
    """z_0 (): the mean of log policy / reference over all mismatched answers of a step, at least 0."""
    return torch.cat(list(log_ratios)).mean().clamp(min=0)


def join(examples: Sequence[KTOExample], budget: int) -> Both | None:
    """Own and mismatched answers in one pack of at most `budget` tokens, prompts stored once; None where that saves nothing.

    A token costs k N operations in the policy's pass, k = 4 with frozen weights, 6 when layers run again, 8 when weights are trained too,
    and 2 N in one without a gradient. So one pass costs less where prompts hold more than 1 - 2 / k of the mismatched rows: 3/4 at most.
    """
    answers = [answer for example in examples for answer in example.answers]
    mismatched_tokens = sum(example.answers[1].tokens for example in examples if len(example.answers) == 2)
    packed = pack([answer.sequence for answer in answers], share_prompts=True)
    tokens, shared = len(packed.input_ids), sum(packed.shared or ())
    if tokens > budget or 4 * shared <= 3 * mismatched_tokens:
        return None
    is_own = torch.tensor([place == 0 for example in examples for place in range(len(example.answers))])
    return Both(packed, is_own.nonzero()[:, 0], (~is_own).nonzero()[:, 0])


def class_weights(cfg: KTOConfig, labels: Sequence[bool]) -> tuple[float, float]:
    """(desirable, undesirable); "auto" raises the rarer class until weight times count is equal, the other keeps 1.

    Ethayarajh et al. 2024, arXiv:2402.01306: the products' ratio belongs in [1, 4/3].
    """
    desirable = sum(labels)
    undesirable = len(labels) - desirable
    most = max(desirable, undesirable)
    return (
        most / max(desirable, 1) if cfg.desirable_weight == "auto" else cfg.desirable_weight,
        most / max(undesirable, 1) if cfg.undesirable_weight == "auto" else cfg.undesirable_weight,
    )


def add_mismatched(examples: list[KTOExample], cutoff_tokens: int, *, seed: int) -> list[KTOExample]:
    """Each example with another row's answer behind its own prompt, where a row with another prompt is left and it fits."""
    completed = []
    for example, partner in zip(examples, mismatched_partners([example.own for example in examples], seed=seed)):
        own = example.own
        swapped = None if partner is None else swap_answer(own, examples[partner].own, cutoff_tokens)
        completed.append(example if swapped is None else replace(example, answers=(own, swapped)))
    return completed


def mismatched_partners(answers: Sequence[Answer], *, seed: int) -> list[int | None]:
    """For each row another row with a different prompt, each used once; None where too many rows share one prompt.

    Rows are laid out by prompt, prompts in seeded order; a shift by the size of the largest group leaves every group when no group holds
    more than half of the rows.
    """
    prompts = [hashlib.blake2b(answer.input_ids[: answer.prompt_tokens].tobytes(), digest_size=16).digest() for answer in answers]
    order = sorted(range(len(prompts)), key=lambda i: prompts[i])
    groups = [list(rows) for _, rows in groupby(order, key=lambda i: prompts[i])]
    random.Random(f"{seed}/mismatched").shuffle(groups)
    order = [i for group in groups for i in group]
    shift = max(map(len, groups), default=0)
    partners: list[int | None] = [None] * len(prompts)
    for place, row in enumerate(order):
        partner = order[(place + shift) % len(order)]
        if prompts[partner] != prompts[row]:
            partners[row] = partner
    return partners


def swap_answer(own: Answer, other: Answer, cutoff_tokens: int) -> Mismatched | None:
    """The prompt of `own` with the answer of `other`; None when the two are longer than `cutoff_tokens`."""
    swapped = Mismatched(own, other)
    return swapped if swapped.tokens <= cutoff_tokens else None


def answer_metrics(policy_logps: Tensor, rewards: Tensor, is_desirable: Tensor, desirable: int, beta_kl: Tensor) -> Metrics:
    """Sums over N answers, all (N,), of which `desirable` are so.

    An answer is on the right side when its reward is above beta * kl and desirable, or below and not.
    """
    classes = (("chosen", is_desirable, desirable), ("rejected", ~is_desirable, len(rewards) - desirable))
    metrics: Metrics = {"rewards/accuracy": (((rewards > beta_kl) == is_desirable).sum(), len(rewards))}
    for name, members, count in classes:
        metrics[f"rewards/{name}"] = ((rewards * members).sum(), count)
        metrics[f"logps/{name}"] = ((policy_logps * members).sum(), count)
    return metrics
