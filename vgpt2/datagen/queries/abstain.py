"""Questions that have no query for an answer: something asked for is not there, two or three things fit, or it is about something else.

They are worded by the same phrases as all others, so that no phrase gives the answer away.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from random import Random

from vgpt2.datagen import answers, english
from vgpt2.datagen.fakes import fake_column, fake_object
from vgpt2.datagen.plan import ColumnRef
from vgpt2.datagen.queries.asks import Ask
from vgpt2.datagen.queries.compose import Draft
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.datagen.queries.wording import Words
from vgpt2.datagen.questions import Subject

_KINDS_OF_FAKE = ("near_miss", "camel", "suffix", "plural", "wrong_module")


@dataclass(frozen=True)
class Abstention:
    """Other words for one thing of a question, and the answer that follows; `hidden` objects must not stand in the prompt."""

    words: Words
    answer: str
    subject: Subject | None = None
    hidden: tuple[str, ...] = ()
    also: tuple[ColumnRef, ...] = ()  # what the prompt must show besides


def absent(ask: Ask, words: Words, *, has_schema: bool) -> Abstention | None:
    """Something the question needs, replaced by what is not there."""
    rng = words.rng
    links = [link for link in ask.links if any(ref.table == link.table for ref in ask.shown)]
    if has_schema and links and words.naming == "words" and rng.random() < 0.5:
        return _not_shown(ask, words, rng.choice(links).table)
    if len(ask.tables) == 1 and rng.random() < 0.2:
        return _no_such_table(ask, words)
    return absent_column(ask, words, rng.choice(_replaceable(ask)))


def absent_column(ask: Ask, words: Words, ref: ColumnRef) -> Abstention | None:
    """The column `ref` replaced by data that no column holds, or by a name that its table lacks."""
    return _nothing_holds(ask, words, ref) if words.naming == "words" else _no_such_column(ask, words, ref)


def _replaceable(ask: Ask) -> list[ColumnRef]:
    """Columns that the sentence says by themselves."""
    measured = [m.column for m in ask.measures if m.column]
    criteria = [c.column for c in ask.criteria if c.kind not in ("owner", "flag") and c.column.table == ask.table]
    shown = [] if ask.kind == "running" else list(ask.shown)
    return shown or measured or list(ask.per) or criteria or [ask.criteria[0].column]


def _nothing_holds(ask: Ask, words: Words, ref: ColumnRef) -> Abstention | None:
    what = words.lexicon.absent_words(ask.tables, words.rng)
    if what is None:
        return None
    return Abstention(replace(words, instead={ref: what}), answers.nothing_holds(ref.table, what))


def _no_such_column(ask: Ask, words: Words, ref: ColumnRef) -> Abstention | None:
    table = words.lexicon.catalogue.objects[ref.table]
    fake = fake_column(table, table.column_index[ref.column], words.rng)
    if fake is None:
        return None
    subject = Subject(f"{ref.table}.{fake.name}", False, str(ref))
    said = fake.name if len(ask.tables) == 1 else subject.name
    return Abstention(replace(words, instead={ref: said}), subject.verdict(real=False), subject)


def _no_such_table(ask: Ask, words: Words) -> Abstention | None:
    side = words.lexicon.side
    fake = fake_object(side.names, ask.table, _KINDS_OF_FAKE, split=side.split, rng=words.rng)
    if fake is None:
        return None
    subject = Subject(fake.name, False, ask.table)
    return Abstention(replace(words, instead={ask.table: fake.name}), subject.verdict(real=False), subject)


def _not_shown(ask: Ask, words: Words, table: str) -> Abstention | None:
    """The question as it is, but the prompt leaves out a table that it needs."""
    ref = next(ref for ref in ask.shown if ref.table == table)
    if words.is_named(ref):
        return None
    return Abstention(words, answers.nothing_shown(words.of_other(ref)), hidden=(table,))


def unclear(lexicon: Lexicon, rng: Random) -> tuple[Ask, Abstention] | None:
    """A list question in which one word stands for two or three columns of its object, or for two or three objects."""
    return (_unclear_column if rng.random() < 0.6 else _unclear_table)(lexicon, rng)


def _unclear_column(lexicon: Lexicon, rng: Random) -> tuple[Ask, Abstention] | None:
    table = lexicon.table(rng.choice(lexicon.names))
    by_head: dict[str, list[str]] = defaultdict(list)
    for column, forms in table.words.items():
        by_head[forms[0].rsplit(" ", 1)[-1]].append(column)
    heads = [(head, columns) for head, columns in by_head.items() if len(columns) in (2, 3) and len(head) > 3 and head != "number"]
    heads = [(head, columns) for head, columns in heads if all(head not in forms for forms in table.words.values())]
    if not heads:
        return None
    head, columns = rng.choice(heads)
    draft = Draft(lexicon, table, rng, by_name=False)
    refs = tuple(table.ref(column) for column in columns)
    shown = table.in_order((columns[0], *(ref.column for ref in draft.columns(table, rng.randint(0, 2), besides=columns))))
    ask = Ask("list", table.name, draft.criteria(draft.a_few(3, 5, 1), avoid=refs), shown)
    words = Words(lexicon, "words", rng, instead={refs[0]: head})
    return ask, Abstention(words, answers.which(head, [(str(ref), table.words[ref.column][0]) for ref in refs]), also=refs)


def _unclear_table(lexicon: Lexicon, rng: Random) -> tuple[Ask, Abstention] | None:
    """Objects of several modules that are called the same but for their module; asked for by columns that all of them have."""
    if not lexicon.namesakes:
        return None
    things, names = rng.choice(lexicon.namesakes)
    table = lexicon.table(names[0])
    others = [{form for forms in lexicon.table(name).words.values() for form in forms} for name in names[1:]]
    common = [column for column, forms in table.words.items() if column != table.owner and all(forms[0] in other for other in others)]
    if not common:
        return None
    shown = table.in_order(rng.sample(common, min(len(common), rng.randint(1, 4))))
    words = Words(lexicon, "words", rng, rows={table.name: things}, columns={ref: table.words[ref.column][0] for ref in shown})
    called = [(name, english.noun(lexicon.catalogue.objects[name].description) or name) for name in names]
    also = tuple(lexicon.table(name).ref(column) for name in names[1:] for column in lexicon.table(name).key[:1])
    return Ask("list", table.name, (), shown), Abstention(words, answers.which(things[0], called), also=also)


_TOPICS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What will the weather be like in {} on {}?", ("Denver", "Oslo", "Lima", "Perth", "Cork", "Graz", "Turin", "Quito")),
    ("Which train takes me to {} on {}?", ("Boston", "Leeds", "Lyon", "Porto", "Ghent", "Malmo", "Basel", "Kyoto")),
    ("Book me a table for two in {} on {}.", ("Austin", "Bergen", "Delft", "Parma", "Tulsa", "Cadiz", "Salem", "Nantes")),
    ("Who won the match in {} on {}?", ("Madrid", "Dublin", "Genoa", "Split", "Tampa", "Brno", "Hull", "Bari")),
    ("Write a short poem about {} for {}.", ("the sea", "an old truck", "winter", "my garden", "the night shift", "a red kite")),
    ("Remind me to call {} on {}.", ("the dentist", "my sister", "the plumber", "our landlord", "the garage", "the bank")),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DECLINES = (
    "That is not a question about this database, so there is no query for it.",
    "I answer questions about this database; that one it cannot answer.",
    "The database holds business records, so it cannot answer that.",
)


def off_topic(rng: Random) -> tuple[str, str, str]:
    """(template id, question, answer)."""
    number = rng.randrange(len(_TOPICS))
    text, things = _TOPICS[number]
    day = f"{rng.choice(_DAYS)}, {rng.choice(english.MONTHS)} {rng.randint(1, 28)}"
    return f"off_topic-t{number + 1:02d}", text.format(rng.choice(things), day), _DECLINES[number % len(_DECLINES)]
