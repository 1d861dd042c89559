"""Rows of a set as the audit sees them: prompts with the answers they reward and those they do not, whatever the layout.

Rows are read as the trainer reads them, so that what is audited is what is learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgpt2 import layouts, rowfiles
from vgpt2.dropped import Dropped, Mistakes
from vgpt2.layouts import FieldError, Kind, Layout, Record, Unusable


@dataclass(frozen=True)
class Case:
    """One answer, or one pair: each answer of a chat is a case."""

    where: str  # 'file:line'
    stage: Kind
    prompt: str  # all that the user has said so far
    ask: str  # what the user said last
    good: tuple[str, ...]
    bad: tuple[str, ...]
    category: str | None = None
    template: str | None = None
    fault: str | None = None

    @property
    def answers(self) -> tuple[str, ...]:
        return self.good + self.bad


@dataclass(frozen=True)
class ReadFile:
    rows: int
    cases: tuple[Case, ...]
    dropped: Dropped  # what the trainer would leave out
    mistakes: tuple[str, ...]  # lines with which the trainer would refuse the file


def read_cases(path: Path) -> ReadFile:
    """The file as the audit sees it. Raises ValueError when it cannot be read at all."""
    cases: list[Case] = []
    dropped, mistakes = Dropped(), Mistakes()
    rows = 0
    for line, row in rowfiles.rows(path, mistakes):
        rows += 1
        where = f"{path}:{line}"
        try:
            cases += [case for record in layouts.records(row, stage_of(row), Layout(), where) for case in _cases(record)]
        except FieldError as error:
            mistakes.add(str(path), f"{where}:{error.field}: {error}")
        except Unusable as reason:
            dropped.add(str(reason), where)
    return ReadFile(rows, tuple(cases), dropped, _said(mistakes))


def stage_of(row: Mapping[str, Any]) -> Kind:
    """The stage a row is made for, by its fields."""
    if row.get("chosen") is not None:
        return "dpo"
    return "kto" if any(row.get(name) is not None for name in layouts.COLUMNS["label"]) else "sft"


def _cases(record: Record) -> list[Case]:
    """One case for a preference row; for a chat one for each answer that is trained."""
    about: dict[str, Any] = {name: record.meta.get(name) for name in ("category", "fault")}
    templates = record.meta.get("template")
    turns = [*record.prompt, {"role": "assistant", "content": record.completion or ""}]
    answers = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
    if record.kind != "sft":
        good, bad = ((record.chosen,), (record.rejected,)) if record.kind == "dpo" else ((), ())
        if record.kind == "kto":
            good, bad = ((record.completion,), ()) if record.label else ((), (record.completion,))
        return [Case(record.where, record.kind, *_asked(record.prompt), _texts(good), _texts(bad), template=templates, **about)]
    cases = []
    for number, n in enumerate(answers):
        template = templates[number] if isinstance(templates, list) and number < len(templates) else templates
        if turns[n].get("train", True):
            template = template if isinstance(template, str) else None
            cases.append(Case(record.where, "sft", *_asked(turns[:n]), (str(turns[n]["content"]),), (), template=template, **about))
    return cases


def _asked(turns: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """(all that the user has said, what he said last)."""
    said = [str(turn["content"]) for turn in turns if turn["role"] == "user"]
    return "\n".join(said), said[-1] if said else ""


def _texts(answers: tuple[str | None, ...]) -> tuple[str, ...]:
    return tuple(answer or "" for answer in answers)


def _said(mistakes: Mistakes) -> tuple[str, ...]:
    try:
        mistakes.refuse()
    except ValueError as error:
        return tuple(str(error).splitlines())
    return ()
