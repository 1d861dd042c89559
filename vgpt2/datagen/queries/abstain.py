"""Questions without a query for an answer: a thing is not there, two or three fit, or it is another topic.

They are worded by the same phrases as all others, so that no phrase gives the answer away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from vgpt2.datagen.language import answers, english
from vgpt2.datagen.names.fakes import fake_column, fake_object
from vgpt2.datagen.plans.plan import ColumnRef
from vgpt2.datagen.queries.asks import Ask
from vgpt2.datagen.queries.lexicon import Lexicon, Table
from vgpt2.datagen.queries.words import Words
from vgpt2.datagen.questions.question import Subject

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
    """Columns that the sentence says by themselves; one that orders the rows only where there is no other."""
    measured = [m.column for m in ask.measures if m.column]
    order = ask.sorting.by if ask.sorting else None
    criteria = [c.column for c in ask.criteria if c.kind not in ("owner", "flag") and c.column.table == ask.table]
    shown = [] if ask.kind == "running" else [ref for ref in ask.shown if ref != order]
    return shown or measured or list(ask.per) or criteria or [*ask.shown, *(c.column for c in ask.criteria)][:1]


def _nothing_holds(ask: Ask, words: Words, ref: ColumnRef) -> Abstention | None:
    what = words.lexicon.absent_words(ask.tables, words.rng, like=ref)
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


def unclear(ask: Ask, words: Words) -> Abstention | None:
    """A column called by a word that stands for two or three columns of its table, or rows that two or three modules call alike."""
    words = replace(words, naming="words")
    if ask.kind == "list" and words.rng.random() < 0.4:
        return _unclear_table(ask, words)
    return _unclear_column(ask, words)


def _unclear_column(ask: Ask, words: Words) -> Abstention | None:
    found = [(ref, heads) for ref in _replaceable(ask) if len(heads := _same_head(words.lexicon.table(ref.table), ref.column)) in (2, 3)]
    if not found:
        return None
    ref, columns = words.rng.choice(found)
    table = words.lexicon.table(ref.table)
    head, refs = _head(table.words[ref.column][0]), tuple(table.ref(column) for column in columns)
    if any(other in ask.refs for other in refs if other != ref):
        return None
    instead = replace(words, instead={ref: head})
    return Abstention(instead, answers.which(head, [(str(r), table.words[r.column][0]) for r in refs]), also=refs)


def _same_head(table: Table, column: str) -> list[str]:
    """The columns whose words end like those of `column`; none where the word alone could mean others too, or a number of rows."""
    if column not in table.words:
        return []
    head = _head(table.words[column][0])
    if len(head) < 4 or head in ("number", "name") or head.endswith(("ed", "ing")) or any(head in forms for forms in table.words.values()):
        return []
    found = [other for other, forms in table.words.items() if _head(forms[0]) == head]
    used = sum(head in forms[0].split() for forms in table.words.values())
    return found if used == len(found) else []


def _head(words: str) -> str:
    """The noun that the words are about: 'number' of 'transaction number within the month'."""
    return english.split_head(words)[0].rsplit(" ", 1)[-1]


def _unclear_table(ask: Ask, words: Words) -> Abstention | None:
    """Rows called as objects of several modules are, asked for by columns that all of them have; an owner would tell them apart."""
    lexicon = words.lexicon
    found = next(((things, names) for things, names in lexicon.namesakes if ask.table in names), None)
    if found is None or ask.criteria:
        return None
    things, names = found
    called_in = [{form for forms in lexicon.table(name).words.values() for form in forms} for name in names]
    if any(not lexicon.words(ref) or any(lexicon.words(ref)[0] not in known for known in called_in) for ref in ask.shown):
        return None
    plain = replace(words, rows={ask.table: things}, columns={ref: lexicon.words(ref)[0] for ref in ask.shown})
    called = [(name, english.noun(lexicon.catalogue.objects[name].description) or name) for name in names]
    also = tuple(lexicon.table(name).ref(column) for name in names for column in lexicon.table(name).key[:1])
    return Abstention(plain, answers.which(things[0], called), also=also)


def namesake_ask(lexicon: Lexicon, rng: Random) -> Ask | None:
    """A list of columns that all objects of one common name have, without conditions."""
    if not lexicon.namesakes:
        return None
    _, names = rng.choice(lexicon.namesakes)
    table = lexicon.table(names[0])
    others = [{form for forms in lexicon.table(name).words.values() for form in forms} for name in names[1:]]
    common = [column for column, forms in table.words.items() if column != table.owner and all(forms[0] in other for other in others)]
    shown = table.in_order(rng.sample(common, min(len(common), rng.randint(1, 4))))
    return Ask("list", table.name, (), shown) if shown else None


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
    "I answer questions about this database, and that is not one of them.",
    "The database holds business records, so it cannot answer that.",
)


def off_topic(rng: Random) -> tuple[str, str, str]:
    """(template id, question, answer)."""
    number = rng.randrange(len(_TOPICS))
    text, things = _TOPICS[number]
    day = f"{rng.choice(_DAYS)}, {rng.choice(english.MONTHS)} {rng.randint(1, 28)}"
    return f"topic_other-t{number + 1:02d}", text.format(rng.choice(things), day), _DECLINES[number % len(_DECLINES)]
