"""How objects are joined: whole keys, renamed columns, third objects; and what a join does to totals."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.draws import object_kind, pair_kind, unreal_object
from vgpt2.datagen.knowledge.objects import owner_filters
from vgpt2.datagen.knowledge.stock import Stock, shown
from vgpt2.datagen.language import english
from vgpt2.datagen.language.answers import fenced
from vgpt2.datagen.plans.plan import render_sql
from vgpt2.datagen.questions.drafts import draft_join
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import ForeignKey, Object

_MOST = 6  # names in one answer


def condition(stock: Stock, a: Object, b: Object, rng: Random) -> str | None:
    """The whole key, or each of several keys of one length."""
    keys = plain_keys(stock, a, b)
    if not keys:
        return None
    if len(keys) > 1:
        ways = "; ".join(equalities(key) for key in keys[:3])
        more = " and others" if len(keys) > 3 else ""
        return f"There is more than one way to join {keys[0].from_object} to {keys[0].to_object}: {ways}{more}. Choose by meaning."
    key = keys[0]
    said = equalities(key)
    same = [c for c, p in key.pairs if c == p]
    if len(same) == len(key.pairs):
        listed = english.listing(same)
        whole = f" {'Both' if len(same) == 2 else f'All {len(same)}'} columns are needed." if len(same) > 1 else ""
        return rng.choice(
            (f"Join {a.name} to {b.name} on {listed}.{whole}", f"{a.name} and {b.name} are joined on {listed}.", f"On {said}.")
        )
    return rng.choice((f"Join {a.name} to {b.name} on {said}.", f"On {said}. Mind that the names differ."))


def plain_keys(stock: Stock, a: Object, b: Object) -> list[ForeignKey]:
    keys = stock.keys_between(a.name, b.name)
    return [key for key in keys if all(map(english.is_plain, (*key.from_columns, *key.to_columns)))]


def equalities(key: ForeignKey) -> str:
    """'APTL.APCo = APTH.APCo, APTL.Mth = APTH.Mth and ...'."""
    return english.listing([f"{key.from_object}.{c} = {key.to_object}.{p}" for c, p in key.pairs])


def draw_sql(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A query over two objects that have one key between them."""
    keys = stock.memory.joinable_keys
    if not keys:
        return None
    key = rng.choice(keys)
    names = [key.from_object, key.to_object]
    if not set(names) <= stock.by_name.keys():
        return None
    rng.shuffle(names)
    if not real:
        return unreal_object(stock, stock.by_name[names[0]], {"table": "", "other": names[1]}, rng)

    def answer(words: Random) -> str | None:
        draft = next((d for d in (draft_join(stock.memory, key, words) for _ in range(4)) if d), None)
        if draft is None or draft.query is None:
            return None
        query = replace(draft.query, filters=owner_filters(draft.driving))  # nothing that was not asked for
        columns = english.listing([c for c, _ in key.pairs])
        lead = words.choice((f"The key between them is {columns}.", "The whole key is in the join:", ""))
        return "\n".join(part for part in (lead, fenced(render_sql(query))) if part)

    return Drawn({"table": names[0], "other": names[1]}, tuple(names), answer)


def joinable(stock: Stock, a: Object, b: Object, rng: Random) -> str | None:
    keys = plain_keys(stock, a, b)
    if keys:
        said = equalities(keys[0])
        return rng.choice((f"Yes, on {said}.", f"Yes. {keys[0].from_object} refers to {keys[0].to_object}: {said}."))
    way = way_between(stock, a.name, b.name)
    if way:
        return rng.choice(
            (f"Not directly. Go through {way[1]}: {', then '.join(way)}.", f"No, but {way[1]} connects {a.name} with {b.name}.")
        )
    return rng.choice((f"No. The catalogue states no key between {a.name} and {b.name}.", f"No, no key leads from {a.name} to {b.name}."))


def way_between(stock: Stock, a: str, b: str) -> tuple[str, str, str] | None:
    """(a, bridge, b) where one object leads from one to the other; the first of several by name."""
    bridges = stock.bridges.get((a, b)) or stock.bridges.get((b, a))
    return (a, bridges[0], b) if bridges else None


