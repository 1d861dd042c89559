"""Which pairs of right and wrong answers a preference set holds, by theme and fault, and the making of them.

A wrong answer has one defect, which is stated, and the form and length of the right one. Faults that a catalogue offers no place for give
their share to the others of their theme, a theme without any to the other themes; what could not be made is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from vgpt2.datagen import recipes
from vgpt2.datagen.answers import fenced
from vgpt2.datagen.faults import FAULTS, aggregates, columns, conditions, joins, owners, sql_of, tables, writing, wrong_verdict
from vgpt2.datagen.faults.fault import Fault
from vgpt2.datagen.names import Names
from vgpt2.datagen.outlines import wrong_answer
from vgpt2.datagen.phrasings import TRAINING
from vgpt2.datagen.queries.compose import KINDS
from vgpt2.datagen.queries.maker import make
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.questions import Question
from vgpt2.datagen.recipes import ROOM_OF, ROOMS, Progress, apportioned
from vgpt2.datagen.sides import Side
from vgpt2.datagen.similarity import masked
from vgpt2.datagen.unanswerable import refused, unanswerable
from vgpt2.datagen.world import World
from vgpt2.sql.checker import check

LENGTHS = (0.5, 2.0)  # of the right answer to the wrong one
ABSENT_SHARE = 0.65  # of the unanswerable theme; the other questions are answerable, and wrongly refused
_WORD = re.compile(r"[A-Za-z_]\w*")
_BATCH = 200  # questions for SQL drawn at a time
_REDRAWS = 4  # of a question that was there before
_PATIENCE = 2_000  # questions in a row without a place for what is still wanted
_ANSWERABLE = QuerySettings(absent=0, unclear=0, off_topic=0, followed=0)


@dataclass(frozen=True)
class Pair:
    """A question with a wrong answer beside its own; `fault` is what is wrong."""

    theme: str
    category: str
    question: Question
    fault: str
    wrong: str


@dataclass(frozen=True)
class Theme:
    """Pairs on one kind of mistake: wrong verdicts on names asked in these ways (shares), or faults of SQL; neither: unanswerable ones."""

    share: float
    asks: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    categories: tuple[str, str] | None = None  # of real and of unreal names, where they are counted apart


@dataclass(frozen=True)
class Made:
    pairs: list[Pair]
    wanted: dict[str, int]  # by theme
    short: dict[str, int]  # what of it could not be made


def _named(*themes: Sequence[Fault]) -> tuple[str, ...]:
    return tuple(fault.name for theme in themes for fault in theme)


RECIPES: dict[str, dict[str, Theme]] = {
    "v3": {
        "table": Theme(1600, asks={"exists_memory": 1000, "exists_list": 600}, categories=("accept_real_table", "refuse_fake_table")),
        "fake_column": Theme(400),
        "nolock": Theme(300, faults=("missing_nolock",)),
        "join": Theme(200, faults=("incomplete_join",)),
    },
    "balanced": {
        "existence": Theme(35, asks={"exists_memory": 14, "exists_list": 11, "has_column": 10}),
        "wrong_attribute": Theme(15, faults=_named(columns.FAULTS)),
        "wrong_table": Theme(12, faults=_named(tables.FAULTS)),
        "join_keys": Theme(12, faults=_named(joins.FAULTS)),
        "condition": Theme(8, faults=_named(owners.FAULTS, conditions.FAULTS)),
        "writing": Theme(8, faults=_named(writing.FAULTS)),
        "aggregate": Theme(6, faults=_named(aggregates.FAULTS)),
        "unanswerable": Theme(4),
    },
}
SIZES = {"v3": 2_500, "balanced": 5_000}


def pairs(
    names: Names, *, recipe: str, size: int, seed: int, purpose: str, progress: Progress, avoid: frozenset[str] = frozenset()
) -> Made:
    """About `size` pairs of a recipe; `purpose` (dpo, kto) keeps the questions of two sets apart, `avoid` holds names of suites.

    A slip of the keyboard may hit upon a name that a suite has invented, too: such a pair is drawn again.
    """
    side = recipes.preference_side(names)
    if recipe == "thin":
        return _thin(side, size=size, seed=seed, purpose=purpose, progress=progress)
    themes, seed_text = RECIPES[recipe], f"{seed}/{purpose}/{recipe}"
    wanted = apportioned({name: theme.share for name, theme in themes.items()}, size)
    found: list[Pair] = []
    for name, theme in themes.items():
        if theme.asks:
            verdicts = _verdicts(name, theme, wanted[name], side, f"{seed_text}/{name}", progress)
            found += [pair for pair in verdicts if not _uses(pair, avoid)]
        elif not theme.faults:
            found += _unanswerable(name, wanted[name], side, f"{seed_text}/{name}", progress, avoid)
    questions = _questions(side, _ANSWERABLE, {kind: weight for kind, (_, weight) in KINDS.items()}, f"{seed_text}/sql")
    broken = {name: wanted[name] for name, theme in themes.items() if theme.faults}
    found += _broken(broken, themes, questions, side, progress, avoid)
    short = _short(wanted, found)
    full = {name: themes[name].share for name in broken if not short[name]}
    if full and sum(short.values()):
        found += _broken(apportioned(full, sum(short.values())), themes, questions, side, progress, avoid)
    short = {name: count for name, count in _short(wanted, found).items() if count}
    # labelled answers take turns in this order: neighbours of like length make two classes of like length
    return Made(sorted(found, key=lambda pair: (pair.category, len(pair.question.answer))), wanted, short)


def _thin(side: Side, *, size: int, seed: int, purpose: str, progress: Progress) -> Made:
    """A question whose query offers no place for its fault is left out."""
    found, wanted = [], apportioned(recipes.PAIR_SHARES, size)
    groups = recipes.pair_questions(side.names, size=size, seed=seed, purpose=purpose, progress=progress)
    for defect, questions in groups:
        for index, q in enumerate(questions):
            if q.query is None:
                found.append(Pair(ROOM_OF[q.kind], ROOM_OF[q.kind], q, *wrong_verdict(q)))
                continue
            broken = FAULTS[defect].apply(q.query, side, Random(f"{seed}/{purpose}/{defect}/{q.kind}/{index}"))
            if broken is not None:
                found.append(Pair(ROOM_OF[q.kind], ROOM_OF[q.kind], q, defect, fenced(sql_of(broken))))
    quotas = Counter({ROOM_OF[kind]: 0 for _, kind in wanted})
    for (_, kind), count in wanted.items():
        quotas[ROOM_OF[kind]] += count
    return Made(found, dict(quotas), {name: count for name, count in _short(quotas, found).items() if count})


def _verdicts(name: str, theme: Theme, count: int, side: Side, purpose: str, progress: Progress) -> list[Pair]:
    """Names that are real denied and unreal ones accepted, in equal number for each sentence."""
    found, seen = [], set[str]()
    for kind, n in apportioned(theme.asks, count).items():
        slots = recipes.balanced_slots(kind, TRAINING[kind], n, Random(f"{purpose}/slots/{kind}"), absent_share=0.0)
        room = ROOMS[ROOM_OF[kind]]
        chats = recipes.draw(side, room, [[slot] for slot in slots], purpose=f"{purpose}/{kind}", seen=seen, progress=progress)
        for question in (question for chat in recipes.evened(chats) for question in chat):
            assert question.subject is not None
            real, unreal = theme.categories or (name, name)
            found.append(Pair(name, real if question.subject.is_real else unreal, question, *wrong_verdict(question)))
    return found


def _unanswerable(name: str, count: int, side: Side, purpose: str, progress: Progress, avoid: frozenset[str]) -> list[Pair]:
    """Columns that are not there, asked for and invented, and real ones denied, two to one."""
    world, seen, found = World(side.names, side), set[str](), list[Pair]()
    absent = round(ABSENT_SHARE * count)
    for number in progress(range(count)):
        for attempt in range(_REDRAWS):
            made = (unanswerable if number < absent else refused)(world, Random(f"{purpose}/{number}/{attempt}"))
            pair = Pair(name, name, *made) if made else None
            if pair and masked(pair.question.prompt) not in seen and not _uses(pair, avoid):
                seen.add(masked(pair.question.prompt))
                found.append(pair)
                break
    return found


def _broken(
    quotas: Mapping[str, int],
    themes: Mapping[str, Theme],
    questions: Iterator[Question],
    side: Side,
    progress: Progress,
    avoid: frozenset[str],
) -> list[Pair]:
    """Questions for SQL, each with one fault of the theme that is farthest from its quota and offers a place for it."""
    found: dict[str, list[Pair]] = {name: [] for name in quotas}
    uses: Counter[str] = Counter()
    steps, idle = iter(progress(range(sum(quotas.values())))), 0
    while idle < _PATIENCE:
        wanting = sorted((name for name in quotas if len(found[name]) < quotas[name]), key=lambda name: len(found[name]) / quotas[name])
        question = next(questions, None) if wanting else None
        if question is None:
            break
        made = (pair for name in wanting if (pair := _with_fault(name, themes[name].faults, question, uses, side)))
        pair = next(made, None)
        idle += 1
        if pair and not _uses(pair, avoid):
            found[pair.theme].append(pair)
            uses[pair.fault] += 1
            next(steps, None)
            idle = 0
    return [pair for group in found.values() for pair in group]


def _with_fault(name: str, faults: Sequence[str], question: Question, uses: Counter[str], side: Side) -> Pair | None:
    """The question with the least used of the faults that its query has a place for, if the checker sees that fault and no other."""
    assert question.query is not None
    for fault in sorted(faults, key=lambda fault: uses[fault]):
        broken = FAULTS[fault].apply(question.query, side, Random(f"{fault}/{question.prompt}"))
        if broken is not None and _is_exact(FAULTS[fault], sql_of(broken), side):
            wrong = wrong_answer(question.answer, question.query, broken, side.catalogue)
            if LENGTHS[0] <= len(question.answer) / len(wrong) <= LENGTHS[1] and question.answer != wrong:
                return Pair(name, name, question, fault, wrong)
    return None


def _questions(side: Side, settings: QuerySettings, kinds: Mapping[str, float], purpose: str) -> Iterator[Question]:
    """Questions for SQL without end, no two prompts alike but for values; they end where a batch brings nothing new."""
    world, seen, number = World(side.names, side, queries=settings), set[str](), 0
    while True:
        batch = [chat[0] for chat in make("sql", kinds, world, _BATCH, f"{purpose}/{number}") if chat[0].query]
        fresh = {masked(question.prompt): question for question in batch if masked(question.prompt) not in seen}
        if not fresh:
            return
        seen |= fresh.keys()
        yield from fresh.values()
        number += 1


def _is_exact(fault: Fault, sql: str, side: Side) -> bool:
    findings = check(sql, side.catalogue)
    return sorted(finding.code for finding in findings) == sorted(fault.codes + fault.warnings)


def _uses(pair: Pair, names: frozenset[str]) -> bool:
    texts = (pair.question.ask, pair.question.answer, pair.wrong) if names else ()
    return any(not names.isdisjoint(_WORD.findall(text)) for text in texts)


def _short(wanted: Mapping[str, int], found: Sequence[Pair]) -> dict[str, int]:
    made = Counter(pair.theme for pair in found)
    return {name: max(0, count - made[name]) for name, count in wanted.items()}
