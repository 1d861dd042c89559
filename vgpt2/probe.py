"""Task metrics inside training: a few questions answered by the model as it stands, judged as eval judges them.

    asked = load(cfg.probe)
    values = probe(model, tokenizer, asked, max_new_tokens=96, check=interrupts.check)
    # {'task/right': .75, 'task/resolves': .9, 'task/false_rejection': .1, 'task/false_acceptance': .2, 'task/collapse': 0.0}

Greedy and in evaluation mode: random state, module modes and gradients stay as they were (INVARIANT 45).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from vgpt2.config import ProbeConfig
from vgpt2.generate import Request, stream
from vgpt2.judging import Item, existence, judge, read_items
from vgpt2.model import CausalLM
from vgpt2.sql.catalogue import Catalogue, load_catalogue
from vgpt2.tokenizer import ChatTokenizer

TOKEN_BUDGET = 8192  # of the cache, beside the weights, gradients and moments that training holds


@dataclass(frozen=True)
class Asked:
    """The probe's questions and the database they are about."""

    items: tuple[Item, ...]
    catalogue: Catalogue

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the values that a probe gives."""
        return tuple(task_metrics(self.items, [""] * len(self.items), self.catalogue))


def load(cfg: ProbeConfig) -> Asked | None:
    """The questions that the config asks for, None without a suite; raises ValueError or OSError for a file that is none."""
    if cfg.suite is None:
        return None
    return Asked(tuple(spread(read_items(Path(cfg.suite)), cfg.questions)), load_catalogue(Path(cfg.catalogue)))


def probe(
    model: CausalLM, tokenizer: ChatTokenizer, asked: Asked, *, max_new_tokens: int, check: Callable[[], None]
) -> dict[str, float]:
    """Shares in [0, 1] over the questions; a metric whose kind of question does not occur is left out.

    check() is called before every token and may raise to interrupt.
    """
    requests = [Request(tokenizer.prompt(item.messages), max_new_tokens, logps=True) for item in asked.items]
    answers: list[list[int]] = [[] for _ in requests]
    broken = set()  # what a model of NaN writes is no answer, whatever it looks like
    budget = max(TOKEN_BUDGET, *(request.width for request in requests))
    for token in stream(model, requests, eos_ids=tokenizer.eos_ids, token_budget=budget):
        check()
        if token.id is not None:
            answers[token.request].append(token.id)
        if token.logp is None or not isfinite(token.logp):
            broken.add(token.request)
    texts = ["" if n in broken else tokenizer.decode(answer) for n, answer in enumerate(answers)]
    return task_metrics(asked.items, texts, asked.catalogue)


def task_metrics(items: Sequence[Item], answers: Sequence[str], catalogue: Catalogue) -> dict[str, float]:
    """The metrics of answers to `items`: right answers, SQL that resolves, real names denied, unreal names affirmed, collapsed answers."""
    verdicts = [judge(item, answer, catalogue) for item, answer in zip(items, answers, strict=True)]
    asked = [(item.expect, answer) for item, answer in zip(items, answers) if item.kind == "exists"]
    claimed = [(expect["exists"], existence(answer, expect["name"])) for expect, answer in asked]
    shares = {
        "task/right": [verdict.right for verdict in verdicts],
        "task/resolves": [verdict.passed["resolves"] for verdict in verdicts if "resolves" in verdict.passed],
        "task/false_rejection": [said == "refuses" for real, said in claimed if real],
        "task/false_acceptance": [said == "accepts" for real, said in claimed if not real],
        "task/collapse": [verdict.collapse is not None for verdict in verdicts],
    }
    return {name: sum(hits) / len(hits) for name, hits in shares.items() if hits}


def spread(items: Sequence[Item], n: int) -> list[Item]:
    """At most `n` of the items, by turns from each group, real and unreal names apart."""
    strata: dict[tuple[str, str, object], list[Item]] = {}
    for item in items:
        strata.setdefault((item.group, item.kind, item.expect.get("exists")), []).append(item)
    longest = max((len(stratum) for stratum in strata.values()), default=0)
    by_turns = [stratum[turn] for turn in range(longest) for stratum in strata.values() if turn < len(stratum)]
    return by_turns[:n]
