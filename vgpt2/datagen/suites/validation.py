"""The validation suite: 500 held-out questions in six groups, each with the share a model must get right.

Sentences and invented names are held out, and so are whole objects where the prompt shows them; nobody can know from memory a name never
seen, so questions asked from memory are about the objects of training, in sentences of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from vgpt2.datagen import knowledge
from vgpt2.datagen.faults import FAULTS, sql_of
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.language.phrasings import HELD_OUT
from vgpt2.datagen.names.fakes import column_guesses
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.queries import maker
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.questions.question import Question
from vgpt2.datagen.questions.recipes import ROOM_OF, ROOMS, Progress, balanced_slots, draw, evened, suite_side
from vgpt2.datagen.questions.world import World

# A hallucination rate below 5 % is a share of right answers of 95 %.
THRESHOLDS = {"schema": 0.95, "sql": 0.90, "hallucination": 0.95, "joins": 0.90, "corrections": 0.85, "business": 0.90}
REPAIRS = (
    "The query below does not answer this: {ask}\n{wrong}\nPut it right.",
    "I asked for the following, and the SQL under it is not acceptable. {ask}\n{wrong}\nHow must it read?",
    "{ask} This is what I have, and it was sent back:\n{wrong}\nWrite the version that passes.",
    "Review and repair.\nTask: {ask}\n{wrong}",
    'A colleague wrote this for the request "{ask}":\n{wrong}\nThere is a mistake in it. Give me the SQL without it.',
    "{wrong}\nThat should do the following, but does not: {ask} Mend it, please.",
)
_PLAIN = QuerySettings(schema_text=1.0, followed=0.0, absent=0.0, unclear=0.0, off_topic=0.0)
_BY_NAME = _PLAIN.model_copy(update={"by_name": 1.0, "mixed": 0.0})
_IN_WORDS = _PLAIN.model_copy(update={"by_name": 0.0, "mixed": 0.0})
_NOT_THERE = "the prompt shows nothing that holds it"
_UNSAID = ("inner_for_left", "left_for_inner")  # no question says whether rows without a match are wanted
_ATTEMPTS = 10
_SCARCITY = 20  # questions drawn of a category for each one wanted of a kind
Row = dict[str, Any]


def rows(names: Names, *, seed: int, progress: Progress) -> list[Row]:
    """All groups in their order; fewer questions where a catalogue has too little for a kind."""
    found: list[Row] = []
    for group, makers in _GROUPS.items():
        made = [row for make in makers for row in make(_Drawing(names, f"{seed}/validation/{group}", progress))]
        found += [{"id": f"{group}-{number:03d}", "group": group, **row} for number, row in enumerate(made, 1)]
    return found


class _Drawing:
    """What the kinds of question are drawn from: the suite's side of the line, under one purpose."""

    def __init__(self, names: Names, purpose: str, progress: Progress) -> None:
        self.side = suite_side(names)
        self.purpose = purpose
        self.progress = progress
        self._guesses = column_guesses(names.catalogue)

    def is_apart(self, question: Question) -> bool:
        """Whether no training set can bear the question's invented name as that of a column."""
        subject = question.subject
        return subject is None or subject.is_real or subject.name.casefold() not in self._guesses

    def is_fit(self, question: Question) -> bool:
        """Whether a question for SQL does not ask for totals of a single row."""
        query = question.query
        if query is None:
            return self.is_apart(question)
        driving = self.side.catalogue.get(query.source.table)
        fixed = {f.column.column for f in query.filters if f.operator == "="}
        return not (query.having and driving and set(driving.business_key) <= fixed)

    def world(self, queries: QuerySettings) -> World:
        return World(self.side.names, self.side, queries=queries)


def _from_room(kind: str, count: int, *, absent: float = 0.0, shown: bool = True) -> Callable[[_Drawing], list[Row]]:
    """Questions of the thin recipe's kinds in held-out sentences."""

    def make(d: _Drawing) -> list[Row]:
        for attempt in range(_ATTEMPTS):
            purpose = f"{d.purpose}/{kind}/{attempt}"
            slots = balanced_slots(kind, HELD_OUT[kind], count, Random(f"{purpose}/slots"), absent_share=absent)
            chats = draw(d.side, ROOMS[ROOM_OF[kind]], [[slot] for slot in slots], purpose=purpose, seen=set(), progress=d.progress)
            questions = [question for chat in evened(chats) for question in chat]
            if all(map(d.is_apart, questions)):
                break
        return [_row(question, shown=shown) for question in questions]

    return make


