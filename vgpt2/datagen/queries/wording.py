"""A logical plan in words: one of many ways to ask for it, by style, phrase, synonyms and order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from vgpt2.datagen.language import english
from vgpt2.datagen.plans.plan import COUNT_DISTINCT, ColumnRef
from vgpt2.datagen.queries import criteria as conditions
from vgpt2.datagen.queries.asks import Ask, Details, Link, Measure
from vgpt2.datagen.queries.criteria import UNSAID, Criterion
from vgpt2.datagen.queries.phrases import noun_phrases, questions
from vgpt2.datagen.queries.styles import QUESTION_STYLES, REQUESTS
from vgpt2.datagen.queries.words import Words

_MEASURES = {
    "SUM": ("total {}", "sum of {}", "overall {}"),
    "AVG": ("average {}", "mean {}"),
    "MIN": ("lowest {}", "smallest {}"),
    "MAX": ("highest {}", "largest {}"),
}
_OF_AGGREGATES = {"SUM": "sum", "AVG": "average", "MIN": "minimum", "MAX": "maximum"}  # of what is called a total, or the highest, itself
_WITH_BACKGROUND = ("descriptive", "conversational", "formal")  # these styles use several sentences
_ASCENDING = (", sorted by {}", ", ordered by {}", " in order of {}", ", {} ascending")
_DESCENDING = (", sorted by {} in descending order", ", ordered by {} from high to low", ", {} descending")
_NEWEST = (", newest {} first", ", latest {} first", ", sorted by {}, latest first")
_OPTIONAL = (", if any", ", where there is one", " if it has one", ", if given")
_SET_OFF = "\0"
_AFTER = re.compile(f"{_SET_OFF}(?= \\w)")
_HAS = ("that have {}", "with at least one of their {}", "for which there are {}")
_LACKS = ("that have no {}", "without any {}", "for which there are no {}", "lacking {}")


@dataclass(frozen=True)
class Phrase:
    """What is wanted, said in one way; its template id names the kind, the style and the phrase."""

    kind: str
    style: str
    template: str
    text: str
    is_question: bool


@dataclass(frozen=True)
class Sentence:
    """A whole request with slots."""

    text: str
    style: str


def draw_phrase(kind: str, style: str, rng: Random, *, held_out: bool) -> Phrase:
    is_question = style in QUESTION_STYLES and rng.random() < 0.5
    number, text = rng.choice((questions if is_question else noun_phrases)(kind, held_out=held_out))
    return Phrase(kind, style, f"sql_{kind}-{style[:2]}{number}", text, is_question)


def draw_sentence(phrase: Phrase, rng: Random, *, held_out: bool) -> Sentence:
    """The phrase in one of its style's requests."""
    requests = QUESTION_STYLES[phrase.style] if phrase.is_question else REQUESTS[phrase.style][held_out]
    return Sentence(rng.choice(requests).replace("{}", phrase.text), phrase.style)


def in_words(ask: Ask, sentence: Sentence, words: Words) -> str:
    """The question that the sentence makes of the plan."""
    rng, style = words.rng, sentence.style
    owner, rest = _owner_and_rest(ask)
    place = rng.choice(("rows", "rows", "where", "lead")) if owner else "none"
    if (words.naming == "names" and place == "rows") or (place == "lead" and style in _WITH_BACKGROUND):
        place = "where"
    listed = rest if place in ("rows", "lead") or owner is None else (owner, *rest)
    parts = _parts(ask, words)
    parts["rows"] = words.things(ask.table)
    if owner and place == "rows":
        parts["rows"] += f" {rng.choice(('of', 'in', 'for'))} {condition(owner, ask, words, clause=False)}"
    apart = bool(listed) and style in _WITH_BACKGROUND and rng.random() < 0.3
    parts["where"] = "" if apart else _set_off(where(listed, ask, words))
    parts["counted"] = parts["counted"].format(rows=parts["rows"])
    parts["measured"] = parts["measured"].format(rows=parts["rows"])
    parts["nth"] = parts["nth"].format(owner=parts["rows"].removeprefix(words.things(ask.table)))
    text = _AFTER.sub(",", sentence.text.format(**parts)).replace(_SET_OFF, "")
    if apart:
        text = _closed(text) + f" {rng.choice(('Only', 'Restrict it to', 'Limit it to', 'Just'))} rows with {_nouns(listed, ask, words)}."
    if owner and place == "lead":
        lead = condition(owner, ask, words, clause=False)
        text = f"For {lead}, {_lowered(text)}" if style != "terse" else f"{lead}: {text}"
    return text if style == "terse" else text[0].upper() + text[1:]


def where(listed: Sequence[Criterion], ask: Ask, words: Words) -> str:
    """All conditions as one suffix, with its blank or comma; '' for none."""
    if not listed:
        return ""
    if words.rng.random() < 0.35:
        clauses = [condition(c, ask, words, clause=True) for c in listed]
        return " where " + english.listing(clauses)
    return words.rng.choice(
        (" with {}", " that have {}", ", limited to rows with {}", ", only rows with {}", " with {}", " having {}")
    ).format(_nouns(listed, ask, words))


