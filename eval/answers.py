"""Answers of a model by question: made by it, or read from JSON lines that any system or person wrote.

A line is {"id", "answer"}; further answers to a question have "sample": 1, 2 ... "seconds" and "tokens" are its cost. A generator that
knows them adds "logp", the log-probability of the answer in nats, and "identifier_logp", that of the tokens of names in its SQL alone.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from eval.confidence import identifier_logp

if TYPE_CHECKING:
    from vgpt2.generate import Token
    from vgpt2.judging import Item
    from vgpt2.loading import Loaded
    from vgpt2.sql.catalogue import Catalogue

LOGP_DIGITS = 3  # what is behind them depends on the company of a row
NUMBERS = ("logp", "identifier_logp", "seconds")


@dataclass(frozen=True)
class Answer:
    id: str
    answer: str
    sample: int = 0
    tokens: int | None = None
    seconds: float | None = None  # from its first token to its last, in the company of others
    logp: float | None = None
    identifier_logp: float | None = None

    @property
    def confidence(self) -> float | None:
        return self.logp if self.identifier_logp is None else self.identifier_logp


class Progress(Protocol):
    def note(self, *, is_answer: bool) -> None: ...


@dataclass(frozen=True)
class Decoding:
    """How answers are drawn; temperature 0 is greedy."""

    max_new_tokens: int
    token_budget: int
    samples: int = 1
    temperature: float = 0.0
    constrained_to: Catalogue | None = None  # SQL names tables and qualified columns of this one only

    def __str__(self) -> str:
        how = f"{self.samples} samples at temperature {self.temperature:g}" if self.temperature else "greedy"
        limits = ", names constrained to the catalogue" if self.constrained_to else ""
        return f"{how}, at most {self.max_new_tokens} new tokens{limits}"


def by_question(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The answers to each question in the order of their samples."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for answer in sorted(answers, key=lambda answer: answer.sample):
        found[answer.id].append(answer)
    return dict(found)


def made(loaded: Loaded, items: Sequence[Item], decoding: Decoding, progress: Progress, *, done: Sequence[Answer] = ()) -> Iterator[Answer]:
    """Answers of a model as they are finished, but for those that are `done`.

    Each has its own seed, so it is the same whatever others are made beside it.
    """
    from vgpt2.generate import Request, stream

    constraint = None
    if decoding.constrained_to is not None:
        from vgpt2.constrained import NameConstraints

        constraint = NameConstraints(decoding.constrained_to, loaded.tokenizer, vocab_size=loaded.model.cfg.vocab_size).of_answer
    tokenizer, there = loaded.tokenizer, {(answer.id, answer.sample) for answer in done}
    todo = [(item, sample) for item in items for sample in range(decoding.samples) if (item.id, sample) not in there]
    requests = [
        Request(
            tokenizer.prompt(item.messages),
            decoding.max_new_tokens,
            decoding.temperature,
            seed=f"{item.id}/{sample}",
            logps=True,
            constraint=constraint,
        )
        for item, sample in todo
    ]
    made_of: list[list[Token]] = [[] for _ in requests]
    began = [0.0] * len(requests)
    for token in stream(loaded.model, requests, eos_ids=tokenizer.eos_ids, token_budget=decoding.token_budget, decode=tokenizer.decode):
        own = made_of[token.request]
        began[token.request] = began[token.request] or time.monotonic()
        own.append(token)
        progress.note(is_answer=token.finish is not None)
        if token.finish:
            item, sample = todo[token.request]
            yield _finished(item.id, sample, tokenizer.decode([t.id for t in own if t.id is not None]), own, began[token.request])


def _finished(question: str, sample: int, text: str, tokens: Sequence[Token], began: float) -> Answer:
    pieces = [(token.text, token.logp or 0.0) for token in tokens]
    logp, about_names = sum(logp for _, logp in pieces), identifier_logp(text, pieces)
    return Answer(
        question,
        text,
        sample,
        sum(token.id is not None for token in tokens),
        round(time.monotonic() - began, 3),
        *(round(value, LOGP_DIGITS) if value is not None and isfinite(value) else None for value in (logp, about_names)),
    )


def line(answer: Answer) -> str:
    """The answer as one line of a file; what is not known is left out."""
    row = {name: value for name, value in asdict(answer).items() if value is not None and not (name == "sample" and value == 0)}
    return json.dumps(row, ensure_ascii=False) + "\n"


def read(path: Path, *, may_be_cut: bool = False) -> list[Answer]:
    """Answers from JSON lines; raises ValueError naming file and line, but for a last line that `may_be_cut`."""
    answers: dict[tuple[str, int], Answer] = {}
    lines = path.read_text("utf-8").split("\n")
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            answer = _answer(json.loads(text))
        except (ValueError, RecursionError, KeyError, TypeError):
            if may_be_cut and number == len(lines):
                break
            raise ValueError(f'{path}:{number}: is no answer; a line is {{"id": "...", "answer": "..."}}') from None
        if (answer.id, answer.sample) in answers:
            raise ValueError(f"{path}:{number}: a second answer to '{answer.id[:60]}'; keep one, or number them with \"sample\"")
        answers[answer.id, answer.sample] = answer
    return list(answers.values())


def _answer(row: Any) -> Answer:
    if not isinstance(row, dict):
        raise TypeError
    sample = row.get("sample", 0)
    if not isinstance(row["id"], str) or not isinstance(row["answer"], str) or not isinstance(sample, int) or sample < 0:
        raise TypeError
    numbers = {name: float(row[name]) for name in NUMBERS if row.get(name) is not None}
    if not all(map(isfinite, numbers.values())):
        raise ValueError
    tokens = row.get("tokens")
    return Answer(row["id"], row["answer"], sample, None if tokens is None else int(tokens), **numbers)
