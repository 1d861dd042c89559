"""The audit's rules: each a pure function of the cases and the context, giving how much it looked at and what it found.

Rules about content hold for every file; those about templates and faults only for rows that name them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor
from statistics import median
from typing import Any

from vgpt2.datagen.cases import Case
from vgpt2.datagen.faults import ACCEPTS_FAKE, FAULTS, REFUSES_REAL
from vgpt2.datagen.names import Names
from vgpt2.datagen.phrasings import EXISTENCE_KINDS
from vgpt2.datagen.similarity import masked, normalised
from vgpt2.datagen.statements import UNREAL, alternatives, denied_reals, denies, findings, said, unreal_names

_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Outcome:
    checked: int
    failures: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Context:
    names: Names
    suites: tuple[dict[str, Any], ...]  # rows of all suites

    @cached_property
    def words(self) -> frozenset[str]:
        """Capitalised words that descriptions use and that therefore are no names: EFT, POs, RFI."""
        texts = [o.description for o in self.names.catalogue.objects.values()]
        texts += [c.description for o in self.names.catalogue.objects.values() for c in o.columns]
        described = {word for text in texts if text for word in _WORD.findall(text)}
        return frozenset(described | {"SQL", "NOLOCK", "WITH", *self.names.catalogue.modules})


Rule = Callable[[Sequence[Case], Context], Outcome]


def no_unreal_names(cases: Sequence[Case], context: Context) -> Outcome:
    """No table or column in a rewarded answer that does not exist."""
    answers = [(case, answer) for case in cases for answer in case.good]
    found = [f"{case.where}: names {', '.join(unreal)}" for case, a in answers if (unreal := unreal_names(a, context.names, context.words))]
    return Outcome(len(answers), tuple(found))


def house_rules(cases: Sequence[Case], context: Context) -> Outcome:
    """No finding of the checker in the SQL of a rewarded answer: NOLOCK, whole keys, aliases, syntax."""
    answers = [(case, answer) for case in cases for answer in case.good if "select" in answer.casefold()]
    found = []
    for case, answer in answers:
        others = [f for f in findings(answer, context.names) if f.code not in UNREAL]
        found += [f"{case.where}: {f.code}: {f.message}" for f in others[:1]]
    return Outcome(len(answers), tuple(found))


def no_real_refused(cases: Sequence[Case], context: Context) -> Outcome:
    """No rewarded answer denies a real object or column."""
    answers = [(case, answer) for case in cases for answer in case.good if denies(answer)]
    found = [f"{case.where}: denies {', '.join(real)}" for case, a in answers if (real := denied_reals(a, context.names))]
    return Outcome(len(answers), tuple(found))


def alternative_given(cases: Sequence[Case], context: Context) -> Outcome:
    """Every denial of a name says what to use instead."""
    denials = [(case, a) for case in cases for a in case.good if any(c.kind == "not_exists" for c in said(a))]
    found = [f"{case.where}: names no alternative" for case, a in denials if not alternatives(a)]
    return Outcome(len(denials), tuple(found))


def existence_balance(cases: Sequence[Case], context: Context) -> Outcome:
    """Each template that asks whether a name is real: real and unreal within 45-55 %."""
    by_template = _by_template(cases, existence=True)
    found = []
    for template, rows in by_template.items():
        real = sum(not _asks_unreal(case) for case in rows)
        if not _even(real, len(rows)):
            found.append(f"{template}: {real} of {len(rows)} names are real; 45-55 % must be")
    return Outcome(len(by_template), tuple(found))


def absent_share(cases: Sequence[Case], context: Context) -> Outcome:
    """5-20 % of an SFT set's other questions ask for something absent: of each kind, and of each template with five rows or more."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for template, rows in _by_template([case for case in cases if case.stage == "sft"], existence=False).items():
        groups[template] += rows
        groups[template.rpartition("-")[0]] += rows
    judged = {name: rows for name, rows in groups.items() if len(rows) >= 5}
    found = []
    for name, rows in judged.items():
        absent = sum(_asks_unreal(case) for case in rows)
        if not max(1, floor(0.05 * len(rows))) <= absent <= ceil(0.2 * len(rows)):
            found.append(f"{name}: {absent} of {len(rows)} questions ask for something absent; 5-20 % must")
    return Outcome(len(judged), tuple(found))


