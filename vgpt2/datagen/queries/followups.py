"""Turns that go on from a question: its plan changed in one place, said in a few words. The SQL follows from the changed plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from vgpt2.datagen.plans.plan import ColumnRef
from vgpt2.datagen.queries.asks import Ask, Measure
from vgpt2.datagen.queries.criteria import UNSAID, Criterion, criterion, same_kind
from vgpt2.datagen.queries.draft import Draft
from vgpt2.datagen.queries.wording import condition, listed_columns, with_article
from vgpt2.datagen.queries.words import Words

# what each change is said by: (for training, for suites)
SENTENCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "narrow": (
        (
            "Now only rows with {}.",
            "Only rows with {}, please.",
            "Restrict that to rows with {}.",
            "Just those with {}.",
            "Narrow it down to rows with {}.",
            "Keep only the ones with {}.",
        ),
        ("And if I only want rows with {}?",),
    ),
    "owner": (
        ("And for {}?", "The same for {}.", "Now for {} instead.", "What about {}?", "Do it again for {}.", "Switch to {}."),
        ("Repeat that with {}.",),
    ),
    "value": (
        ("And with {}?", "The same with {} instead.", "Make that {}.", "Now take {}.", "Change it to {}.", "Rather {}."),
        ("How about {}?",),
    ),
    "add": (
        ("Add {}.", "Also show {}.", "I need {} as well.", "With {} too, please.", "Put {} beside it.", "Include {}."),
        ("Could {} be in there too?",),
    ),
    "per": (
        ("And per {}?", "Break that down by {}.", "The same for each {}.", "Split it by {}.", "Now by {}.", "One row per {}, please."),
        ("How does that look by {}?",),
    ),
    "sort": (
        (
            "Sort by {}.",
            "Order that by {}.",
            "Sorted by {}, please.",
            "Put them in order of {}.",
            "Arrange it by {}.",
            "I want it ordered by {}.",
        ),
        ("Could it come in order of {}?",),
    ),
    "top": (
        (
            "Only the first {}.",
            "Just the first {} rows.",
            "Limit it to {} rows.",
            "The first {} will do.",
            "Stop after {} rows.",
            "Not more than {} rows.",
        ),
        ("Cut it off at {} rows.",),
    ),
    "count": (
        (
            "How many are there?",
            "Just count them.",
            "What is their number?",
            "How many rows is that?",
            "Only the count, please.",
            "Give me the number instead.",
        ),
        ("And how many would that be?",),
    ),
}
_NAMELESS = ("owner", "value", "top", "count")  # nothing in them could be absent
_SORTABLE = ("list", "lookup", "lines", "exists", "missing", "days")
_LISTING = ("list", "lookup", "lines", "top", "days", "exists", "missing", "totals")


@dataclass(frozen=True)
class Changed:
    """The plan after the turn, how the change is said, and the column that it newly names, if it names one."""

    ask: Ask
    say: Callable[[Words], str]
    column: ColumnRef | None = None


Change = Callable[[Ask, Draft], "Changed | None"]


def template(change: str, *, held_out: bool) -> str:
    """One id for all sentences of a change; those that take no name say so, as `phrasings.takes_no_name` asks for."""
    prefix = "topic" if change in _NAMELESS else "follow"
    return f"{prefix}_{change}-{'h' if held_out else 't'}01"


def narrow(ask: Ask, draft: Draft) -> Changed | None:
    taken = {c.column.column for c in ask.criteria} | {ref.column for ref in ask.refs}
    more = criterion(draft.table, draft.rng, avoid=taken)
    if more is None:
        return None
    return Changed(replace(ask, criteria=(*ask.criteria, more)), lambda words: condition(more, ask, words, clause=False), more.column)


def owner(ask: Ask, draft: Draft) -> Changed | None:
    if not ask.criteria or ask.criteria[0].kind != "owner":
        return None
    return _with_other(ask, 0, draft)


def value(ask: Ask, draft: Draft) -> Changed | None:
    places = [at for at, c in enumerate(ask.criteria) if c.kind in ("is", "month", "within", "year") and c.column.table == ask.table]
    return _with_other(ask, draft.rng.choice(places), draft) if places else None


def add(ask: Ask, draft: Draft) -> Changed | None:
    if ask.kind not in _LISTING:
        return None
    more = draft.columns(draft.table, 1, besides=[ref.column for ref in ask.refs if ref.table == ask.table])
    if not more:
        return None
    changed = replace(ask, shown=(*ask.shown, *more))
    return Changed(changed, lambda words: with_article(listed_columns(more, ask, words), more, words), more[0])


def per(ask: Ask, draft: Draft) -> Changed | None:
    if ask.kind not in ("count", "total", "by") or len(ask.per) > 1:
        return None
    taken = {ref.column for ref in ask.refs}
    months = [month for month in draft.table.months if month in draft.table.key]
    groups = [column for column in (*months, *draft.table.codes) if column not in taken]
    if not groups:
        return None
    more = draft.table.ref(draft.rng.choice(groups))
    return Changed(replace(ask, kind="by", per=(*ask.per, more)), lambda words: listed_columns((more,), ask, words), more)


def sort(ask: Ask, draft: Draft) -> Changed | None:
    sorting = draft.sorting(ask.shown, 1.0) if ask.kind in _SORTABLE and not ask.sorting else None
    if sorting is None or sorting.by is None:
        return None
    by, suffix = sorting.by, " in descending order" if sorting.descending else ""
    return Changed(replace(ask, sorting=sorting), lambda words: listed_columns((by,), ask, words) + suffix, by)


def top(ask: Ask, draft: Draft) -> Changed | None:
    if not ask.sorting or ask.top or ask.kind not in _SORTABLE:
        return None
    n = draft.rng.choice((5, 10, 20, 50, 100))
    return Changed(replace(ask, top=n), lambda words: str(n))


def count(ask: Ask, draft: Draft) -> Changed | None:
    if ask.kind != "list" or not ask.criteria:
        return None
    return Changed(Ask("count", ask.table, ask.criteria, measures=(Measure("COUNT"),)), lambda words: "")


CHANGES: dict[str, tuple[Change, float]] = {
    "narrow": (narrow, 5),
    "owner": (owner, 2),
    "value": (value, 3),
    "add": (add, 4),
    "per": (per, 4),
    "sort": (sort, 3),
    "top": (top, 3),
    "count": (count, 2),
}


def draw_change(ask: Ask, draft: Draft) -> tuple[str, Changed] | None:
    """Which change is made, and what comes of it; None where the plan bears none."""
    for name in _shuffled(draft.rng):
        made = CHANGES[name][0](ask, draft)
        if made:
            return name, made
    return None


def _shuffled(rng: Random) -> list[str]:
    """All changes in a drawn order, the likelier ones earlier."""
    return sorted(CHANGES, key=lambda name: -(rng.random() ** (1 / CHANGES[name][1])))


def _with_other(ask: Ask, at: int, draft: Draft) -> Changed | None:
    """The criterion at a place with other values, there and where it was carried to."""
    old = ask.criteria[at]
    new = same_kind(old, draft.table, draft.rng)
    if new is None or new.filters == old.filters:
        return None
    details = tuple(replace(d, criteria=tuple(_carried(c, old, new) for c in d.criteria)) for d in ask.details)
    changed = replace(ask, criteria=(*ask.criteria[:at], new, *ask.criteria[at + 1 :]), details=details)
    return Changed(changed, lambda words: condition(new, ask, words, clause=False))


def _carried(c: Criterion, old: Criterion, new: Criterion) -> Criterion:
    if c.kind != UNSAID or c.values != old.values:
        return c
    return replace(c, values=new.values, filters=tuple(replace(f, value=n.value) for f, n in zip(c.filters, new.filters)))
