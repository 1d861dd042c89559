"""Right query plans of every form over any catalogue, drawn by chance: what faults and their checks are tried on."""

from dataclasses import replace
from random import Random

from vgpt2.datagen.language import english
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.conditions import codes, conditions, summable
from vgpt2.datagen.plans.plan import ColumnRef, Cte, Exists, Filter, Having, Join, Order, Output, Query, Source, Window
from vgpt2.datagen.questions.drafts import draft_count, draft_join, draft_select, draft_total


def plan(side: Side, rng: Random) -> Query | None:
    """One plan of a form chosen by chance; None where the draw offers nothing."""
    return rng.choice(FORMS)(side, rng)


def _table(side, rng):
    return rng.choice(side.schema_objects())


def one_table(side, rng):
    draft = rng.choice((draft_select, draft_count, draft_total))(side, _table(side, rng), rng)
    return draft.query if draft else None


def join(side, rng):
    draft = draft_join(side, rng.choice(side.joinable_keys), rng)
    return draft.query if draft else None


def first_rows(side, rng):
    draft = draft_select(side, _table(side, rng), rng)
    if draft is None:
        return None
    by = rng.choice(draft.query.outputs).column
    return replace(draft.query, top=rng.choice((5, 10, 20)), order_by=(Order(by, rng.random() < 0.6),))


def distinct(side, rng):
    draft = draft_select(side, _table(side, rng), rng)
    if draft is None:
        return None
    return replace(draft.query, distinct=True, order_by=tuple(Order(o.column) for o in draft.query.outputs[:1]))


def left_join(side, rng):
    query = join(side, rng)
    return replace(query, joins=(replace(query.joins[0], kind="LEFT JOIN"),)) if query else None


def having(side, rng):
    draft = draft_total(side, _table(side, rng), rng)
    if draft is None:
        return None
    total = draft.query.outputs[-1]
    order = (Order(total.label, True),)
    return replace(draft.query, having=(Having("SUM", total.column, ">", "1000"),), order_by=order, top=rng.choice((None, 10)))


def total_over_join(side, rng):
    """A line's amount added up by a column of the header."""
    if not side.line_keys:
        return None
    key = rng.choice(side.line_keys)
    line, header = side.catalogue.objects[key.from_object], side.catalogue.objects[key.to_object]
    amounts, groups = summable(line), codes(side.catalogue, header)
    if not amounts or not groups or not (header.company_column or not line.company_column):
        return None
    by = ColumnRef(header.name, rng.choice(groups))
    asked = conditions(side.catalogue, header, rng, n=1, avoid=(by.column,))
    filters = tuple(f for condition in asked for f in condition.filters)
    on = tuple((ColumnRef(line.name, c), ColumnRef(header.name, p)) for c, p in key.pairs)
    outputs = (Output(by), Output(ColumnRef(line.name, rng.choice(amounts)), rng.choice(("SUM", "AVG", "COUNT DISTINCT")), "Total"))
    return Query(Source(header.name), outputs, filters, (Join(Source(line.name), on),), (by,))


def exists(side, rng):
    """Headers with or without lines."""
    if not side.line_keys:
        return None
    key = rng.choice(side.line_keys)
    draft = draft_select(side, side.catalogue.objects[key.to_object], rng)
    company = side.catalogue.objects[key.from_object].company_column
    if draft is None or company not in (None, *key.from_columns):
        return None
    on = tuple((ColumnRef(key.from_object, c), ColumnRef(key.to_object, p)) for c, p in key.pairs)
    return replace(draft.query, exists=(Exists(Query(Source(key.from_object), ()), on, rng.random() < 0.5),))


def ranked(side, rng):
    table = _table(side, rng)
    keys, amounts = codes(side.catalogue, table), summable(table)
    asked = conditions(side.catalogue, table, rng, n=0)
    if not keys or not amounts or not asked:
        return None
    by, amount = ColumnRef(table.name, rng.choice(keys)), ColumnRef(table.name, rng.choice(amounts))
    window = Window((by,), (Order(amount, True),))
    output = rng.choice((Output(None, "ROW_NUMBER", "RowNo", window), Output(amount, "SUM", "RunningTotal", window)))
    return Query(Source(table.name), (Output(by), Output(amount), output), tuple(f for c in asked for f in c.filters))


def through_cte(side, rng):
    """Totals of a table, the large ones among them."""
    draft = draft_total(side, _table(side, rng), rng)
    if draft is None:
        return None
    by, total = draft.query.outputs
    seen = Output(ColumnRef("Totals", by.column.column)), Output(ColumnRef("Totals", total.label))
    large = (Filter(ColumnRef("Totals", total.label), ">", "500"),)
    return Query(Source("Totals", nolock=False), seen, large, ctes=(Cte("Totals", draft.query),))


def texts(side, rng):
    """Conditions on a text, a flag and the present day."""
    table = _table(side, rng)
    words = [c for c in table.columns if c.type == "varchar" and english.is_plain(c.name)]
    dates = [c for c in table.columns if c.type in ("datetime", "date", "smalldatetime") and english.is_plain(c.name)]
    draft = draft_select(side, table, rng)
    if draft is None or not words or not dates:
        return None
    like = Filter(ColumnRef(table.name, rng.choice(words).name), "LIKE", "'%north%'")
    late = Filter(ColumnRef(table.name, rng.choice(dates).name), "<", "GETDATE()")
    year = Output(ColumnRef(table.name, rng.choice(dates).name), "YEAR", "InYear")
    return replace(draft.query, filters=(*draft.query.filters, like, late), outputs=(*draft.query.outputs, year))


FORMS = (one_table, one_table, join, join, first_rows, distinct, left_join, having, total_over_join, exists, ranked, through_cte, texts)