def _from_memory(category: str, kind: str, count: int, usable: Callable[[Question], bool]) -> Callable[[_Drawing], list[Row]]:
    """Knowledge questions of one kind, each by itself; of those about existence as many real as unreal names."""

    def make(d: _Drawing) -> list[Row]:
        chats = knowledge.MAKERS[category](d.world(_PLAIN), _SCARCITY * count, f"{d.purpose}/{kind}")
        found = [chat[0] for chat in chats if chat[0].kind == kind and usable(chat[0]) and d.is_apart(chat[0])]
        real, unreal = ([q for q in found if q.subject and q.subject.is_real is is_real] for is_real in (True, False))
        if real:
            found = [q for pair in zip(real, unreal) for q in pair]
        return [_row(question, shown=False) for question in found[:count]]

    return make


def _sql(category: str, count: int, settings: QuerySettings) -> Callable[[_Drawing], list[Row]]:
    def make(d: _Drawing) -> list[Row]:
        return [_row(question, shown=True) for question in _queries(d, category, count, settings)]

    return make


def _corrections(count: int) -> Callable[[_Drawing], list[Row]]:
    """Wrong SQL and what it was for; no fault a second time while another one fits."""

    def make(d: _Drawing) -> list[Row]:
        rng = Random(f"{d.purpose}/faults")
        left = [name for name in rng.sample(sorted(FAULTS), len(FAULTS)) if name not in _UNSAID]
        found: list[Row] = []
        for question in _queries(d, "sql", 2 * count, _PLAIN):
            name, wrong = _broken(question, left, d, rng)
            if wrong and len(found) < count:
                left.remove(name)
                left.append(name)
                number = len(found) % len(REPAIRS)
                ask = REPAIRS[number].format(ask=_statement(question.ask), wrong=fenced(wrong))
                asked = replace(question, ask=ask, template=f"repair-h{number + 1:02d}")
                found.append({**_row(asked, shown=True), "fault": name})
        return found

    return make


def _broken(question: Question, faults: Sequence[str], d: _Drawing, rng: Random) -> tuple[str, str | None]:
    """The first fault that the query can have, and the SQL with it."""
    assert question.query
    for name in faults:
        broken = FAULTS[name].apply(question.query, d.side, rng)
        if broken is not None:
            return name, sql_of(broken)
    return "", None


def _queries(d: _Drawing, category: str, count: int, settings: QuerySettings) -> list[Question]:
    """Questions for SQL on a schema text, one a chat; half as many again are drawn, for those that do not fit."""
    chats = maker.MAKERS[category](d.world(settings), count + count // 2, f"{d.purpose}/{category}/{settings.by_name}/{settings.absent}")
    return [question for chat in chats for question in chat if d.is_fit(question)][:count]


def _row(question: Question, *, shown: bool) -> Row:
    """`shown`: the prompt shows what is real, so its objects are held out; an invented object always is."""
    subject = question.subject
    kind = "sql" if question.query else "exists" if subject else "column" if question.expect else "abstain"
    invented = [subject.name] if subject and not subject.is_real and "." not in subject.name else []
    expect = {"name": subject.name, "exists": subject.is_real} if subject else question.expect or {"why": _NOT_THERE, "tables": []}
    return {
        "kind": kind,
        "template": question.template,
        "objects": list(question.objects),
        "held_out": [*(question.objects if shown else ()), *invented],
        "messages": [{"role": "user", "content": question.prompt}],
        "expect": expect,
    }


def _statement(ask: str) -> str:
    return ask if ask[-1] in ".?!" else f"{ask}."


def _is_one_place(question: Question) -> bool:
    return len(question.expect.get("places", ())) == 1


def _asks_existence(question: Question) -> bool:
    return question.subject is not None


def _has_column(question: Question) -> bool:
    return question.subject is None and question.expect.get("column") is not None


def _business(count: int) -> Callable[[_Drawing], list[Row]]:
    """Where something is recorded: one column of one object."""
    place = _from_memory("business", "topic_place", count, _is_one_place)

    def make(d: _Drawing) -> list[Row]:
        found = place(d)
        for row in found:
            table, _, column = row["expect"]["places"][0].partition(".")
            row["expect"] = {"table": table, "column": column}
        return found

    return make


_GROUPS: dict[str, Sequence[Callable[[_Drawing], list[Row]]]] = {
    "schema": (
        _from_room("which_column", 40, absent=0.125),
        _from_room("has_column", 30),
        _from_room("exists_list", 10),
        _from_memory("schema", "find_column", 20, _has_column),
    ),
    "sql": (_sql("sql", 150, _PLAIN),),
    "hallucination": (
        _from_room("exists_memory", 24, shown=False),
        _from_memory("schema", "exists_object", 12, _asks_existence),
        _from_memory("schema", "exists_attribute", 28, _asks_existence),
        _sql("sql", 10, _BY_NAME.model_copy(update={"absent": 1.0})),
        _sql("sql", 8, _IN_WORDS.model_copy(update={"absent": 1.0})),
        _sql("sql", 9, _BY_NAME),
        _sql("sql", 9, _IN_WORDS),
    ),
    "joins": (_sql("joins_sql", 50, _PLAIN),),
    "corrections": (_corrections(50),),
    "business": (_business(50),),
}
