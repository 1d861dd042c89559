"""The schema text before a question: what the answer needs, and objects that retrieval would bring along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from vgpt2.datagen.plans.plan import ColumnRef
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.sql.prompt import Form, schema_prompt
from vgpt2.sql.schema import Object

MOST_OBJECTS = 20
_FURTHER = (range(1), range(1, 4), range(4, 9), range(9, 17), range(17, MOST_OBJECTS))  # objects that are not needed
_WEIGHTS = (20, 42, 24, 11, 3)


@dataclass(frozen=True)
class Look:
    """How a schema text is made."""

    retrieved: bool
    create_table: bool


def schema_text(lexicon: Lexicon, refs: Iterable[ColumnRef], said: str, look: Look, rng: Random, *, hidden: Sequence[str] = ()) -> str:
    """The tables of `refs` among others, each with the columns needed and some more, and the glossary's terms in what is `said`.

    `hidden` tables are left out.
    """
    needed: dict[str, set[str]] = {}
    for ref in refs:
        needed.setdefault(ref.table, set()).add(ref.column)
    shown = [name for name in needed if name not in hidden]
    found = _retrieved(lexicon, said, rng) if look.retrieved else {}
    pool = [name for name in (found or _near(lexicon, needed)) if name not in needed]
    if found:
        shown += pool[: MOST_OBJECTS - len(shown)]
    else:
        n = min(rng.choice(rng.choices(_FURTHER, _WEIGHTS)[0]), MOST_OBJECTS - len(shown), len(pool))
        # what stands nearest is likeliest to be retrieved
        shown += sorted(pool[: n + n // 2 + 1], key=lambda name: rng.random())[:n]
    rng.shuffle(shown)
    more = 6 if len(shown) < 4 else 3 if len(shown) < 9 else 1
    columns = {
        name: needed.get(name, set()) | set(found.get(name, ())) | set(_some(lexicon.catalogue.objects[name], more, rng)) for name in shown
    }
    objects = [_described(lexicon, name) for name in shown]
    form: Form = "create_table" if look.create_table else "compact"
    return schema_prompt(objects, lexicon.catalogue, form=form, columns=columns, terms=lexicon.sayings.terms_in(said, shown))


def _retrieved(lexicon: Lexicon, said: str, rng: Random) -> dict[str, tuple[str, ...]]:
    """Objects that retrieval finds, best first, each with the columns that the question speaks of."""
    found = lexicon.retriever.retrieve(said, limit=rng.randint(2, 12)).wanted
    return {name: columns for name, columns in found.items() if name in lexicon.side.schema_names}


def _near(lexicon: Lexicon, tables: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in lexicon.neighbours(table)))


def _some(table: Object, n: int, rng: Random) -> list[str]:
    names = table.column_names
    return rng.sample(names, min(n + rng.randint(0, 2), len(names)))


def _described(lexicon: Lexicon, name: str) -> Object:
    """The object with a description that names nothing of the other side of the line."""
    o = lexicon.catalogue.objects[name]
    text = lexicon.side.description(o)
    return o if text == o.description else replace(o, description=text)