def through(stock: Stock, a: Object, b: Object, rng: Random) -> str | None:
    """The bridge, with both joins."""
    way = way_between(stock, a.name, b.name)
    if way is None:
        return None
    bridge = stock.by_name[way[1]]
    first, second = plain_keys(stock, a, bridge), plain_keys(stock, bridge, b)
    if not first or not second:
        return None
    steps = f"{equalities(first[0])}; then {equalities(second[0])}"
    return rng.choice((f"Go through {bridge.name}: {steps}.", f"{bridge.name} connects them. Join on {steps}."))


def draw_renamed(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """The column of a child that equals a parent's column of another name."""
    pairs = stock.renamed
    if not pairs:
        return None
    key, child, parent = rng.choice(pairs)
    words = {"table": key.from_object, "other": key.to_object, "column": parent}
    if not real:
        return unreal_object(stock, stock.by_name[key.from_object], {**words, "table": ""}, rng)
    a, b = stock.by_name[key.from_object], stock.by_name[key.to_object]
    keys = [k for k in stock.keys_between(a.name, b.name) if k.from_object == a.name]
    found = dict.fromkeys(c for k in keys for c, p in k.pairs if p == parent)
    listed = english.listing([f"{a.name}.{c}" for c in found])
    whole = f" Join on {equalities(keys[0])}." if len(keys) == 1 and len(key.pairs) > 1 else ""
    forms = (f"{listed} matches {b.name}.{parent}.{whole}", f"In {a.name} it is called {english.listing(list(found))}.{whole}")
    return Drawn(words, (a.name, b.name), lambda seeded: seeded.choice(forms), expect={"table": a.name, "column": child})


def partners(stock: Stock, o: Object, rng: Random) -> str | None:
    keys = [key for key in stock.links.get(o.name, ()) if all(map(english.is_plain, (*key.from_columns, *key.to_columns)))]
    if not keys:
        return f"The catalogue states no key from {o.name} to another object, so there is nothing to join it to."
    said: dict[str, str] = {}
    for key in sorted(keys, key=lambda key: key.from_object != o.name):
        other, columns = (key.to_object, key.from_columns) if key.from_object == o.name else (key.from_object, key.to_columns)
        said.setdefault(other, f"{other} ({', '.join(columns)})")
    listed = shown(list(said.values()), _MOST)
    return rng.choice((f"From {o.name} one can join {listed}.", f"{o.name} joins to {listed}; the columns are those of {o.name}."))


def grain(stock: Stock, a: Object, b: Object, rng: Random) -> str | None:
    """What a join of a header with its lines does to the rows of the header, and how to total then."""
    keys = [key for key in stock.keys_between(a.name, b.name) if key.to_object == a.name and set(key.to_columns) == set(a.business_key)]
    if not keys or not b.business_key or set(keys[0].from_columns) >= set(b.business_key):
        return None
    added = [name for name in b.business_key if name not in keys[0].from_columns]
    why = f"One row of {a.name} can have many rows of {b.name}"
    more = f" (its key adds {english.listing(added)})" if set(keys[0].from_columns) < set(b.business_key) else ""
    return rng.choice(
        (
            f"{why}{more}, so the join repeats {a.name}. Total {b.name} by the key of {a.name} in a sub-query first, then join.",
            f"{why}{more}. Amounts of {a.name} would be counted once for each of them: sum {a.name} alone, or {b.name} before the join.",
        )
    )


KINDS = (
    pair_kind("join_condition", 28, condition, lambda stock: stock.linked_pairs),
    Kind("join_sql", 22, draw_sql),
    pair_kind("joinable", 17, joinable, lambda stock: stock.joinable, on_names=True),
    pair_kind("join_through", 16, through, lambda stock: stock.bridged),
    Kind("renamed_key", 2.5, draw_renamed),
    object_kind("join_partners", 6, partners),
    pair_kind("header_line_grain", 8.5, grain, lambda stock: stock.parents_first, either_way=False),
)
