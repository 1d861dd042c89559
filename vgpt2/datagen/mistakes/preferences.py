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
from typing import TYPE_CHECKING

from vgpt2.datagen.faults import FAULTS, aggregates, columns, conditions, joins, owners, sql_of, tables, writing, wrong_verdict
from vgpt2.datagen.faults.fault import Fault
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.language.phrasings import TRAINING
from vgpt2.datagen.language.similarity import masked
from vgpt2.datagen.mistakes.outlines import wrong_answer
from vgpt2.datagen.mistakes.unanswerable import refused, unanswerable
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.queries.compose import KINDS
from vgpt2.datagen.queries.maker import make
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.questions import recipes
from vgpt2.datagen.questions.question import Question
from vgpt2.datagen.questions.recipes import ROOM_OF, ROOMS, Progress, apportioned
from vgpt2.datagen.questions.world import World
from vgpt2.sql.checker import check

if TYPE_CHECKING:
    from vgpt2.sql.glossary import Glossary

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


# meant for 2,500 pairs and for 5,000; labelled answers, 3,000
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


@dataclass(frozen=True)
class _Task:
    """What the making of every theme needs: where names come from, which are kept out, the seed text, and a bar."""

    world: World
    avoid: frozenset[str]
    seed: str
    progress: Progress

    def is_free(self, pair: Pair) -> bool:
        """Whether the pair uses no name that is kept out."""
        texts = (pair.question.ask, pair.question.answer, pair.wrong) if self.avoid else ()
        return all(self.avoid.isdisjoint(_WORD.findall(text)) for text in texts)


def pairs(
    names: Names,
    *,
    recipe: str,
    size: int,
    seed: int,
    purpose: str,
    progress: Progress,
    glossary: Glossary | None = None,
    avoid: frozenset[str] = frozenset(),
) -> Made:
    """About `size` pairs of a recipe; `purpose` (dpo, kto) keeps the questions of two sets apart, `avoid` holds names of suites.

    A slip of the keyboard may hit upon a name that a suite has invented, too: such a pair is drawn again.
    """
    side = recipes.preference_side(names)
    if recipe == "thin":
        return _thin(side, size=size, seed=seed, purpose=purpose, progress=progress)
    task = _Task(World(names, side, glossary, queries=_ANSWERABLE), avoid, f"{seed}/{purpose}/{recipe}", progress)
    themes = RECIPES[recipe]
    wanted = apportioned({name: theme.share for name, theme in themes.items()}, size)
    found: list[Pair] = []
    for name, theme in themes.items():
        if theme.asks:
            found += _verdicts(name, theme, wanted[name], task)
        elif not theme.faults:
            found += _unanswerable(name, wanted[name], task)
    questions = _questions(task)
    broken = {name: wanted[name] for name, theme in themes.items() if theme.faults}
    found += _broken(broken, themes, questions, task)
    short = _short(wanted, found)
    full = {name: themes[name].share for name in broken if not short[name]}
    if full and sum(short.values()):
        found += _broken(apportioned(full, sum(short.values())), themes, questions, task)
    # labelled answers take turns in this order: neighbours of like length make two classes of like length
    found.sort(key=lambda pair: (pair.category, len(pair.question.answer)))
    return Made(found, wanted, {name: count for name, count in _short(wanted, found).items() if count})


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


def _verdicts(name: str, theme: Theme, count: int, task: _Task) -> list[Pair]:
    """Names that are real denied and unreal ones accepted, in equal number for each sentence."""
    found, seen = [], set[str]()
    for kind, n in apportioned(theme.asks, count).items():
        purpose = f"{task.seed}/{name}/{kind}"
        slots = recipes.balanced_slots(kind, TRAINING[kind], n, Random(f"{purpose}/slots"), absent_share=0.0)
        groups = [[slot] for slot in slots]
        chats = recipes.draw(task.world.side, ROOMS[ROOM_OF[kind]], groups, purpose=purpose, seen=seen, progress=task.progress)
        for question in (question for chat in recipes.evened(chats) for question in chat):
            assert question.subject is not None
            real, unreal = theme.categories or (name, name)
            found.append(Pair(name, real if question.subject.is_real else unreal, question, *wrong_verdict(question)))
    return list(filter(task.is_free, found))


def _unanswerable(name: str, count: int, task: _Task) -> list[Pair]:
    """Columns that are not there, asked for and invented, and real ones denied, two to one."""
    seen, found = set[str](), list[Pair]()
    absent = round(ABSENT_SHARE * count)
    for number in task.progress(range(count)):
        for attempt in range(_REDRAWS):
            made = (unanswerable if number < absent else refused)(task.world, Random(f"{task.seed}/{name}/{number}/{attempt}"))
            pair = Pair(name, name, *made) if made else None
            if pair and masked(pair.question.prompt) not in seen and task.is_free(pair):
                seen.add(masked(pair.question.prompt))
                found.append(pair)
                break
    return found


def _broken(quotas: Mapping[str, int], themes: Mapping[str, Theme], questions: Iterator[Question], task: _Task) -> list[Pair]:
    """Questions for SQL, each with one fault of the theme that is farthest from its quota and offers a place for it."""
    found: dict[str, list[Pair]] = {name: [] for name in quotas}
    uses: Counter[str] = Counter()
    steps, idle = iter(task.progress(range(sum(quotas.values())))), 0
    while idle < _PATIENCE:
        wanting = sorted((name for name in quotas if len(found[name]) < quotas[name]), key=lambda name: len(found[name]) / quotas[name])
        question = next(questions, None) if wanting else None
        if question is None:
            break
        made = (pair for name in wanting if (pair := _with_fault(name, themes[name].faults, question, uses, task.world.side)))
        pair = next(made, None)
        idle += 1
        if pair and task.is_free(pair):
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


def _questions(task: _Task) -> Iterator[Question]:
    """Questions for SQL without end, no two prompts alike but for values; they end where a batch brings nothing new."""
    kinds, seen, number = {kind: weight for kind, (_, weight) in KINDS.items()}, set[str](), 0
    while True:
        chats = make("sql", kinds, task.world, _BATCH, f"{task.seed}/sql/{number}")
        batch = {masked(chat[0].prompt): chat[0] for chat in chats if chat[0].query}
        fresh = [question for prompt, question in batch.items() if prompt not in seen]
        if not fresh:
            return
        seen |= batch.keys()
        yield from fresh
        number += 1


def _is_exact(fault: Fault, sql: str, side: Side) -> bool:
    findings = check(sql, side.catalogue)
    return sorted(finding.code for finding in findings) == sorted(fault.codes + fault.warnings)


def _short(wanted: Mapping[str, int], found: Sequence[Pair]) -> dict[str, int]:
    made = Counter(pair.theme for pair in found)
    return {name: max(0, count - made[name]) for name, count in wanted.items()}
