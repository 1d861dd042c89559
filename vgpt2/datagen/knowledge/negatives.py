"""Negative examples of five kinds: unreal tables and columns, wrong case, invalid patterns, wrong joins.

Each request is right as often as it is wrong, so that the words of a question never tell the answer.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.draws import invented, refused, telling_columns, unreal_column, unreal_query
from vgpt2.datagen.knowledge.joins import equalities
from vgpt2.datagen.knowledge.objects import first_query, owner_filters
from vgpt2.datagen.knowledge.stock import Stock
from vgpt2.datagen.knowledge.wording import as_name
from vgpt2.datagen.language.answers import fenced, verdict
from vgpt2.datagen.plans.plan import ColumnRef, Join, Output, render_sql
from vgpt2.datagen.questions.drafts import draft_join
from vgpt2.datagen.questions.question import Subject
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import ForeignKey


def draw_table(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A request for SQL on a table that is real or invented."""
    table = rng.choice(stock.objects)
    if not real:
        fake = invented(stock, table.name, rng)
        return refused(stock, fake, {"name": fake}) if fake else None

    def answer(words: Random) -> str | None:
        query = first_query(table, words, extra=2)
        return fenced(render_sql(query)) if query else None

    subject = Subject(table.name, True, table.name)
    return Drawn({"name": table.name}, (table.name,), answer, subject, {"name": table.name, "exists": True})


def draw_column(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A request for a column that the object has or lacks."""
    table = rng.choice(stock.objects)
    columns = telling_columns(table)
    if not columns:
        return None
    column = rng.choice(columns)
    if not real:
        return unreal_column(stock, table, column, rng)

    def answer(words: Random) -> str | None:
        query = first_query(table, words, extra=0)
        if query is None:
            return None
        ref = Output(ColumnRef(table.name, column.name))
        return fenced(render_sql(query if ref in query.outputs else replace(query, outputs=(*query.outputs, ref))))

    subject = Subject(f"{table.name}.{column.name}", True, f"{table.name}.{column.name}")
    words = {"table": table.name, "column": column.name}
    return Drawn(words, (table.name,), answer, subject, {"name": subject.name, "exists": True})


def draw_case(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A name in its own case, or in another."""
    table = rng.choice(stock.objects)
    name = table.name if real else _other_case(table.name, rng)
    if name is None or (not real and stock.side.names.is_object(name)):
        return None
    subject, wrong, right = Subject(name, real, table.name), as_name(name), as_name(table.name)
    if real:
        forms = [
            f"Yes, {right} exists in exactly this case.",
            f"{right} is right as it is written.",
            verdict(name, real=True, nearest=name),
        ]
    else:
        forms = [
            f"{wrong} does not exist: names are case-sensitive. Use {right}.",
            f"{wrong} does not exist in this case. The right spelling is {right}.",
            verdict(name, real=False, nearest=table.name, about="another case"),
        ]
    expect = {"name": name, "exists": real}
    return Drawn({"name": name}, (table.name,), lambda words: words.choice(forms), subject, expect)


def draw_pattern(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A query of one object: clean, without NOLOCK, with an alias, or on an invented table."""
    table = rng.choice(stock.objects)
    query = first_query(table, rng, extra=2)
    if query is None:
        return None
    if not real:
        return unreal_query(stock, table, render_sql(query), rng)
    clean = render_sql(query)
    fault = rng.choice(("none", "none", "nolock", "alias", "both"))
    sql = clean
    if fault in ("nolock", "both"):
        sql = sql.replace(" WITH (NOLOCK)", "")
    if fault in ("alias", "both"):
        sql = _aliased(sql, table.name, rng)
    says = {
        "none": "It is clean: the name is written out, read WITH (NOLOCK){company}.",
        "nolock": f"{table.name} is read without NOLOCK. Corrected:",
        "alias": f"Aliases are not used here; write {table.name} in full. Corrected:",
        "both": f"Two things: {table.name} needs WITH (NOLOCK), and aliases are not used here. Corrected:",
    }[fault]
    company = f", and filtered by {table.company_column}" if table.company_column else ""
    said = says.format(company=company) + (f"\n{fenced(clean)}" if fault != "none" else "")
    return Drawn({"sql": fenced(sql)}, (table.name,), lambda words: said, about=None)


def draw_join_review(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """A join on the whole key, on a part of it, or without its company; or with an invented table."""
    keys = [key for key in stock.memory.joinable_keys if len(key.pairs) > 1]
    key = rng.choice(keys) if keys else None
    draft = draft_join(stock.memory, key, rng) if key else None
    if key is None or draft is None or draft.query is None or not {key.from_object, key.to_object} <= stock.by_name.keys():
        return None
    query = replace(draft.query, filters=owner_filters(draft.driving))
    if not query.filters:
        return None
    if not real:
        return unreal_query(stock, draft.driving, render_sql(query), rng)
    clean = render_sql(query)
    names = query.tables
    if rng.random() < 0.5:
        said = f"The join of {names[0]} and {names[1]} is right, on the whole key: {equalities(key)}."
        return Drawn({"sql": fenced(clean)}, names, lambda words: said)
    join, dropped = query.joins[0], _dropped(stock, key, rng)
    partial = Join(join.source, tuple(pair for n, pair in enumerate(join.on) if n != dropped))
    lost = key.from_columns[dropped]
    company = lost in (stock.by_name[key.from_object].company_column, stock.by_name[key.to_object].company_column)
    missing = f"{key.from_object}.{key.from_columns[dropped]} = {key.to_object}.{key.to_columns[dropped]}"
    why = "rows of other companies would match" if company else "rows of other keys would match"
    forms = (f"The join leaves out {missing}, so {why}. Corrected:", f"The join is on part of the key only: add {missing}. Corrected:")
    wrong = render_sql(replace(query, joins=(partial,)))
    return Drawn({"sql": fenced(wrong)}, names, lambda words: f"{words.choice(forms)}\n{fenced(clean)}")


def _dropped(stock: Stock, key: ForeignKey, rng: Random) -> int:
    """Which column of the key is left out: the company in half of the joins that have one."""
    company = stock.by_name[key.from_object].company_column
    if company in key.from_columns and rng.random() < 0.5:
        return key.from_columns.index(company)
    return rng.randrange(len(key.pairs))


def _aliased(sql: str, name: str, rng: Random) -> str:
    alias = rng.choice(("t", "x", "a", name[:1].lower(), name[:2].lower()))
    return sql.replace(f"{name}.", f"{alias}.").replace(f"FROM {name}", f"FROM {name} {alias}")


def _other_case(name: str, rng: Random) -> str | None:
    others = [other for other in (name.lower(), name.upper(), name.capitalize(), name[:2] + name[2:].lower()) if other != name]
    return rng.choice(others) if others else None


KINDS = (
    Kind("exists_requested", 25, draw_table, asks="existence"),
    Kind("exists_selected", 25, draw_column, asks="existence"),
    Kind("exists_case", 12, draw_case, asks="existence"),
    Kind("negative_pattern", 18, draw_pattern),
    Kind("negative_join", 20, draw_join_review),
)
