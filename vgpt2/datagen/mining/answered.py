"""Answers that a model gave, read from a judge's answers.jsonl or a feedback log, each with its question and what is known of it.

A row is {"id", "answer"} where a file of questions is given, or {"prompt", "answer"} with an optional "verdict" of the user. Answers
are the model's own and may hold anything; what nobody can learn from is left out and counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgpt2 import rowfiles
from vgpt2.dropped import Dropped, Mistakes
from vgpt2.judging import Item, collapsed
from vgpt2.layouts import LABELS, ROLES

LONGEST = 6_000  # characters of an answer
FEEDBACK = "feedback"
_VERDICTS: dict[str, bool] = {str(word): said for word, said in LABELS.items()} | {
    **dict.fromkeys(("up", "good", "right", "yes", "like", "+1"), True),
    **dict.fromkeys(("down", "bad", "wrong", "no", "dislike", "-1"), False),
}
_BREAKS = re.compile(r"\r\n?")


@dataclass(frozen=True)
class Answered:
    """`item` says what a right answer holds, where the question is one of a file; `liked` is what a user said, where one did."""

    where: str  # file:line
    category: str
    messages: tuple[dict[str, str], ...]  # the conversation up to the question, without system messages
    answer: str
    item: Item | None = None
    liked: bool | None = None

    @property
    def ask(self) -> str:
        """What the user said last."""
        return self.messages[-1]["content"]

    @property
    def prompt(self) -> str:
        return "\n".join(f"{message['role']}: {message['content']}" for message in self.messages)


def read(path: Path, items: Mapping[str, Item], dropped: Dropped) -> list[Answered]:
    """The answers of a file that can be learned from; the others are counted in `dropped`.

    Raises ValueError naming file, line and field for rows of another form.
    """
    mistakes, found = Mistakes(), []
    for line, row in rowfiles.rows(path, mistakes):
        where = f"{path}:{line}"
        try:
            answered = _answered(row, items, where)
        except ValueError as error:
            mistakes.add(str(path), f"{where}:{error}")
            continue
        reason = "its question is not in the file of questions" if answered is None else _unusable(answered)
        if reason or answered is None:
            dropped.add(reason or "", where)
        else:
            found.append(answered)
    mistakes.refuse()
    return found


def _answered(row: Mapping[str, Any], items: Mapping[str, Item], where: str) -> Answered | None:
    answer = row.get("answer")
    if not isinstance(answer, str):
        raise ValueError("answer: is missing or no text; a row has an answer, and an id or a prompt")
    answer = _BREAKS.sub("\n", answer).strip()
    liked = _liked(row.get("verdict"))
    if "prompt" not in row and "messages" not in row:
        if not isinstance(row.get("id"), str):
            raise ValueError("prompt: is missing; a row without an id needs the question that it answers")
        item = items.get(row["id"])
        return Answered(where, item.group, _turns(item.messages), answer, item, liked) if item else None
    asked = row["prompt"] if "prompt" in row else row["messages"]
    messages = _turns([{"role": "user", "content": asked}] if isinstance(asked, str) else asked)
    return Answered(where, str(row.get("category") or FEEDBACK), messages, answer, None, liked)


def _turns(asked: object) -> tuple[dict[str, str], ...]:
    """The messages that a row learns from: the config holds the one system prompt of training."""
    if not isinstance(asked, list) or not all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in asked):
        raise ValueError("prompt: is no text and no list of messages with a role and a content")
    turns = [{"role": ROLES.get(str(m.get("role")).lower(), ""), "content": m["content"]} for m in asked]
    turns = [turn for turn in turns if turn["role"] != "system"]
    if not turns or turns[-1]["role"] != "user" or not all(turn["role"] for turn in turns):
        raise ValueError("prompt: does not end with a message of the user; roles are user and assistant")
    return tuple(turns)


def _liked(verdict: object) -> bool | None:
    if verdict is None or isinstance(verdict, bool):
        return verdict
    known = _VERDICTS.get(str(verdict).strip().lower())
    if known is None:
        raise ValueError(f"verdict: is {str(verdict)[:20]!r}; it is true or false, or left out")
    return known


def _unusable(answered: Answered) -> str | None:
    """Why nothing can be learned from an answer, not even what to avoid."""
    texts = (answered.answer, *(message["content"] for message in answered.messages))
    if len(answered.answer) > LONGEST:
        return f"longer than {LONGEST:,} characters"
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t\r" for text in texts for c in text):
        return "control characters"
    found = collapsed(answered.answer)
    return {"empty": "empty answer", "repetition": "the same over and over", None: None}[found]
