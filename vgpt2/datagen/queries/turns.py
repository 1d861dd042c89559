"""The turns of one chat: a question and its answer, what goes on from it, what has no query for an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from vgpt2.datagen.plans.plan import ColumnRef, render_sql
from vgpt2.datagen.queries import abstain, followups
from vgpt2.datagen.queries.abstain import Abstention
from vgpt2.datagen.queries.answering import answer
from vgpt2.datagen.queries.asks import Ask, as_query
from vgpt2.datagen.queries.compose import KINDS, OF_MANY
from vgpt2.datagen.queries.criteria import UNSAID, Criterion
from vgpt2.datagen.queries.dealing import Deck
from vgpt2.datagen.queries.draft import Draft
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.queries.styles import PLAN_FIRST, SQL_ONLY, mistyped
from vgpt2.datagen.queries.wording import Phrase, Sentence, draw_sentence, in_words
from vgpt2.datagen.queries.words import Naming, Words
from vgpt2.datagen.questions.question import Subject
from vgpt2.sql.checker import check

_DRAWS = 60  # attempts for one question
_MOST_TURNS = 4
_TERM_SHARE = 0.4  # of the questions about objects that have such terms
_LEADS = ("Something else: ", "Another question: ", "Next: ", "New topic. ")


@dataclass(frozen=True)
class Turn:
    """One question with its answer, before the schema text is set before it."""

    kind: str
    template: str
    ask: str
    answer: str
    plan: Ask | None = None  # of the answer's query
    refs: tuple[ColumnRef, ...] = ()  # what a schema text must show
    hidden: tuple[str, ...] = ()  # objects that it must not show
    subject: Subject | None = None


@dataclass(frozen=True)
class Talk:
    """What stays the same through a chat."""

    lexicon: Lexicon
    settings: QuerySettings
    deck: Deck
    rng: Random
    has_schema: bool
    with_plan: bool
    naming: Naming
    held_out: bool

    def words(self, style: str) -> Words:
        return Words(self.lexicon, self.naming, self.rng, terse=style == "terse")

    def draft(self, table: str) -> Draft:
        return Draft(self.lexicon, self.lexicon.table(table), self.rng, by_name=self.naming != "words")

    def answer(self, ask: Ask) -> str:
        """The answer, its SQL without a finding of any rule."""
        sql = render_sql(as_query(ask))
        found = check(sql, self.lexicon.catalogue)
        assert not found, f"{found[0]} in\n{sql}"
        return answer(ask, self.lexicon, with_plan=self.with_plan, max_tokens=self.settings.plan_tokens)


def turns(talk: Talk) -> list[Turn]:
    """One to four turns; none where the catalogue offers nothing for what was dealt."""
    rng, settings = talk.rng, talk.settings
    if rng.random() < settings.off_topic:
        return [Turn("off_topic", *abstain.off_topic(rng))]
    first = question(talk)
    made = [first] if first else []
    while made and made[0].plan and len(made) < _MOST_TURNS and rng.random() < settings.followed:
        last = next(turn.plan for turn in reversed(made) if turn.plan)
        turn = question(talk, later=True) if rng.random() < settings.other_subject else _change(last, talk)
        if turn is None:
            break
        made.append(turn)
    return made


def question(talk: Talk, *, later: bool = False) -> Turn | None:
    """A question by itself; a later one begins another subject."""
    dealt = talk.deck.next()
    if dealt is None:
        return None
    phrase, is_absent = dealt
    is_unclear = not is_absent and talk.rng.random() < talk.settings.unclear
    for _ in range(_DRAWS):
        ask = _draw(phrase.kind, talk, unclear=is_unclear)
        if ask is None:
            continue
        words, abstention = talk.words(phrase.style), None
        if is_absent:
            abstention = abstain.absent(ask, words, has_schema=talk.has_schema and not later)
        elif is_unclear:
            abstention = abstain.unclear(ask, words)
        if abstention or not (is_absent or is_unclear):
            if abstention is None and talk.has_schema:
                ask, words = _some_rows(ask, words, talk)
            if is_absent:
                talk.deck.settle()
            return worded(ask, phrase, words, abstention, talk, later=later)
    if not (is_absent or is_unclear):
        talk.deck.drop(phrase.kind)
    return None


def worded(ask: Ask, phrase: Phrase, words: Words, abstention: Abstention | None, talk: Talk, *, later: bool = False) -> Turn:
    """The plan as a question and its answer."""
    sentence = draw_sentence(phrase, talk.rng, held_out=talk.held_out)
    if talk.rng.random() < talk.settings.typo:
        sentence = Sentence(mistyped(sentence.text, talk.rng), sentence.style)
    text = in_words(ask, sentence, abstention.words if abstention else words)
    if later and talk.rng.random() < 0.4:
        text = talk.rng.choice(_LEADS) + text
    text += "" if later else _mode(text, talk)
    kind = f"sql_{ask.kind}"
    if abstention is None:
        return Turn(kind, phrase.template, text, talk.answer(ask), ask, ask.refs)
    refs = (*ask.refs, *abstention.also)
    return Turn(kind, phrase.template, text, abstention.answer, None, refs, abstention.hidden, abstention.subject)


def _draw(kind: str, talk: Talk, *, unclear: bool) -> Ask | None:
    if unclear and kind == "list" and talk.rng.random() < 0.5:
        return abstain.namesake_ask(talk.lexicon, talk.rng)
    names = talk.lexicon.of_many if kind in OF_MANY else talk.lexicon.names
    return KINDS[kind][0](talk.draft(talk.rng.choice(names)))


def _some_rows(ask: Ask, words: Words, talk: Talk) -> tuple[Ask, Words]:
    """At times only the rows that a term of the glossary means, called by it; the prompt shows what the term implies."""
    taken = {c.column for c in ask.criteria}
    known = [(pair, filters) for pair, filters in talk.lexicon.sayings.some_rows(ask.table) if taken.isdisjoint(f.column for f in filters)]
    if not known or talk.naming == "names" or talk.rng.random() > _TERM_SHARE:
        return ask, words
    pair, filters = talk.rng.choice(known)
    implied = tuple(Criterion(f.column, UNSAID, (f,)) for f in filters)
    return replace(ask, criteria=(*ask.criteria, *implied)), replace(words, rows={**words.rows, ask.table: pair})


def _mode(text: str, talk: Talk) -> str:
    """The SQL alone is asked for by a phrase; a plan first is the habit, and at times asked for too."""
    rng = talk.rng
    phrase = rng.choice(SQL_ONLY) if not talk.with_plan else rng.choice(PLAN_FIRST) if rng.random() < 0.1 else ""
    return phrase if not phrase or text[-1] in ".?!" else "." + phrase


def _change(ask: Ask, talk: Talk) -> Turn | None:
    """A turn that goes on from the plan so far."""
    drawn = followups.draw_change(ask, talk.draft(ask.table))
    if drawn is None:
        return None
    name, changed = drawn
    sentence = talk.rng.choice(followups.SENTENCES[name][talk.held_out])
    kind, words = f"follow_{name}", talk.words("")
    template = followups.template(name, held_out=talk.held_out)
    if changed.column and talk.deck.follow_up_is_absent(name):
        missing = abstain.absent_column(changed.ask, words, changed.column)
        if missing:
            text = sentence.format(changed.say(missing.words))
            return Turn(kind, template, text, missing.answer, None, changed.ask.refs, subject=missing.subject)
    return Turn(kind, template, sentence.format(changed.say(words)), talk.answer(changed.ask), changed.ask, changed.ask.refs)
