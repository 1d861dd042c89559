"""Rows of a set as the audit sees them: one prompt with the answers it rewards and those it does not, whatever the layout.

Rows are read as the trainer reads them, so that what is audited is what is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgpt2 import layouts, rowfiles
from vgpt2.dropped import Dropped, Mistakes
from vgpt2.layouts import FieldError, Kind, Layout, Record, Unusable


@dataclass(frozen=True)
class Case:
    where: str  # 'file:line'
    stage: Kind
    prompt: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    category: str | None = None
    template: str | None = None
    fault: str | None = None

    @property
    def answers(self) -> tuple[str, ...]:
        return self.good + self.bad


def read_cases(path: Path) -> tuple[list[Case], Dropped, tuple[str, ...]]:
    """The file's rows as cases, what the trainer would drop, and the lines with which it would refuse the file.

    Raises ValueError when the file cannot be read at all.
    """
    cases: list[Case] = []
    dropped, mistakes = Dropped(), Mistakes()
    for line, row in rowfiles.rows(path, mistakes):
        where = f"{path}:{line}"
        try:
            cases += [_case(record) for record in layouts.records(row, stage_of(row), Layout(), where)]
        except FieldError as error:
            mistakes.add(str(path), f"{where}:{error.field}: {error}")
        except Unusable as reason:
            dropped.add(str(reason), where)
    try:
        mistakes.refuse()
    except ValueError as error:
        return cases, dropped, tuple(str(error).splitlines())
    return cases, dropped, ()


def stage_of(row: Mapping[str, Any]) -> Kind:
    """The stage a row is made for, by its fields."""
    if row.get("chosen") is not None:
        return "dpo"
    return "kto" if any(row.get(name) is not None for name in layouts.COLUMNS["label"]) else "sft"


def _case(record: Record) -> Case:
    prompt = "\n".join(turn["content"] for turn in record.prompt if turn["role"] == "user")
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    if record.kind == "dpo":
        good, bad = (record.chosen or "",), (record.rejected or "",)
    elif record.label is False:
        bad = (record.completion or "",)
    else:
        good = (record.completion or "",)
    if record.kind == "sft":  # earlier answers of a chat are learned from as well
        good = (*(t["content"] for t in record.prompt if t["role"] == "assistant" and t.get("train", True)), *good)
    about = {name: record.meta.get(name) for name in ("category", "template", "fault")}
    return Case(record.where, record.kind, prompt, good, bad, **about)
