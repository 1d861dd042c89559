"""Every suite by its name: how its rows are made, its version, and what the judge must know of it besides.

Whoever changes a suite's rows raises its version and writes the shipped file anew: python -m vgpt2.datagen suite NAME --out eval/suites ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vgpt2.datagen.names.real import Names
from vgpt2.datagen.questions import recipes
from vgpt2.datagen.questions.recipes import Progress
from vgpt2.datagen.sets import records
from vgpt2.datagen.suites import probe, validation, written

VERSIONS = {"demo": 1, "validation": 4, "probe": 1, "plain": 3, "hard": 3, "plain-vista": 2}
Row = dict[str, Any]


@dataclass(frozen=True)
class Made:
    name: str
    version: int
    rows: list[Row]
    about: Row = field(default_factory=dict)  # what its manifest says besides


def make(name: str, names: Names, *, seed: int, progress: Progress) -> Made:
    """The suite of that name, or the one that a YAML file of questions says; raises ValueError where there is neither."""
    if name.endswith((".yaml", ".yml")):
        return _of_file(Path(name), names)
    if name not in MAKERS:
        raise ValueError(f"suite {name[:40]}: there is none of that name; known are {', '.join(MAKERS)}, or give a YAML file")
    return MAKERS[name](names, seed, progress)


def _of_file(path: Path, names: Names) -> Made:
    """Questions written by hand. `blind` counts those whose writers had not looked at the catalogue."""
    questions = written.read(path)
    rows = written.rows(questions, path.stem, names.catalogue)
    about = {
        "written": "by hand",
        "blind": sum(q.blind for q in questions),
        "accepted_answers": sum(1 + len(q.accepts) for q in questions if q.sql),
    }
    return Made(path.stem, VERSIONS.get(path.stem, 1), rows, about)


def _demo(names: Names, seed: int, progress: Progress) -> Made:
    return Made("demo", VERSIONS["demo"], records.suite_rows(recipes.suite_questions(names, seed=seed, progress=progress)))


def _validation(names: Names, seed: int, progress: Progress) -> Made:
    found = validation.rows(names, seed=seed, progress=progress)
    return Made("validation", VERSIONS["validation"], found, {"thresholds": validation.THRESHOLDS})


def _probe(names: Names, seed: int, progress: Progress) -> Made:
    return Made("probe", VERSIONS["probe"], probe.rows(names, seed=seed))


MAKERS: dict[str, Callable[[Names, int, Progress], Made]] = {"demo": _demo, "validation": _validation, "probe": _probe}
