"""What things are for, from descriptions and the glossary only; a question back where several objects fit."""

from __future__ import annotations

import re
from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.draws import object_kind, pair_kind
from vgpt2.datagen.knowledge.stock import Stock, things_held
from vgpt2.datagen.knowledge.wording import as_name
from vgpt2.datagen.language import english
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import Object

_MOST = 6  # names in one answer
_CANDIDATES = 3  # objects among which a question back lets choose


def draw_module(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """What a module keeps: its words, where the glossary has some, and some of its objects with what they hold."""
    if not stock.modules:
        return None
    module = rng.choice(sorted(stock.modules))
    objects = stock.modules[module]
    words = world.glossary.modules.get(module, ()) if world.glossary else ()

    def answer(seeded: Random) -> str:
        told = [o for o in objects if stock.description(o)] or list(objects)
        picked = sorted(seeded.sample(range(len(told)), min(_MOST, len(told))))
        head = f"{module} stands for {words[0]}. " if words and seeded.random() < 0.7 else ""
        listed = "; ".join(f"{told[n].name} ({stock.called(told[n])})" for n in picked)
        rest = f" The catalogue holds {len(objects)} objects of it." if len(objects) > len(picked) else ""
        return f"{head}Module {module} keeps {listed}.{rest}"

    return Drawn({"module": module}, tuple(o.name for o in objects[:_MOST]), answer)


def row(stock: Stock, o: Object, rng: Random) -> str | None:
    """What one row stands for, by description and key."""
    text = stock.description(o)
    key = english.listing(o.business_key) if o.business_key else ""
    if text is None:
        return f"One row of {o.name} stands for one combination of {key}." if key else None
    called = english.kernel(text) or text
    per = f" There is one row for each {key}." if key else ""
    if ": one " in text or ": each " in text:
        return f"One row of {o.name} is {text.partition(': ')[2]}.{per}"
    return rng.choice((f"{o.name} holds {english.things(text) or called}.{per}", f"{o.name}: {text}.{per}"))


def draw_recorded(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Where something is recorded, in words that at most a few objects share."""
    glosses = stock.told_glosses
    if not glosses:
        return None
    gloss = rng.choice(glosses)
    places = stock.glosses[gloss]
    tables = tuple(place.partition(".")[0] for place in places)

    def answer(words: Random) -> str:
        if len(places) == 1:
            o = stock.by_name[tables[0]]
            return words.choice((f"The {gloss}: {places[0]} ({stock.called(o)}).", f"Look in {tables[0]}: the column is {places[0]}."))
        said = [f"{place} ({stock.called(stock.by_name[table])})" for place, table in zip(places, tables)]
        return words.choice(
            (
                f"It is recorded in {len(places)} places: {', '.join(said)}.",
                f"Which do you mean: {', '.join(said[:-1])} or {said[-1]}?",
            )
        )

    return Drawn({"gloss": gloss}, tables, answer, expect={"places": list(places)})


def draw_topic(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A topic that two or more objects are about: the answer asks back which is meant."""
    if not stock.topics:
        return None
    topic = rng.choice(sorted(stock.topics))
    objects = stock.topics[topic]

    def answer(words: Random) -> str:
        picked = [objects[n] for n in sorted(words.sample(range(len(objects)), min(_CANDIDATES, len(objects))))]
        said = [f"{as_name(o.name)} ({stock.called(o)})" for o in picked]
        choice = ", ".join(said[:-1]) + " or " + said[-1]
        return words.choice(
            (
                f"Which do you mean: {choice}?",
                f"There is more than one source for that. Do you want {choice}?",
                f"That can be more than one thing. Do you mean {choice}?",
            )
        )

    return Drawn({"topic": topic}, tuple(o.name for o in objects), answer, expect={"clarify": [o.name for o in objects]})


def draw_both(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Which object holds two things at once, where only one or two do."""
    table = rng.choice(stock.objects)
    glosses = sorted({gloss for gloss in things_held(table).values() if stock.is_told_whole(gloss)})
    if len(glosses) < 2:
        return None
    a, b = rng.sample(glosses, 2)
    where = [{place.partition(".")[0]: place for place in stock.glosses[gloss]} for gloss in (a, b)]
    both = [name for name in where[0] if name in where[1]]
    if len(both) > 2:
        return None

    def answer(words: Random) -> str:
        said = [f"{name} ({where[0][name]} and {where[1][name]})" for name in both]
        return words.choice((f"Both are in {english.listing(said)}.", f"Use {english.listing(said)}."))

    return Drawn({"gloss": a, "more": b}, tuple(both), answer, expect={"tables": both})


def difference(stock: Stock, a: Object, b: Object, rng: Random) -> str | None:
    """The two descriptions, and how their keys differ."""
    texts = [stock.description(o) for o in (a, b)]
    if None in texts:
        return None
    keys = ""
    if a.business_key and b.business_key and a.business_key != b.business_key:
        keys = f" The key of {a.name} is {english.listing(a.business_key)}; that of {b.name} is {english.listing(b.business_key)}."
    return rng.choice(
        (f"{a.name}: {texts[0]}. {b.name}: {texts[1]}.{keys}", f"Use {a.name} for {_rows(stock, a)}, {b.name} for {_rows(stock, b)}.{keys}")
    )


def posting(stock: Stock, o: Object, rng: Random) -> str | None:
    """On which side of posting an object is, where its description or that of its batch says so."""
    if o.name in stock.successors:
        posted = stock.successors[o.name]
        return rng.choice(
            (
                f"{o.name} holds entries before posting; they are posted to {posted}. Report final figures from {posted}.",
                f"Rows of {o.name} are still in a batch. After posting they are in {posted}.",
            )
        )
    batches = [batch for batch, posted in stock.successors.items() if posted == o.name]
    if not batches:
        return None
    return rng.choice(
        (
            f"{o.name} holds posted records. Entries that wait for posting are in {english.listing(batches)}.",
            f"{o.name} is the posted side; its batch is {english.listing(batches)}.",
        )
    )


def draw_term(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """What a term of the glossary means: objects, columns, and the condition it implies."""
    terms = [term for term in (world.glossary.terms if world.glossary else ()) if all(m.object in stock.by_name for m in term.means)]
    if not terms:
        return None
    term = rng.choice(terms)
    places = [str(meaning) for meaning in term.means]
    objects = tuple(dict.fromkeys(meaning.object for meaning in term.means))
    condition = term.filter or term.expression
    if condition and re.search(r"[A-Z]{2}", re.sub(r"\b\w+\.\w+|'[^']*'", "", condition)):
        condition = None  # SQL words that prose would not bear

    def answer(words: Random) -> str:
        first = stock.by_name[objects[0]]
        more = f" See also {english.listing(places[1:4])}." if len(places) > 1 else ""
        how = f" The condition is {condition}." if term.filter and condition else f" Compute it as {condition}." if condition else ""
        return words.choice((f"Look in {places[0]}.{how}{more}", f"That is {places[0]} ({stock.called(first)}).{how}{more}"))

    return Drawn({"term": rng.choice(term.phrases)}, objects, answer, expect={"places": places})


def _rows(stock: Stock, o: Object) -> str:
    return english.things(stock.description(o)) or stock.called(o)


def _about_posting(stock: Stock) -> list[Object]:
    names = dict.fromkeys((*stock.successors, *stock.successors.values()))
    return [stock.by_name[name] for name in names]


KINDS = (
    Kind("topic_module", 1.5, draw_module, asks="topic"),
    object_kind("row_meaning", 10, row),
    Kind("topic_place", 34, draw_recorded, asks="topic"),
    Kind("topic_choice", 2, draw_topic, asks="topic"),
    Kind("topic_both", 20, draw_both, asks="topic"),
    pair_kind("difference", 25, difference, lambda stock: stock.neighbours),
    object_kind("posted_or_batch", 2, posting, _about_posting),
    Kind("topic_term", 5.5, draw_term, asks="topic"),
)