def condition(c: Criterion, ask: Ask, words: Words, *, clause: bool) -> str:
    """One condition; a column of another table is said with it."""
    other = c.column.table != ask.table
    by_name = words.is_named(c.column)
    name = words.of_other(c.column) if other else words.column(c.column, alone=len(ask.tables) == 1)
    if clause and not by_name and not name.startswith("any "):
        name = f"the {name}"
    return conditions.said(c, name, words.rng, clause=clause, by_name=by_name)


def listed_columns(refs: Sequence[ColumnRef], ask: Ask, words: Words) -> str:
    return english.listing([words.column(ref, alone=len(ask.tables) == 1) for ref in refs])


def with_article(text: str, refs: Sequence[ColumnRef], words: Words) -> str:
    return text if words.is_named(refs[0]) else f"the {text}"


def sorting(ask: Ask, words: Words) -> str:
    """How the rows are ordered, as a suffix; '' where nothing is said."""
    if ask.sorting is None or ask.top is not None:
        return ""
    by = ask.sorting.by
    name = measure_name(ask.measures[0], ask, words) if by is None else words.column(by, alone=len(ask.tables) == 1)
    is_date = by is not None and by.column in (*words.lexicon.table(by.table).dates, *words.lexicon.table(by.table).months)
    forms = (_NEWEST if is_date else _DESCENDING) if ask.sorting.descending else _ASCENDING
    return words.rng.choice(forms).format(name)


def measure_name(measure: Measure, ask: Ask, words: Words, *, form: int = 0) -> str:
    """'total invoice amount', 'number of rows'."""
    if measure.column is None:
        return "number of rows"
    name = words.column(measure.column, alone=len(ask.tables) == 1)
    if measure.function == COUNT_DISTINCT:
        return f"number of different {name} values"
    return _aggregate(measure.function, name, form)


def _aggregate(function: str, name: str, form: int) -> str:
    if name.startswith(("total ", "average ", "highest ", "lowest ", "largest ", "smallest ")):
        return f"{_OF_AGGREGATES[function]} of the {name}"
    return _MEASURES[function][form].format(name)


def _parts(ask: Ask, words: Words) -> dict[str, str]:
    """What fills the slots of the phrases; slots that a kind does not use are ''."""
    rng = words.rng
    parts = dict.fromkeys(("shown", "bare", "others", "test", "days", "details", "n", "by", "extreme", "per", "having", "short", "top"), "")
    parts |= {"amount": "", "within": "", "measure": "", "measured": "", "counted": "", "nth": "", "sort": sorting(ask, words)}
    parts["is"] = "is" if ask.top in (None, 1) else "are"
    ours = tuple(ref for ref in ask.shown if ref.table == ask.table)
    if ours:
        parts["bare"] = listed_columns(ours, ask, words)
        parts["shown"] = with_article(parts["bare"], ours, words)
    if ask.links and ask.shown:
        parts["others"] = english.listing([_linked(link, ask, words) for link in ask.links])
    if ask.tested:
        parts["test"] = _test(ask, words)
    if ask.days:
        parts["days"] = _days(ask, words)
    if ask.details:
        parts["details"] = english.listing([_detail(details, ask, words) for details in ask.details])
    if ask.per:
        parts["per"] = english.listing([_group(ref, ask, words) for ref in ask.per])
    if ask.top:
        parts["n"] = str(ask.top)
    if ask.sorting:
        _sorted_parts(ask, words, parts)
    if ask.measures:
        _measured_parts(ask, words, parts)
    if ask.having:
        parts["having"] = _having(ask, words)
    if ask.kind == "latest":
        parts["nth"] = _nth(ask, words)
    if ask.kind == "running" and ask.per:
        parts["within"] = rng.choice((" separately for each {}", " within each {}", ", starting anew for every {}")).format(parts["per"])
    return parts


def _sorted_parts(ask: Ask, words: Words, parts: dict[str, str]) -> None:
    assert ask.sorting
    by, rng = ask.sorting.by, words.rng
    down = ask.sorting.descending
    if by is not None:
        table = words.lexicon.table(by.table)
        dated = by.column in (*table.dates, *table.months)
        parts["by"] = words.column(by, alone=len(ask.tables) == 1)
        pairs = (("latest", "most recent"), ("earliest", "oldest")) if dated else (("highest", "largest"), ("lowest", "smallest"))
        parts["extreme"] = rng.choice(pairs[not down])
        return
    parts["extreme"] = rng.choice(("highest", "largest") if down else ("lowest", "smallest"))
    parts["top"] = "top" if down else "bottom"