def no_duplicates(cases: Sequence[Case], context: Context) -> Outcome:
    """No row twice."""
    first: dict[tuple[str, tuple[str, ...], bool], str] = {}
    found = []
    for case in cases:
        key = (normalised(case.prompt), tuple(normalised(a) for a in case.answers), bool(case.good))
        if key in first:
            found.append(f"{case.where}: same row as {first[key]}")
        first.setdefault(key, case.where)
    return Outcome(len(cases), tuple(found))


def few_near_duplicates(cases: Sequence[Case], context: Context) -> Outcome:
    """At most one row in a hundred differs from another only in numbers and quoted values."""
    seen = Counter((masked(case.prompt), tuple(masked(a) for a in case.answers)) for case in cases)
    extra = sum(n - 1 for n in seen.values())
    failures = (f"{extra} of {len(cases)} rows repeat another but for values; at most 1 % may",) if extra > 0.01 * len(cases) else ()
    return Outcome(len(cases), failures, note=f"{extra} near duplicates")


def no_contradictions(cases: Sequence[Case], context: Context) -> Outcome:
    """The same prompt is never answered in two ways, and no answer is both rewarded and punished."""
    good: dict[str, tuple[str, str]] = {}
    found = []
    for case in cases:
        prompt = normalised(case.prompt)
        for answer in case.good:
            text, where = good.setdefault(prompt, (normalised(answer), case.where))
            if text != normalised(answer):
                found.append(f"{case.where}: answers the prompt of {where} differently")
    for case in cases:
        for answer in case.bad:
            if good.get(normalised(case.prompt), ("",))[0] == normalised(answer):
                found.append(f"{case.where}: the punished answer is rewarded in {good[normalised(case.prompt)][1]}")
    return Outcome(len(cases), tuple(found))


def stated_defect(cases: Sequence[Case], context: Context) -> Outcome:
    """Each rejected or undesirable answer has the defect its row states, and no other."""
    wrong = [(case, answer) for case in cases if case.fault for answer in case.bad]
    found = [f"{case.where}: {problem}" for case, answer in wrong if (problem := _defect_problem(case, answer, context))]
    return Outcome(len(wrong), tuple(found))


def both_classes(cases: Sequence[Case], context: Context) -> Outcome:
    """KTO: desirable and undesirable within 45-55 % of each category."""
    found, groups = [], _by_category([case for case in cases if case.stage == "kto"])
    for category, rows in groups.items():
        desirable = sum(bool(case.good) for case in rows)
        if not _even(desirable, len(rows)):
            found.append(f"{category}: {desirable} of {len(rows)} rows are desirable; 45-55 % must be")
    return Outcome(len(groups), tuple(found))


def refusals_balanced(cases: Sequence[Case], context: Context) -> Outcome:
    """Preference rows: among the wrong verdicts as many refuse a real name as accept a fake one, for each class of rows."""
    wrong = [case.fault for case in cases if case.bad and case.fault in (REFUSES_REAL, ACCEPTS_FAKE)]
    refused = wrong.count(REFUSES_REAL)
    failures = () if _even(refused, len(wrong)) else (f"{refused} of {len(wrong)} wrong verdicts refuse a real name; 45-55 % must",)
    return Outcome(len(wrong), failures)


def matched_lengths(cases: Sequence[Case], context: Context) -> Outcome:
    """Right and wrong answers of a category are of like length: median ratio .8 to 1.25."""
    found, ratios = [], {}
    for category, rows in _by_category([case for case in cases if case.stage != "sft"]).items():
        if rows[0].stage == "dpo":
            ratios[category] = median(len(case.good[0]) / max(1, len(case.bad[0])) for case in rows)
        else:
            good, bad = [len(a) for c in rows for a in c.good], [len(a) for c in rows for a in c.bad]
            if good and bad:
                ratios[category] = median(good) / max(1, median(bad))
    for category, ratio in ratios.items():
        if not 0.8 <= ratio <= 1.25:
            found.append(f"{category}: right answers are {ratio:.2f} times as long as wrong ones; .8 to 1.25 is allowed")
    return Outcome(len(ratios), tuple(found), note=", ".join(f"{c} {r:.2f}" for c, r in ratios.items()))


