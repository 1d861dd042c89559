"""The audit's rules on a whole set: even shares of real and unreal, right and wrong; nothing twice or both ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from statistics import median

from vgpt2.datagen.audit.facts import Facts, Failure
from vgpt2.datagen.faults import ACCEPTS_FAKE, REFUSES_REAL
from vgpt2.datagen.language.phrasings import asks_existence, takes_no_name
from vgpt2.datagen.language.similarity import earlier_twins

NEAR = 0.9  # share of common runs of words from which two cases are near duplicates
NEAR_SHARE = 0.01  # of a set that may be near duplicates
EVEN = (0.45, 0.55)
ABSENT = (0.05, 0.20)
LEAST_OF_KIND, LEAST_OF_TEMPLATE = 5, 20  # questions below which a share says nothing
LENGTH_RATIO = (0.8, 1.25)
LEAST_OF_CLASS = 8  # right, or wrong, answers of a category below which its median says nothing
SMALL = "small categories"


@dataclass(frozen=True)
class Outcome:
    """How much a rule looked at, what it found, and a note on it."""

    checked: int
    failures: tuple[Failure, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Balance:
    """The questions of one template: how many there are, and how many ask for something that is not there."""

    template: str
    asked: int
    absent: int
    band: tuple[float, float] | None  # the share that must be absent; None where no rule says so

    @property
    def is_out(self) -> bool:
        """Whether the share is out of its band, by more than the chance of a small group."""
        if self.band is None:
            return False
        if self.band == EVEN:
            return not _even(self.absent, self.asked)
        return not floor(self.band[0] * self.asked) <= self.absent <= ceil(self.band[1] * self.asked) + 1


Rule = Callable[[Sequence[Facts]], Outcome]


def balances(cases: Sequence[Facts]) -> list[Balance]:
    """Every template in the order of its name."""
    groups: dict[str, list[Facts]] = defaultdict(list)
    for case in cases:
        if case.template:
            groups[case.template].append(case)
    return [
        Balance(name, len(rows), sum(case.asks_absent for case in rows), _band(name, rows, least=LEAST_OF_TEMPLATE))
        for name, rows in sorted(groups.items())
    ]


def existence_balance(cases: Sequence[Facts]) -> Outcome:
    """Each template that asks whether a name is real: real and unreal within 45-55 %."""
    judged = [balance for balance in balances(cases) if balance.band == EVEN]
    says = "{0.template}: {0.absent} of {0.asked} names are unreal; 45-55 % must be"
    return Outcome(len(judged), tuple(_of_set(says.format(b)) for b in judged if b.is_out))


def absent_share(cases: Sequence[Facts]) -> Outcome:
    """5-20 % of an SFT set's other questions that take a name ask for something absent: of a kind, and of a template with twenty rows."""
    kinds: dict[str, list[Facts]] = defaultdict(list)
    for case in cases:
        if case.template:
            kinds[case.template.rpartition("-")[0]].append(case)
    whole = [
        Balance(kind, len(rows), sum(case.asks_absent for case in rows), _band(kind, rows, least=LEAST_OF_KIND))
        for kind, rows in sorted(kinds.items())
    ]
    judged = [balance for balance in (*balances(cases), *whole) if balance.band == ABSENT]
    says = "{0.template}: {0.absent} of {0.asked} questions ask for something absent; 5-20 % must"
    return Outcome(len(judged), tuple(_of_set(says.format(b)) for b in judged if b.is_out))


def refusals_even(cases: Sequence[Facts]) -> Outcome:
    """Preference rows: of the answers that deny a name 45-55 % are right to do so; else the trainer learns refusing, or its opposite."""
    right = sum(case.good_refuses for case in cases if case.stage != "sft")
    wrong = sum(case.bad_refuses for case in cases if case.stage != "sft")
    says = f"{right} of {right + wrong} answers that deny a name are rewarded; 45-55 % must be"
    return Outcome(right + wrong, () if _even(right, right + wrong) else (_of_set(says),))


def wrong_verdicts_even(cases: Sequence[Facts]) -> Outcome:
    """Preference rows: among the wrong verdicts as many refuse a real name as accept a fake one."""
    wrong = [case.fault for case in cases if case.bad and case.fault in (REFUSES_REAL, ACCEPTS_FAKE)]
    refused = wrong.count(REFUSES_REAL)
    says = f"{refused} of {len(wrong)} wrong verdicts refuse a real name; 45-55 % must"
    return Outcome(len(wrong), () if _even(refused, len(wrong)) else (_of_set(says),))


def both_classes(cases: Sequence[Facts]) -> Outcome:
    """KTO: desirable and undesirable within 45-55 % of each category."""
    groups = _by_category([case for case in cases if case.stage == "kto"])
    counts = {category: (sum(bool(case.good) for case in rows), len(rows)) for category, rows in groups.items()}
    says = "{}: {} of {} rows are desirable; 45-55 % must be"
    return Outcome(len(counts), tuple(_of_set(says.format(c, good, n)) for c, (good, n) in counts.items() if not _even(good, n)))