def _measured_parts(ask: Ask, words: Words, parts: dict[str, str]) -> None:
    first, rng = ask.measures[0], words.rng
    form = rng.randrange(3)
    names = [measure_name(m, ask, words, form=form % len(_MEASURES.get(m.function, ("",)))) for m in ask.measures]
    parts["short"] = names[0]
    parts["measure"] = "the " + english.listing(names)
    if first.column is None:
        parts["measured"] = "the number of {rows}"
        parts["counted"] = "{rows}"
        return
    parts["amount"] = with_article(words.column(first.column, alone=len(ask.tables) == 1), (first.column,), words)
    parts["measured"] = f"the {english.listing(names)} of {{rows}}"
    name = words.column(first.column, alone=len(ask.tables) == 1)
    parts["counted"] = rng.choice((f"different {name} values among {{rows}}", f"distinct values of {name} in {{rows}}"))


def _linked(link: Link, ask: Ask, words: Words) -> str:
    refs = tuple(ref for ref in ask.shown if ref.table == link.table)
    if words.is_named(refs[0]):
        text = english.listing([words.column(ref, alone=False) for ref in refs])
        owner = "" if words.naming == "names" else f" of the {words.things(link.table) if link.lines else words.row(link.table)}"
    else:
        text = "the " + english.listing([words.column(ref) for ref in refs])
        owner = f" of their {words.things(link.table)}" if link.lines else f" of the {words.row(link.table)}"
    return text + owner + (_set_off(words.rng.choice(_OPTIONAL)) if link.optional and words.rng.random() < 0.8 else "")


def _test(ask: Ask, words: Words) -> str:
    assert ask.tested
    tested = ask.tested
    things = words.things(tested.table)
    if tested.criteria:
        things += " with " + english.listing([_own_condition(c, words) for c in tested.criteria])
    return words.rng.choice(_LACKS if tested.negated else _HAS).format(things)


def _detail(details: Details, ask: Ask, words: Words) -> str:
    said = [c for c in details.criteria if c.kind != UNSAID]
    things = words.things(details.table) + (" with " + english.listing([_own_condition(c, words) for c in said]) if said else "")
    if details.measure.column is None:
        return f"the number of their {things}"
    form = words.rng.randrange(len(_MEASURES[details.measure.function]))
    name = words.column(details.measure.column, alone=not words.is_named(details.measure.column))
    return f"the {_aggregate(details.measure.function, name, form)} of their {things}"


def _own_condition(c: Criterion, words: Words) -> str:
    """A condition on a table that has just been named."""
    return conditions.said(c, words.column(c.column), words.rng, clause=False, by_name=words.is_named(c.column))


def _group(ref: ColumnRef, ask: Ask, words: Words) -> str:
    return words.column(ref, alone=len(ask.tables) == 1) if ref.table == ask.table else words.of_other(ref)


def _days(ask: Ask, words: Words) -> str:
    assert ask.days
    start, end = (words.column(ref) if ref else "" for ref in ask.days)
    the = "" if words.is_named(ask.days[0]) else "the "
    if ask.days[1] is None:
        return words.rng.choice(("the days since {the}{a}", "the days from {the}{a} until today")).format(the=the, a=start)
    return words.rng.choice(("the days from {the}{a} to {the}{b}", "the days between {the}{a} and {the}{b}")).format(
        the=the, a=start, b=end
    )


def _having(ask: Ask, words: Words) -> str:
    assert ask.having
    first, value = ask.measures[0], ask.having[1]
    if first.column is None:
        return f"more than {value} rows"
    name = measure_name(first, ask, words, form=words.rng.randrange(len(_MEASURES[first.function])))
    article = "an" if name[0] in "aeio" else "a"
    return words.rng.choice(("{} {} above {}", "{} {} of more than {}")).format(article, name, value)


def _nth(ask: Ask, words: Words) -> str:
    """'latest AP transaction header', '3 earliest AP transaction headers', with room for the owner."""
    assert ask.sorting
    word = words.rng.choice(("latest", "most recent") if ask.sorting.descending else ("earliest", "first"))
    n = ask.top or 1
    return (f"{word} {words.row(ask.table)}" if n == 1 else f"{n} {word} {words.things(ask.table)}") + "{owner}"


def _owner_and_rest(ask: Ask) -> tuple[Criterion | None, tuple[Criterion, ...]]:
    """Whose rows, and the other conditions that are said by themselves."""
    first = ask.criteria[0] if ask.criteria and ask.criteria[0].kind == "owner" else None
    return first, tuple(c for c in ask.criteria if c is not first and c.kind != UNSAID)


def _nouns(listed: Sequence[Criterion], ask: Ask, words: Words) -> str:
    return english.listing([condition(c, ask, words, clause=False) for c in listed])


def _set_off(suffix: str) -> str:
    """The suffix with a mark behind it, if a comma sets it off: where the sentence goes on, a second comma closes it."""
    return suffix + _SET_OFF if suffix.startswith(",") else suffix


def _closed(text: str) -> str:
    return text if text[-1] in ".?!" else text + "."


def _lowered(text: str) -> str:
    """The sentence after a beginning of its own; a name or 'I' keeps its capital."""
    first = text.split(" ", 1)[0].rstrip(",.")
    keeps = first in ("I", "I'm", "SQL") or (first != "A" and not first[1:].islower())
    return text if keeps else text[0].lower() + text[1:]
