"""Queries to be corrected: wrong SQL in, what is wrong and right SQL out; and right SQL, of which the answer says that it is right.

Of each sentence's questions one in eight misnames something and two in eight are right, so that a sentence never tells the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from vgpt2.datagen.faults import FAULTS, sql_of
from vgpt2.datagen.knowledge.asking import place_of
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.language.phrasings import Template
from vgpt2.datagen.mistakes.diagnoses import DENYING, diagnosis
from vgpt2.datagen.names.statements import Reading
from vgpt2.datagen.plans.plan import render_sql
from vgpt2.datagen.queries.compose import KINDS
from vgpt2.datagen.queries.maker import make
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.queries.styles import PLAN_FIRST
from vgpt2.datagen.questions.question import Chat, Question
from vgpt2.datagen.questions.world import Maker, World
from vgpt2.sql.checker import check

_WITH_TASK = (
    "{ask}\n\nI have this so far:\n{sql}\nIs it right?",
    "Task: {ask}\n\n{sql}\n\nCheck the query against the task.",
    "Does this query do what was asked?\nAsked: {ask}\n{sql}",
    "I was asked: {ask}\nMy answer:\n{sql}\nAnything to correct?",
    "Please review my SQL.\n{sql}\nIt should give this: {ask}",
    "{sql}\nThat is meant to answer: {ask}\nWould you sign it off?",
    "Here is a request and the SQL somebody made of it.\nRequest: {ask}\n{sql}\nSay what is wrong, if anything, and give the right query.",
    "Correct this if it needs correcting. The question was: {ask}\n{sql}",
    "For this question: {ask}\na tool wrote this:\n{sql}\nCan I trust it?",
    "Second pair of eyes, please. Wanted: {ask}\n{sql}",
    "{ask}\n{sql}\nRight or wrong? If wrong, why, and how must it read?",
    "Before I run it: does the SQL below fit the request?\n{ask}\n{sql}",
)
_ALONE = (
    "Is this query all right?\n{sql}",
    "What, if anything, is wrong here?\n{sql}",
    "Check this SQL before it goes into a report.\n{sql}",
    "Will this run, and does it keep our rules?\n{sql}",
    "{sql}\nAny mistakes?",
    "Proofread this query, please.\n{sql}",
)
TEMPLATES = tuple(Template(f"correct_sql-t{number:02d}", text) for number, text in enumerate(_WITH_TASK + _ALONE, 1))
_ROUND = 8  # questions of a sentence, of which one misnames something and two are right
_RIGHT = (2, 5)
_SEMANTIC_SHARE = 0.6  # of the broken queries beside their task
_SETTINGS = QuerySettings(absent=0, unclear=0, off_topic=0, followed=0, plan=1, typo=0)
_SEMANTIC = tuple(name for name, fault in FAULTS.items() if fault.is_semantic)
_FOUND = tuple(name for name, fault in FAULTS.items() if not fault.is_semantic and name not in DENYING)
_FITS = ("It is right: every name exists, and nothing is missing.", "Nothing to correct: the names are real and the rules are kept.")
_DOES = ("It does what is asked; nothing to correct.", "It is right as it stands.")


def corrections(world: World, n: int, seed: str) -> list[Chat]:
    """About `n` questions, one a chat; see `world.Maker`."""
    kinds = {kind: weight for kind, (_, weight) in KINDS.items()}
    questions = [chat[0] for chat in make("corrections", kinds, world_with(world), n, f"{seed}/asked") if chat[0].query]
    first = place_of(seed) * n
    chats = []
    for index, question in enumerate(questions):
        use, at = divmod(first + index, len(TEMPLATES))
        rng = Random(f"{seed}/{question.prompt}")
        made = _corrected(question, TEMPLATES[at], use % _ROUND, at % 5, world, rng)
        if made:
            chats.append([made])
    return chats


def world_with(world: World) -> World:
    """The world in which every question for SQL has an answer."""
    return World(world.names, world.side, world.glossary, world.documents, _SETTINGS)


def _corrected(question: Question, template: Template, use: int, denying: int, world: World, rng: Random) -> Question | None:
    """The question's SQL right or broken, by the turn that it is in its sentence's round."""
    assert question.query is not None
    right = render_sql(question.query)
    has_task = "{ask}" in template.text
    sql, answer = right, rng.choice(_DOES + _FITS if has_task else _FITS)
    if use == denying or (use - denying) % _ROUND not in _RIGHT:
        broken = _broken(question, _fault_names(use == denying, has_task, rng), world, rng)
        if broken is None:
            return None
        sql, said = broken
        answer = f"{said}\n\n{fenced(right)}"
    ask = template.fill(ask=_task(question), sql=fenced(sql))
    return Question("correct_sql", template.id, question.context, ask, answer, question.objects, {"sql": right}, category="corrections")


def _fault_names(is_denying: bool, has_task: bool, rng: Random) -> list[str]:
    """Faults in the order in which they are tried; what only the task can show, most often first where it stands there."""
    if is_denying:
        return rng.sample(DENYING, len(DENYING))
    found, semantic = rng.sample(_FOUND, len(_FOUND)), rng.sample(_SEMANTIC, len(_SEMANTIC))
    return found if not has_task else semantic + found if rng.random() < _SEMANTIC_SHARE else found + semantic


def _broken(question: Question, names: Sequence[str], world: World, rng: Random) -> tuple[str, str] | None:
    """(broken SQL, diagnosis) by the first of the faults that finds its place."""
    assert question.query is not None
    for name in names:
        fault = FAULTS[name]
        broken = fault.apply(question.query, world.side, rng)
        if broken is not None:
            found = sorted(finding.code for finding in check(sql_of(broken), world.side.catalogue))
            said = diagnosis(fault, question.query, broken, world.side.catalogue)
            reading = Reading(said, "", world.names, frozenset())
            # a slip such as last__name reads as emphasis: what cannot be read back is not said
            if found == sorted(fault.codes + fault.warnings) and not reading.unreal and not reading.denied_reals:
                return sql_of(broken), said
    return None


def _task(question: Question) -> str:
    """The question without how it is to be answered."""
    text = question.ask
    for phrase in PLAN_FIRST:
        text = text.removesuffix(phrase)
    return text


MAKERS: dict[str, Maker] = {"corrections": corrections}
