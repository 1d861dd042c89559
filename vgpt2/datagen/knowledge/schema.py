"""Schema knowledge: what exists, what identifies a row, whose rows they are, modules and families."""

from __future__ import annotations

from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.columns import COLUMN_KINDS
from vgpt2.datagen.knowledge.draws import invented, keyed_objects, object_kind, pair_kind, refused
from vgpt2.datagen.knowledge.stock import Stock, shown
from vgpt2.datagen.knowledge.wording import accept_base, accept_listed, accept_object
from vgpt2.datagen.language import english
from vgpt2.datagen.questions.question import Subject
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import Object

_MOST = 8  # names in one answer


def draw_existence(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Whether a name is real: one of the catalogue, of a table behind a view, or of the wider list; or an invented one like it."""
    table = rng.choice(stock.objects)
    behind = table.base_table if rng.random() < 0.1 else None
    if not real:
        fake = invented(stock, behind, rng, ("near_miss",)) if behind else invented(stock, table.name, rng)
        return refused(stock, fake, {"name": fake}) if fake else None
    listed = _listed(stock, rng) if rng.random() < 0.15 else None
    name = listed or behind or table.name
    subject = Subject(name, True, name, stock.called(table) if name == table.name else "")

    def answer(words: Random) -> str:
        if listed:
            return accept_listed(listed, words)
        return accept_base(behind, table, words) if behind else accept_object(stock, table, words)

    return Drawn({"name": name}, () if listed else (table.name,), answer, subject, {"name": name, "exists": True})


def summary(stock: Stock, o: Object, rng: Random) -> str | None:
    """What the object is, with its key."""
    key = f" One row is identified by {english.listing(o.business_key)}." if o.business_key else ""
    module = f" of module {o.module}" if o.module else ""
    text = stock.description(o)
    if text is None:
        return f"{o.name} is a {o.kind}{module} with {len(o.columns)} columns." + key
    return rng.choice(
        (
            f"{o.name} is a {o.kind}{module}. {_sentence(text)}{key}",
            f"{o.name}: {text}.{key}",
            f"{o.name} holds {english.things(text) or text}.{key}",
        )
    )


def key(stock: Stock, o: Object, rng: Random) -> str | None:
    if not o.business_key:
        return f"The catalogue states no business key of {o.name}."
    columns = english.listing(o.business_key)
    if len(o.business_key) == 1:
        return rng.choice((f"The key of {o.name} is {columns}.", f"{o.name} is unique by {columns} alone."))
    return rng.choice(
        (
            f"The key of {o.name} is {columns}.",
            f"A row of {o.name} is identified by {columns} together.",
            f"{o.name} is unique by {columns}; use all {len(o.business_key)} of them.",
        )
    )


def company(stock: Stock, o: Object, rng: Random) -> str | None:
    if o.company_column:
        name = f"{o.name}.{o.company_column}"
        return rng.choice(
            (
                f"The company column of {o.name} is {o.company_column}.",
                f"Filter {o.name} by {name}.",
                f"{name} holds the company; filter on it.",
            )
        )
    shared = [f"{o.name}.{name}" for name in o.group_columns if name in o.business_key]
    if shared:
        return f"{o.name} has no company column. Its rows are shared by companies through {english.listing(shared)}."
    return f"{o.name} has no company column, so it needs no filter by company."


def groups(stock: Stock, o: Object, rng: Random) -> str | None:
    plain = [name for name in o.group_columns if english.is_plain(name)]
    if not plain:
        return f"{o.name} has no group columns."
    listed = english.listing(plain)
    if len(plain) == 1:
        return rng.choice((f"{o.name} has one group column: {listed}.", f"The group column of {o.name} is {listed}."))
    return rng.choice((f"The group columns of {o.name} are {listed}.", f"{o.name} has {len(plain)} group columns: {listed}."))


def table_or_view(stock: Stock, o: Object, rng: Random) -> str | None:
    if o.kind == "view" and o.base_table:
        return rng.choice(
            (
                f"{o.name} is a view. It shows the table {o.base_table}; query {o.name}.",
                f"{o.name} is the view over the table {o.base_table}. Queries read {o.name}.",
            )
        )
    if o.kind == "view":
        return f"{o.name} is a view that draws on more than one table. Query {o.name} itself."
    return rng.choice((f"{o.name} is a table, and queries read it directly.", f"{o.name} is a table. There is no view to prefer to it."))


def module(stock: Stock, o: Object, rng: Random) -> str | None:
    if not o.module:
        return f"The catalogue assigns {o.name} to no module."
    return rng.choice(
        (
            f"{o.name} belongs to module {o.module}.",
            f"Module {o.module}: {o.name} ({stock.called(o)}) belongs to it.",
            f"{o.name} is part of module {o.module}.",
        )
    )


def family(stock: Stock, o: Object, rng: Random) -> str | None:
    """Header, lines and details, each with the columns that its key adds."""
    members = stock.family(o)
    if len(members) < 2 or len(members) > _MOST:
        return None
    steps = [f"{members[0].name} (key {english.listing(members[0].business_key)})"]
    for member in members[1:]:
        added = member.business_key[len(members[0].business_key) :]
        steps.append(f"{member.name} (adds {english.listing(added)})" if added else f"{member.name} (the same key)")
    place = _place(o, members)
    return rng.choice((f"{place} The family: {', '.join(steps)}.", f"From the top: {', '.join(steps)}. {place}"))


def shared(stock: Stock, a: Object, b: Object, rng: Random) -> str | None:
    """Columns of the same name; keys first, for those are what joins use."""
    both = [name for name in a.column_names if b.has(name) and english.is_plain(name)]
    if not both:
        return f"{a.name} and {b.name} share no column names."
    listed = shown(sorted(both, key=lambda name: name not in a.business_key), _MOST)
    if len(both) == 1:
        return f"{a.name} and {b.name} have one column name in common: {listed}."
    return rng.choice((f"Both {a.name} and {b.name} have {listed}.", f"{a.name} and {b.name} share {len(both)} column names: {listed}."))


def draw_holder(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Which object holds such rows, by what its description calls them; only words that one object answers to."""
    if not stock.things:
        return None
    things = rng.choice(sorted(stock.things))
    table = stock.things[things]
    forms = (f"{table.name} holds the {things}.", f"The {things} are in {table.name}.", f"Query {table.name}: {stock.description(table)}.")
    return Drawn({"things": things}, (table.name,), lambda words: words.choice(forms), expect={"table": table.name}, about=table)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _place(o: Object, members: tuple[Object, ...]) -> str:
    """Where the object stands in its family."""
    longer = [m for m in members if len(m.business_key) > len(o.business_key)]
    shorter = [m for m in members if len(m.business_key) < len(o.business_key)]
    if not shorter:
        return f"{o.name} is at the top." if longer else f"{o.name} stands beside objects of the same key."
    above = max(shorter, key=lambda m: len(m.business_key))
    return f"{o.name} is below {above.name}" + (f" and above {min(longer, key=lambda m: len(m.business_key)).name}." if longer else ".")


KINDS = (
    Kind("exists_object", 10, draw_existence, asks="existence"),
    object_kind("object_summary", 4, summary),
    object_kind("key_of", 4, key, keyed_objects),
    object_kind("company_column", 3, company),
    object_kind("group_columns", 2.5, groups),
    object_kind("table_or_view", 2.5, table_or_view, on_names=True),
    object_kind("module_of", 2.5, module, on_names=True),
    object_kind("family_of", 1.5, family),
    Kind("topic_holder", 3, draw_holder, asks="topic"),
    pair_kind("shared_columns", 8, shared, lambda stock: stock.neighbours),
    *COLUMN_KINDS,
)


def _listed(stock: Stock, rng: Random) -> str | None:
    """A real name of the wider list that the catalogue does not describe and this side may ask about."""
    return rng.choice(stock.listed) if stock.listed else None
