"""The makers of questions for SQL: plans are drawn, worded, answered and set on a schema text, as chats of one or more turns.

Every SQL answer has passed the checker; a finding is a bug of ours and stops the run. A question depends on its seed text and place
alone; what is kept between questions of one call is only which prompts there were and how often a phrase asked for something absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from vgpt2.datagen.plan import ColumnRef, expectation, render_sql
from vgpt2.datagen.queries import abstain, followups
from vgpt2.datagen.queries.abstain import Abstention
from vgpt2.datagen.queries.answering import answer
from vgpt2.datagen.queries.asks import Ask, as_query
from vgpt2.datagen.queries.compose import JOINED, KINDS, Draft
from vgpt2.datagen.queries.context import schema_text
from vgpt2.datagen.queries.cover import ask_for, batches, start_of
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.datagen.queries.settings import QuerySettings
from vgpt2.datagen.queries.styles import PLAN_FIRST, SQL_ONLY, STYLES, mistyped
from vgpt2.datagen.queries.wording import Naming, Sentence, Words, draw_sentence, in_words
from vgpt2.datagen.questions import Chat, Question, Subject
from vgpt2.datagen.similarity import masked
from vgpt2.datagen.world import Maker, World
from vgpt2.sql.checker import check

_DRAWS = 40  # attempts for one chat


@dataclass(frozen=True)
class Turn:
    """One question with its answer, before the schema text is set before it."""

    kind: str
    template: str
    ask: str
    answer: str
    plan: Ask | None = None  # what a next turn goes on from
    is_absent: bool = False
    subject: Subject | None = None
    hidden: tuple[str, ...] = ()
    refs: tuple[ColumnRef, ...] = ()


@dataclass
class Dealer:
    """Whether a phrase's next question asks for something absent: an even share of each phrase's questions, from a drawn start."""

    share: float
    seed: str
    uses: dict[str, int] = field(default_factory=dict)

    def is_absent(self, template: str) -> bool:
        before = self.uses.get(template, 0)
        start = Random(f"{self.seed}/{template}").random()
        return int((before + 1) * self.share + start) > int(before * self.share + start)

    def count(self, template: str) -> None:
        self.uses[template] = self.uses.get(template, 0) + 1


@dataclass(frozen=True)
class Chatting:
    """What stays the same through a chat."""

    lexicon: Lexicon
    settings: QuerySettings
    dealer: Dealer
    rng: Random
    has_schema: bool
    with_plan: bool
    naming: Naming
    style: str
    held_out: bool

    def words(self) -> Words:
        return Words(self.lexicon, self.naming, self.rng, terse=self.style == "terse")

    def draft(self, table: str) -> Draft:
        return Draft(self.lexicon, self.lexicon.table(table), self.rng, by_name=self.naming != "words")

    def answer(self, ask: Ask) -> str:
        sql = render_sql(as_query(ask))
        found = check(sql, self.lexicon.catalogue)
        assert not found, f"{found[0]} in\n{sql}"
        return answer(ask, self.lexicon, with_plan=self.with_plan, max_tokens=self.settings.plan_tokens)


def make(category: str, kinds: Mapping[str, float], world: World, n: int, seed: str) -> list[Chat]:
    """About `n` questions of the kinds, by their weights; no two first prompts alike but for values."""
    dealer, seen, chats = Dealer(world.queries.absent, seed), set[str](), list[Chat]()
    made = index = 0
    while made < n and index < 2 * n:
        chat = _chat(category, kinds, world, dealer, Random(f"{seed}/{index}"))
        prompt = masked(chat[0].prompt) if chat else ""
        if chat and prompt not in seen:
            seen.add(prompt)
            chats.append(chat[: n - made])
            made += len(chats[-1])
        index += 1
    return chats


def cover(category: str, world: World, n: int, seed: str) -> list[Chat]:
    """About `n` questions that go through all columns of the side, from a place that follows from the seed text."""
    dealer, chats = Dealer(world.queries.absent, seed), list[Chat]()
    items = batches(world.lexicon, seed)
    start, index = start_of(seed, len(items)), 0
    while sum(map(len, chats)) < n and index < 2 * n and items:
        table, columns = items[(start + index) % len(items)]
        c = _chatting(world, dealer, Random(f"{seed}/{index}"), by_name=True)
        sentence = draw_sentence("list", c.style, c.rng, held_out=c.held_out)
        words, abstention = c.words(), None
        ask = ask_for(c.draft(table), columns)
        if dealer.is_absent(sentence.template):
            abstention = abstain.absent(ask, words, has_schema=c.has_schema)
        else:
            index += 1
        dealer.count(sentence.template)
        turn = _said(ask, sentence, words, abstention, c, later=False)
        chats.append(_on_context(category, [turn], c))
    return chats


def maker(category: str, kinds: Mapping[str, float]) -> Maker:
    return partial(make, category, kinds)


def _chat(category: str, kinds: Mapping[str, float], world: World, dealer: Dealer, rng: Random) -> Chat | None:
    c = _chatting(world, dealer, rng)
    turns = _turns(kinds, c)
    return _on_context(category, turns, c) if turns else None


def _chatting(world: World, dealer: Dealer, rng: Random, *, by_name: bool = False) -> Chatting:
    settings = world.queries
    drawn = rng.random()
    names, mixed = (0.5, 1.0) if by_name else (settings.by_name, settings.by_name + settings.mixed)
    return Chatting(
        lexicon=world.lexicon,
        settings=settings,
        dealer=dealer,
        rng=rng,
        has_schema=rng.random() < settings.schema_text,
        with_plan=rng.random() < settings.plan,
        naming="names" if drawn < names else "mixed" if drawn < mixed else "words",
        style=rng.choice(STYLES),
        held_out=world.side.held_out,
    )


def _on_context(category: str, turns: list[Turn], c: Chatting) -> Chat:
    """The turns on one schema text, or on none."""
    context = ""
    if c.has_schema:
        refs = [ref for turn in turns for ref in turn.refs] or _any_refs(c)
        hidden = tuple(name for turn in turns for name in turn.hidden)
        create_table = c.rng.random() < c.settings.create_table
        context = schema_text(c.lexicon, refs, c.rng, create_table=create_table, hidden=hidden) + "\n\n"
    return [_question(category, turn, context) for turn in turns]


def _turns(kinds: Mapping[str, float], c: Chatting) -> list[Turn]:
    drawn = c.rng.random()
    if drawn < c.settings.off_topic:
        return [Turn("off_topic", *abstain.off_topic(c.rng))]
    if drawn < c.settings.off_topic + c.settings.unclear:
        turn = _unclear(c)
        return [turn] if turn else []
    first = _first(kinds, c)
    if first is None:
        return []
    turns = [first]
    while first.plan and not first.hidden and len(turns) < 4 and c.rng.random() < c.settings.followed:
        last = next((turn.plan for turn in reversed(turns) if turn.plan), None)
        other = c.rng.random() < c.settings.other_subject
        turn = _first(kinds, c, later=True) if other or last is None else _next(last, c)
        if turn is None:
            break
        turns.append(turn)
    return turns


def _first(kinds: Mapping[str, float], c: Chatting, *, later: bool = False) -> Turn | None:
    """A question by itself; a later one begins another subject in the same chat."""
    kind = c.rng.choices(list(kinds), list(kinds.values()))[0]
    sentence = draw_sentence(kind, c.style, c.rng, held_out=c.held_out)
    wants_absent = c.dealer.is_absent(sentence.template)
    for _ in range(_DRAWS):
        ask = KINDS[kind][0](c.draft(c.rng.choice(c.lexicon.names)))
        if ask is None:
            continue
        words, abstention = c.words(), None
        if wants_absent:
            abstention = abstain.absent(ask, words, has_schema=c.has_schema and not later)
            if abstention is None:
                continue
        c.dealer.count(sentence.template)
        return _said(ask, sentence, words, abstention, c, later=later)
    return None


def _said(ask: Ask, sentence: Sentence, words: Words, abstention: Abstention | None, c: Chatting, *, later: bool) -> Turn:
    if c.rng.random() < c.settings.typo:
        sentence = Sentence(sentence.template, mistyped(sentence.text, c.rng), sentence.style)
    text = in_words(ask, sentence, abstention.words if abstention else words)
    if later and c.rng.random() < 0.4:
        text = c.rng.choice(("Something else: ", "Another question: ", "Next: ", "New topic. ")) + text
    text += "" if later else _mode(text, c)
    kind = f"sql_{ask.kind}"
    if abstention:
        refs = tuple(ref for ref in (*ask.refs, *abstention.also))
        return Turn(kind, sentence.template, text, abstention.answer, None, True, abstention.subject, abstention.hidden, refs)
    return Turn(kind, sentence.template, text, c.answer(ask), ask, refs=ask.refs)


def _mode(text: str, c: Chatting) -> str:
    """The SQL alone is asked for by a phrase; a plan first is the habit, and at times asked for too."""
    phrase = c.rng.choice(SQL_ONLY) if not c.with_plan else c.rng.choice(PLAN_FIRST) if c.rng.random() < 0.1 else ""
    return phrase if not phrase or text[-1] in ".?!" else "." + phrase


def _unclear(c: Chatting) -> Turn | None:
    for _ in range(_DRAWS):
        found = abstain.unclear(c.lexicon, c.rng)
        if found:
            ask, abstention = found
            sentence = draw_sentence("list", c.style, c.rng, held_out=c.held_out)
            text = in_words(ask, sentence, abstention.words)
            refs = (*ask.refs, *abstention.also)
            return Turn("sql_list", sentence.template, text + _mode(text, c), abstention.answer, refs=refs)
    return None


def _next(ask: Ask, c: Chatting) -> Turn | None:
    """A turn that goes on from the plan so far."""
    draft = c.draft(ask.table)
    drawn = followups.draw_change(ask, draft)
    if drawn is None:
        return None
    name, changed = drawn
    sentences = followups.SENTENCES[name][c.held_out]
    number = c.rng.randrange(len(sentences))
    kind = f"follow_{name}"
    template = f"{kind}-{'h' if c.held_out else 't'}{number + 1:02d}"
    words = c.words()
    if changed.column and c.dealer.is_absent(template):
        missing = abstain.absent_column(changed.ask, words, changed.column)
        if missing:
            c.dealer.count(template)
            text = sentences[number].format(changed.say(missing.words))
            return Turn(kind, template, text, missing.answer, None, True, missing.subject, refs=changed.ask.refs)
    c.dealer.count(template)
    return Turn(kind, template, sentences[number].format(changed.say(words)), c.answer(changed.ask), changed.ask, refs=changed.ask.refs)


def _any_refs(c: Chatting) -> list[ColumnRef]:
    name = c.rng.choice(c.lexicon.names)
    return [ColumnRef(name, column) for column in c.lexicon.table(name).key[:1] or c.lexicon.table(name).object.column_names[:1]]


def _question(category: str, turn: Turn, context: str) -> Question:
    query = as_query(turn.plan) if turn.plan else None
    objects = tuple(dict.fromkeys(ref.table for ref in turn.refs if ref.table not in turn.hidden))
    expect: dict[str, Any] = expectation(query) if query else {}
    if turn.subject:
        expect = {"name": turn.subject.name, "exists": False}
    return Question(
        turn.kind, turn.template, context, turn.ask, turn.answer, objects, expect, subject=turn.subject, query=query, category=category
    )


MAKERS: dict[str, Maker] = {
    "sql": maker("sql", {kind: weight for kind, (_, weight) in KINDS.items()}),
    "coverage": partial(cover, "coverage"),
    "joins_sql": maker("joins_sql", {kind: KINDS[kind][1] for kind in JOINED}),
}
