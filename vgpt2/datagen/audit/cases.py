"""Rows of a set as the audit sees them: prompts with the answers they reward and those they do not.

Rows are read as the trainer reads them, so that what is audited is what is learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vgpt2 import layouts
from vgpt2.layouts import Kind, Layout, Record


@dataclass(frozen=True, slots=True)
class Case:
    """One answer, or one pair: each answer of a chat is a case."""

    where: str  # 'file:line'
    stage: Kind
    prompt: str  # all that the user has said so far
    ask: str  # what the user said last
    good: tuple[str, ...]
    bad: tuple[str, ...]
    category: str | None = None
    source: str | None = None
    template: str | None = None
    fault: str | None = None

    @property
    def answers(self) -> tuple[str, ...]:
        return self.good + self.bad


def cases_of(row: Mapping[str, Any], layout: Layout, where: str) -> list[Case]:
    """The cases of one row: one for a preference row, for a chat one for each answer that is trained.

    Raises FieldError for a row with which the trainer would refuse the file, Unusable for one that it would leave out.
    """
    return [case for record in layouts.records(row, stage_of(row, layout), layout, where) for case in _cases(record)]


def stage_of(row: Mapping[str, Any], layout: Layout) -> Kind:
    """The stage a row is made for, by its fields."""
    if _has(row, layout, "chosen"):
        return "dpo"
    return "kto" if _has(row, layout, "label") else "sft"


def _has(row: Mapping[str, Any], layout: Layout, usual: str) -> bool:
    return any(row.get(name) is not None for name in layout.columns[usual])


def _cases(record: Record) -> list[Case]:
    about: dict[str, Any] = {name: record.meta.get(name) for name in ("category", "source", "fault")}
    templates = record.meta.get("template")
    if record.kind != "sft":
        good, bad = ((record.chosen,), (record.rejected,)) if record.kind == "dpo" else ((), ())
        if record.kind == "kto":
            good, bad = ((record.completion,), ()) if record.label else ((), (record.completion,))
        return [Case(record.where, record.kind, *_asked(record.prompt), _texts(good), _texts(bad), template=templates, **about)]
    cases = []
    turns = record.messages
    answers = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
    for number, n in enumerate(answers):
        template = templates[number] if isinstance(templates, list) and number < len(templates) else templates
        if turns[n].get("train", True):
            template = template if isinstance(template, str) else None
            cases.append(Case(record.where, "sft", *_asked(turns[:n]), (turns[n]["content"],), (), template=template, **about))
    return cases


def _asked(turns: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """(all that the user has said, what he said last)."""
    said = [str(turn["content"]) for turn in turns if turn["role"] == "user"]
    return "\n".join(said), said[-1] if said else ""


def _texts(answers: tuple[str | None, ...]) -> tuple[str, ...]:
    return tuple(answer or "" for answer in answers)