def matched_lengths(cases: Sequence[Facts]) -> Outcome:
    """Right and wrong answers of a category are of like length: median ratio .8 to 1.25."""
    least, most = LENGTH_RATIO
    ratios = length_ratios(cases)
    says = "{}: right answers are {:.2f} times as long as wrong ones; .8 to 1.25 is allowed"
    failures = tuple(_of_set(says.format(category, ratio)) for category, ratio in ratios.items() if not least <= ratio <= most)
    return Outcome(len(ratios), failures, note=", ".join(f"{category} {ratio:.2f}" for category, ratio in ratios.items()))


def length_ratios(cases: Sequence[Facts]) -> dict[str, float]:
    """Characters of right answers to those of wrong ones by category: the median of the pairs, or of the labelled answers.

    Categories with few answers of either class are judged together.
    """
    ratios = {}
    for category, rows in _few_together(_by_category([case for case in cases if case.stage != "sft"])).items():
        pairs = [case for case in rows if case.stage == "dpo"]
        if pairs:
            ratios[category] = median(case.good_characters[0] / max(1, case.bad_characters[0]) for case in pairs)
            continue
        good, bad = [n for case in rows for n in case.good_characters], [n for case in rows for n in case.bad_characters]
        if good and bad:
            ratios[category] = median(good) / max(1, median(bad))
    return ratios


def no_duplicates(cases: Sequence[Facts]) -> Outcome:
    """No row twice."""
    first: dict[tuple[object, ...], str] = {}
    found = []
    for case in cases:
        key = (case.prompt, case.good, case.bad)
        if key in first:
            found.append(Failure(case.where, f"same row as {first[key]}"))
        first.setdefault(key, case.where)
    return Outcome(len(cases), tuple(found))


def few_near_duplicates(cases: Sequence[Facts]) -> Outcome:
    """At most one case in a hundred is like an earlier one in nine of ten runs of three words, numbers and quoted values aside."""
    twins = earlier_twins([case.shingles for case in cases], NEAR)
    found = [Failure(case.where, f"like {cases[twin].where}") for case, twin in zip(cases, twins) if twin is not None]
    note = f"{len(found)} near duplicates, {len(found) / max(1, len(cases)):.2%}; at most {NEAR_SHARE:.0%} may be"
    return Outcome(len(cases), tuple(found) if len(found) > NEAR_SHARE * len(cases) else (), note)


def no_contradictions(cases: Sequence[Facts]) -> Outcome:
    """The same prompt is never answered in two ways, and no answer is both rewarded and punished."""
    good: dict[bytes, tuple[bytes, str]] = {}
    found = []
    for case in cases:
        for answer in case.good:
            text, where = good.setdefault(case.prompt, (answer, case.where))
            if text != answer:
                found.append(Failure(case.where, f"answers the prompt of {where} differently"))
    for case in cases:
        text, where = good.get(case.prompt, (b"", ""))
        if text in case.bad:
            found.append(Failure(case.where, f"the punished answer is rewarded in {where}"))
    return Outcome(len(cases), tuple(found))


RULES: dict[str, Rule] = {
    "real and unreal names even, by template": existence_balance,
    "absent things 5-20 %, by template": absent_share,
    "exact duplicates": no_duplicates,
    "near duplicates": few_near_duplicates,
    "contradictions": no_contradictions,
    "both KTO classes": both_classes,
    "refusals right and wrong even": refusals_even,
    "wrong verdicts even": wrong_verdicts_even,
    "lengths of right and wrong answers": matched_lengths,
}


def _of_set(says: str) -> Failure:
    return Failure("", says)


def _band(template: str, rows: Sequence[Facts], *, least: int) -> tuple[float, float] | None:
    """The share of absent things that a template, or a kind of them, must keep to: even where it asks for existence."""
    if asks_existence(template):
        return EVEN
    return ABSENT if rows[0].stage == "sft" and not takes_no_name(template) and len(rows) >= least else None


def _by_category(cases: Iterable[Facts]) -> dict[str, list[Facts]]:
    groups: dict[str, list[Facts]] = defaultdict(list)
    for case in cases:
        groups[case.category or "all"].append(case)
    return dict(sorted(groups.items()))


def _few_together(groups: dict[str, list[Facts]]) -> dict[str, list[Facts]]:
    classes = {c: [sum(map(bool, (case.good for case in rows))), sum(map(bool, (case.bad for case in rows)))] for c, rows in groups.items()}
    few = {c for c, counts in classes.items() if min(counts) < LEAST_OF_CLASS}
    together = [case for category in sorted(few) for case in groups[category]]
    return {c: rows for c, rows in groups.items() if c not in few} | ({SMALL: together} if few else {})


def _even(part: int, whole: int) -> bool:
    """Half of the whole, give or take 5 %, or the odd row of a small group."""
    return abs(part - whole / 2) <= max(1.0, 0.05 * whole)