def no_leaks(cases: Sequence[Case], context: Context) -> Outcome:
    """Nothing of a suite in a set: no prompt, no sentence, no held-out name.

    Names asked about from memory are held out where they are invented only; where the prompt shows what is real, whole objects are.
    """
    if not context.suites:
        return Outcome(0, note="no suite given")
    prompts = {normalised(_suite_prompt(row)) for row in context.suites}
    templates = {row.get("template") for row in context.suites} - {None}
    held = {word for row in context.suites for word in _held_out_names(row)}
    found = []
    for case in cases:
        shared = sorted({w for text in (case.prompt, *case.answers) for w in _WORD.findall(text)} & held)
        if normalised(case.prompt) in prompts or normalised(case.ask) in prompts:
            found.append(f"{case.where}: its prompt stands in a suite")
        elif case.template in templates:
            found.append(f"{case.where}: template {case.template} is a suite's")
        elif shared:
            found.append(f"{case.where}: uses {', '.join(shared)}, which a suite holds out")
    return Outcome(len(cases), tuple(found), note=f"{len(held)} held-out names")


RULES: dict[str, Rule] = {
    "unreal names in rewarded answers": no_unreal_names,
    "house rules in rewarded SQL": house_rules,
    "real names refused": no_real_refused,
    "refusals name an alternative": alternative_given,
    "real and unreal names even, by template": existence_balance,
    "absent things 5-20 %, by template": absent_share,
    "exact duplicates": no_duplicates,
    "near duplicates": few_near_duplicates,
    "contradictions": no_contradictions,
    "stated defect and no other": stated_defect,
    "both KTO classes": both_classes,
    "wrong verdicts even": refusals_balanced,
    "lengths of right and wrong answers": matched_lengths,
    "leaks from suites": no_leaks,
}


def _defect_problem(case: Case, answer: str, context: Context) -> str | None:
    """What is wrong with the wrong answer, if it is not exactly what its row says."""
    fault = case.fault or ""
    if fault in (REFUSES_REAL, ACCEPTS_FAKE):
        refused = denied_reals(answer, context.names)
        accepted = [c.name for c in said(answer) if c.kind == "exists" and unreal_names(answer, context.names, context.words)]
        right = (bool(refused), bool(accepted)) == (fault == REFUSES_REAL, fault == ACCEPTS_FAKE)
        return None if right else f"fault {fault} is not in the answer"
    if fault not in FAULTS:
        return f"unknown fault '{fault}'"
    codes = tuple(sorted(f.code for f in findings(answer, context.names)))
    return None if codes == FAULTS[fault].codes else f"fault {fault} should be the only one, found {', '.join(codes) or 'none'}"


def _asks_unreal(case: Case) -> bool:
    """Whether the asked name is unreal: what a right answer denies, or a wrong one fails to."""
    return denies(case.good[0]) if case.good else not denies(case.bad[0])


def _by_template(cases: Iterable[Case], *, existence: bool) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.template and case.template.startswith(EXISTENCE_KINDS) == existence:
            groups[case.template].append(case)
    return dict(sorted(groups.items()))


def _by_category(cases: Iterable[Case]) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.category or "all"].append(case)
    return dict(sorted(groups.items()))


def _even(part: int, whole: int) -> bool:
    """Half of the whole, give or take 5 %, or the odd row of a small group."""
    return abs(part - whole / 2) <= max(1.0, 0.05 * whole)


def _suite_prompt(row: dict[str, Any]) -> str:
    return "\n".join(m["content"] for m in row["messages"] if m["role"] == "user")


def _held_out_names(row: dict[str, Any]) -> list[str]:
    expect = row["expect"]
    if row.get("group") == "exists_memory":
        return [] if expect["exists"] else [expect["name"]]
    if row.get("group") == "exists_list":
        return [expect["name"]]
    return [*row.get("objects", []), *([] if expect.get("exists", True) else [expect["name"].rpartition(".")[2]])]
