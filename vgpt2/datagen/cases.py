"""Rows of a set as the audit sees them: one prompt with the answers it rewards and those it does not, whatever the layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Stage = Literal["sft", "dpo", "kto"]
_ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}
_TRUTHS: dict[Any, bool] = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}  # 1 and 0 equal True and False


@dataclass(frozen=True)
class Case:
    where: str  # 'file:line'
    stage: Stage
    prompt: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    category: str | None = None
    template: str | None = None
    fault: str | None = None

    @property
    def answers(self) -> tuple[str, ...]:
        return self.good + self.bad


class Unreadable(ValueError):
    """A row that is none of the known layouts; the message begins with its place."""


def read_cases(path: Path) -> Iterator[Case | Unreadable]:
    """Each row of a JSON lines file or JSON array as a case, or as the reason why it is none."""
    for number, row in _numbered_rows(path):
        where = f"{path}:{number}"
        if isinstance(row, Unreadable):
            yield row
            continue
        try:
            yield _case(where, row)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            yield Unreadable(f"{where}: no SFT, DPO or KTO row: {type(error).__name__} {error}; fields are {', '.join(map(str, row))[:80]}")


def _numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | Unreadable]]:
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), 1)
        except json.JSONDecodeError as error:
            yield error.lineno, Unreadable(f"{path}:{error.lineno}: not JSON: {error.msg}")
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                row = Unreadable(f"{path}:{number}: not JSON: {error.msg}")
            yield number, row if isinstance(row, dict | Unreadable) else Unreadable(f"{path}:{number}: a row must be an object of fields")


def _case(where: str, row: Mapping[str, Any]) -> Case:
    about = {name: row.get(name) for name in ("category", "template", "fault")}
    if "chosen" in row:
        return Case(where, "dpo", _prompt(row), (_text(row["chosen"]),), (_text(row["rejected"]),), **about)
    label = next((row[name] for name in ("label", "kto_tag") if name in row), None)
    if label is not None:
        truth = _TRUTHS[label.strip().lower() if isinstance(label, str) else label]
        answer = (_text(row["completion"] if "completion" in row else row["output"]),)
        return Case(where, "kto", _prompt(row), answer if truth else (), () if truth else answer, **about)
    if "messages" in row or "conversations" in row:
        turns = _turns(row)
        return Case(where, "sft", _said(turns, "user"), tuple(text for role, text in turns if role == "assistant"), (), **about)
    return Case(where, "sft", _prompt(row), (_text(row["output"]),), (), **about)


def _prompt(row: Mapping[str, Any]) -> str:
    if "prompt" in row:
        return row["prompt"] if isinstance(row["prompt"], str) else _said(_messages(row["prompt"]), "user")
    return "\n".join(part for part in (row["instruction"], row.get("input")) if part)


def _turns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    return _messages(row["messages"] if "messages" in row else row["conversations"])


def _messages(messages: list[dict[str, str]]) -> list[tuple[str, str]]:
    """(role, text), from chat messages or sharegpt turns."""
    return [(_ROLES[m["role"] if "role" in m else m["from"]], m["content"] if "content" in m else m["value"]) for m in messages]


def _said(turns: list[tuple[str, str]], role: str) -> str:
    return "\n".join(text for who, text in turns if who == role)


def _text(answer: str | list[dict[str, str]]) -> str:
    return answer if isinstance(answer, str) else _messages(answer)[-1][1]
