"""The audit's rules on one case: each a pure function giving what it found, or None with nothing to look at.

Rules about content hold for every file; the one about faults only for rows that name one. Rules about a whole set are in balance.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vgpt2.datagen.audit.cases import Case
from vgpt2.datagen.faults import ACCEPTS_FAKE, FAULTS, REFUSES_REAL
from vgpt2.datagen.language.similarity import normalised
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.statements import UNREAL, Reading, Unreal

_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Held:
    """What suites hold out: whole prompts, sentences by their ids, names."""

    prompts: frozenset[str] = frozenset()
    templates: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Context:
    """What cases are compared with: real names, and what suites hold out."""

    names: Names = field(repr=False)
    held: Held | None = None

    def read(self, case: Case, answer: str) -> Reading:
        return Reading(answer, case.ask, self.names, self.names.words)


@dataclass(frozen=True)
class Read:
    """A case with its answers read."""

    case: Case
    good: tuple[Reading, ...]
    bad: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong with a case, and the names that are wrong in it."""

    says: str
    names: tuple[Unreal, ...] = ()


Rule = Callable[[Read, Context], Iterable[Found] | None]


def no_unreal_names(read: Read, context: Context) -> list[Found] | None:
    """No table or column in a rewarded answer that does not exist."""
    return [_named("names", unreal) for reading in read.good if (unreal := reading.unreal)] if read.good else None


def no_fakes_accepted(read: Read, context: Context) -> list[Found] | None:
    """No rewarded answer says of an unreal name that it exists."""
    asserting = [reading for reading in read.good if any(claim.kind == "exists" for claim in reading.claims)]
    return [_named("accepts", fakes) for reading in asserting if (fakes := reading.accepted_fakes)] if asserting else None


def no_real_refused(read: Read, context: Context) -> list[Found] | None:
    """No rewarded answer denies a real object or column."""
    denying = [reading for reading in read.good if reading.denies_a_name]
    return [_named("denies", [Unreal(name) for name in real]) for r in denying if (real := r.denied_reals)] if denying else None


def alternative_given(read: Read, context: Context) -> list[Found] | None:
    """Every denial of a name says what to use instead."""
    denying = [reading for reading in read.good if reading.denies_a_name]
    return [Found("names no alternative") for reading in denying if not reading.offers_a_name] if denying else None


def house_rules(read: Read, context: Context) -> list[Found] | None:
    """No finding of the checker in the SQL of a rewarded answer: NOLOCK, whole keys, aliases, syntax."""
    with_sql = [reading for reading in read.good if reading.sql]
    errors = [next((f for f in reading.errors if f.code not in UNREAL), None) for reading in with_sql]
    return [Found(f"{f.code}: {f.message}", (Unreal(f.name),)) for f in errors if f] if with_sql else None


def stated_defect(read: Read, context: Context) -> list[Found] | None:
    """Each rejected or undesirable answer has the defect its row states, and no other."""
    if not read.case.fault or not read.bad:
        return None
    return [Found(problem) for reading in read.bad if (problem := _defect_problem(read.case.fault, reading))]


def no_leak(read: Read, context: Context) -> list[Found] | None:
    """Nothing of a suite in a set: no prompt, no sentence, no held-out name."""
    case, held = read.case, context.held
    if held is None:
        return None
    if normalised(case.prompt) in held.prompts or normalised(case.ask) in held.prompts:
        return [Found("its prompt stands in a suite")]
    if case.template in held.templates:
        return [Found(f"template {case.template} is a suite's")]
    shared = sorted({word for text in (case.ask, *case.answers) for word in _WORD.findall(text)} & held.names)
    return [Found(f"uses {', '.join(shared)}, which a suite holds out", tuple(map(Unreal, shared)))] if shared else []


RULES: dict[str, Rule] = {
    "unreal names in rewarded answers": no_unreal_names,
    "unreal names accepted": no_fakes_accepted,
    "real names refused": no_real_refused,
    "refusals name an alternative": alternative_given,
    "house rules in rewarded SQL": house_rules,
    "stated defect and no other": stated_defect,
    "leaks from suites": no_leak,
}
NAME_RULES = ("unreal names in rewarded answers", "unreal names accepted", "real names refused")


def held_out(rows: Sequence[dict[str, Any]]) -> Held:
    """What rows of suites hold out. `held_out` of a row lists its names; where it has none, the kind of question decides.

    Of names asked about from memory only invented ones are held out; where the prompt shows what is real, whole objects are.
    """
    prompts = frozenset(normalised("\n".join(m["content"] for m in row["messages"] if m["role"] == "user")) for row in rows)
    templates = frozenset(template for row in rows if (template := row.get("template")))
    return Held(prompts, templates, frozenset(name for row in rows for name in _held_names(row)))


def _held_names(row: dict[str, Any]) -> list[str]:
    expect = row["expect"]
    if "held_out" in row:
        return list(row["held_out"])
    if row.get("group") == "exists_memory":
        return [] if expect["exists"] else [expect["name"]]
    if row.get("group") == "exists_list":
        return [expect["name"]]
    invented = not expect.get("exists", True) and "." not in expect["name"]  # a column is held out with its object
    return [*row.get("objects", []), *([expect["name"]] if invented else [])]


def _named(verb: str, names: Sequence[Unreal]) -> Found:
    return Found(f"{verb} {', '.join(unreal.name for unreal in names)}", tuple(names))


def _defect_problem(fault: str, reading: Reading) -> str | None:
    """What is wrong with the wrong answer, if it is not exactly what its row says."""
    if fault in (REFUSES_REAL, ACCEPTS_FAKE):
        right = (bool(reading.denied_reals), bool(reading.accepted_fakes)) == (fault == REFUSES_REAL, fault == ACCEPTS_FAKE)
        return None if right else f"fault {fault} is not in the answer"
    if fault not in FAULTS:
        return f"unknown fault '{fault}'"
    codes = sorted(finding.code for finding in reading.findings)
    stated = sorted(FAULTS[fault].codes + FAULTS[fault].warnings)
    return None if codes == stated else f"fault {fault} should be the only one, found {', '.join(codes) or 'none'}"
