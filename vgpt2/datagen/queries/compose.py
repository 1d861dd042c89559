"""Draws logical plans: a function for each kind of question, over a table and the keys around it.

A draw that the table offers nothing for gives None, and the caller draws again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vgpt2.datagen.plans.plan import COUNT_DISTINCT, ColumnRef
from vgpt2.datagen.queries.asks import Ask, Details, Link, Measure, Pairs, Sorting, Tested, tie_breakers
from vgpt2.datagen.queries.criteria import UNSAID, Criterion, criterion
from vgpt2.datagen.queries.draft import Draft
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.sql.schema import ForeignKey

Draw = Callable[[Draft], Ask | None]


def list_rows(d: Draft) -> Ask | None:
    shown = d.columns(d.table, d.rng.randint(1, 5))
    if not shown:
        return None
    return Ask("list", d.table.name, d.criteria(d.a_few(2, 5, 3), avoid=shown), shown, sorting=d.sorting(shown, 0.3))


def distinct_values(d: Draft) -> Ask | None:
    codes = [code for code in d.table.codes if code in d.table.words or d.by_name]
    if not codes:
        return None
    shown = d.table.in_order(d.rng.sample(codes, min(len(codes), d.rng.choice((1, 1, 2)))))
    return Ask("distinct", d.table.name, d.criteria(d.a_few(2, 5, 1), avoid=shown), shown, sorting=d.sorting(shown, 0.25))


def top_rows(d: Draft) -> Ask | None:
    by = [*d.table.amounts, *d.table.dates]
    if not by:
        return None
    first = d.table.ref(d.rng.choice(by))
    shown = (*d.columns(d.table, d.rng.randint(1, 3), besides=(first.column,)), first)
    top = d.rng.choice((3, 5, 10, 20, 25, 50, 100))
    return Ask("top", d.table.name, d.criteria(d.a_few(3, 5, 1), avoid=shown), shown, sorting=Sorting(first, d.rng.random() < 0.8), top=top)


def day_counts(d: Draft) -> Ask | None:
    """Days between two dates of a row, or from one to today."""
    if not d.table.dates:
        return None
    start, *rest = sorted(d.rng.sample(d.table.dates, min(2, len(d.table.dates))), key=d.table.dates.index)
    end = d.table.ref(rest[0]) if rest and d.rng.random() < 0.6 else None
    shown = d.columns(d.table, d.rng.randint(1, 3), besides=(start, *rest))
    days = (d.table.ref(start), end)
    return Ask("days", d.table.name, d.criteria(d.a_few(2, 5, 1), avoid=(*shown, *filter(None, days))), shown, days=days) if shown else None


def looked_up(d: Draft) -> Ask | None:
    """Rows with columns of what they name: one to three parents, or a parent's parent."""
    links: list[Link] = []
    for _ in range(1 + d.a_few(6, 3, 1)):
        start = d.table if not links or d.rng.random() < 0.7 else d.lexicon.table(links[-1].table)
        taken = {d.table.name, *(link.table for link in links)}
        keys = [key for key in d.lexicon.parents.get(start.name, ()) if key.to_object not in taken]
        if keys:
            key = d.rng.choice(keys)
            hanging = any(link.table == start.name and link.optional for link in links)
            links.append(Link(key.to_object, _tie(key), optional=hanging or _may_be_empty(d.lexicon, key)))
    theirs = [_columns_of(d, link, d.rng.choice((1, 1, 2))) for link in links]
    ours = d.columns(d.table, d.rng.randint(1, 3))
    if not links or not ours or not all(theirs):
        return None
    shown = ours + tuple(ref for refs in theirs for ref in refs)
    criteria = d.criteria(d.a_few(3, 5, 1), avoid=ours) + _parent_criterion(d, links, shown)
    return Ask("lookup", d.table.name, criteria, shown, tuple(links), sorting=d.sorting(ours, 0.15))


def header_with_lines(d: Draft) -> Ask | None:
    """A header's columns beside those of its lines, and at times of what the lines name."""
    keys = d.lexicon.lines.get(d.table.name, ())
    if not keys:
        return None
    key = d.rng.choice(keys)
    links = [Link(key.from_object, _tie(key, child_first=True), lines=True)]
    further = [k for k in d.lexicon.parents.get(key.from_object, ()) if k.to_object not in (d.table.name, key.from_object)]
    if further and d.rng.random() < 0.3:
        named = d.rng.choice(further)
        links.append(Link(named.to_object, _tie(named), optional=_may_be_empty(d.lexicon, named)))
    ours = d.columns(d.table, d.rng.randint(1, 2))
    theirs = [_columns_of(d, link, 1 if n else d.rng.randint(1, 3)) for n, link in enumerate(links)]
    if not ours or not all(theirs):
        return None
    shown = ours + tuple(ref for refs in theirs for ref in refs)
    return Ask("lines", d.table.name, d.criteria(d.a_few(4, 5, 1), avoid=ours), shown, tuple(links), sorting=d.sorting(ours, 0.15))


def _columns_of(d: Draft, link: Link, n: int) -> tuple[ColumnRef, ...]:
    """Columns of a linked table but for those that the join makes equal to the row's own."""
    return d.columns(d.lexicon.table(link.table), n, besides=[theirs.column for theirs, _ in link.on])


def with_rows(d: Draft) -> Ask | None:
    return _tested(d, negated=False)


def without_rows(d: Draft) -> Ask | None:
    return _tested(d, negated=True)


def number_of_rows(d: Draft) -> Ask | None:
    codes = d.table.codes
    distinct = bool(codes) and d.rng.random() < 0.3
    measure = Measure(COUNT_DISTINCT, d.table.ref(d.rng.choice(codes))) if distinct else Measure("COUNT")
    criteria = d.criteria(1 + d.a_few(5, 3, 1), avoid=(measure.column,) if measure.column else ())
    return Ask("count", d.table.name, criteria, measures=(measure,)) if criteria else None


def one_total(d: Draft) -> Ask | None:
    measure = d.measure(d.table)
    if measure is None or measure.column is None:
        return None
    return Ask("total", d.table.name, d.criteria(d.a_few(2, 5, 2), avoid=(measure.column,)), measures=(measure,))


def totals_by_group(d: Draft) -> Ask | None:
    """Aggregates by a code or a month, with the name of what the code stands for where a key leads there."""
    groups = [*d.table.codes, *(month for month in d.table.months if month in d.table.key)]
    if not groups:
        return None
    per = d.table.in_order(d.rng.sample(groups, min(len(groups), d.rng.choice((1, 1, 1, 2)))))
    measures = _measures(d)
    links: tuple[Link, ...] = ()
    if d.rng.random() < 0.25:
        per, links = _named_group(d, per)
    taken = (*per, *(m.column for m in measures if m.column))
    ask = Ask("by", d.table.name, d.criteria(d.a_few(4, 5, 1), avoid=taken), links=links, measures=measures, per=per)
    return _sorted_groups(d, ask, 0.3)


def groups_above(d: Draft) -> Ask | None:
    ask = totals_by_group(d)
    if ask is None:
        return None
    first = ask.measures[0]
    value = str(d.rng.choice((1, 2, 3, 5, 10, 20)) if first.column is None else d.rng.choice((100, 500, 1000, 5000, 10000, 50000)))
    return Ask("having", ask.table, ask.criteria, links=ask.links, measures=ask.measures, per=ask.per, having=(">", value))


def first_groups(d: Draft) -> Ask | None:
    ask = totals_by_group(d)
    if ask is None or ask.measures[0].function in ("MIN", "MAX"):  # nobody asks for the highest of highest amounts
        return None
    top, sorting = d.rng.choice((3, 5, 10, 15, 20)), Sorting(None, d.rng.random() < 0.85)
    return Ask("ranking", ask.table, ask.criteria, links=ask.links, measures=ask.measures[:1], per=ask.per, sorting=sorting, top=top)


def latest_rows(d: Draft) -> Ask | None:
    """The last row of each group, or the first."""
    dates, groups = [*d.table.dates, *d.table.months], [c for c in d.table.codes if c in d.table.words or d.by_name]
    if not dates or not groups or not d.table.key:
        return None
    by, per = d.table.ref(d.rng.choice(dates)), (d.table.ref(d.rng.choice(groups)),)
    shown = (*d.columns(d.table, d.rng.randint(1, 3), besides=(by.column, per[0].column)), by)
    criteria = d.criteria(d.a_few(5, 4), avoid=(*shown, *per))
    tie = tie_breakers(d.table, besides=(by, *per))
    sorting, top = Sorting(by, d.rng.random() < 0.8), d.rng.choice((1, 1, 1, 2, 3))
    return Ask("latest", d.table.name, criteria, shown, per=per, sorting=sorting, top=top, tie=tie)


def running_totals(d: Draft) -> Ask | None:
    dates = [*d.table.dates, *d.table.months]
    if not dates or not d.table.amounts or not d.table.key:
        return None
    by, amount = d.table.ref(d.rng.choice(dates)), d.table.ref(d.rng.choice(d.table.amounts))
    groups = [c for c in d.table.codes if c in d.table.words or d.by_name]
    per = (d.table.ref(d.rng.choice(groups)),) if groups and d.rng.random() < 0.7 else ()
    tie = tie_breakers(d.table, besides=(by, *per))
    shown = tuple(dict.fromkeys((*per, by, *tie, amount)))
    criteria = d.criteria(d.a_few(4, 5), avoid=shown)
    return Ask("running", d.table.name, criteria, shown, measures=(Measure("SUM", amount),), per=per, sorting=Sorting(by, False), tie=tie)


def rows_with_totals(d: Draft) -> Ask | None:
    """Columns of each row beside an aggregate of its lines, or of the rows that name it, of one or two tables."""
    keys = list(d.lexicon.lines.get(d.table.name, ())) or list(d.lexicon.children.get(d.table.name, ()))
    d.rng.shuffle(keys)
    details: list[Details] = []
    for key in keys[: d.rng.choice((1, 1, 1, 2))]:
        child, owner = d.lexicon.table(key.from_object), d.foreign_owner(key)
        measure = d.measure(child) if d.rng.random() < 0.8 else Measure("COUNT")
        if owner is None or measure is None or any(other.table == child.name for other in details):
            continue
        details.append(Details(child.name, _tie(key, child_first=True), owner, measure))
    shown = d.columns(d.table, d.rng.randint(1, 3))
    criteria = d.criteria(d.a_few(5, 4), avoid=shown)
    if not details or not shown:
        return None
    return Ask("totals", d.table.name, criteria, shown, details=_with_owner(d, criteria, details))


KINDS: dict[str, tuple[Draw, float]] = {
    "list": (list_rows, 14),
    "lookup": (looked_up, 15),
    "lines": (header_with_lines, 9),
    "by": (totals_by_group, 11),
    "count": (number_of_rows, 7),
    "total": (one_total, 6),
    "having": (groups_above, 5),
    "ranking": (first_groups, 5),
    "top": (top_rows, 5),
    "latest": (latest_rows, 5),
    "running": (running_totals, 3),
    "totals": (rows_with_totals, 6),
    "exists": (with_rows, 4),
    "missing": (without_rows, 5),
    "distinct": (distinct_values, 3),
    "days": (day_counts, 4),
}
# questions that need several rows: of an object with one row for each company, nobody asks them
OF_MANY = frozenset(("by", "count", "total", "having", "ranking", "top", "latest", "running", "distinct"))
JOINED = ("lookup", "lines", "totals", "exists", "missing")


def _tie(key: ForeignKey, *, child_first: bool = False) -> Pairs:
    """The key's column pairs; the side that is joined comes first: the parent's, or with `child_first` the child's."""
    pairs = [(ColumnRef(key.from_object, c), ColumnRef(key.to_object, p)) for c, p in key.pairs]
    return tuple(pairs) if child_first else tuple((parent, child) for child, parent in pairs)


def _may_be_empty(lexicon: Lexicon, key: ForeignKey) -> bool:
    child = lexicon.catalogue.objects[key.from_object]
    return any(child.column_index[c].nullable for c in key.from_columns)


def _parent_criterion(d: Draft, links: Sequence[Link], shown: Sequence[ColumnRef]) -> tuple[Criterion, ...]:
    """At times a condition on a parent that every row has."""
    sure = [link for link in links if not link.optional]
    if not sure or d.rng.random() > 0.2:
        return ()
    parent = d.lexicon.table(d.rng.choice(sure).table)
    found = criterion(parent, d.rng, avoid={ref.column for ref in shown if ref.table == parent.name})
    return (found,) if found else ()


def _tested(d: Draft, *, negated: bool) -> Ask | None:
    keys = d.lexicon.children.get(d.table.name, ())
    shown = d.columns(d.table, d.rng.randint(1, 3))
    if not keys or not shown:
        return None
    key = d.rng.choice(keys)
    child, owner = d.lexicon.table(key.from_object), d.foreign_owner(key)
    if owner is None:
        return None
    more = criterion(child, d.rng, avoid={*key.from_columns}) if d.rng.random() < 0.4 else None
    tested = Tested(child.name, _tie(key, child_first=True), owner + ((more,) if more else ()), negated)
    criteria = d.criteria(d.a_few(5, 4), avoid=shown)
    return Ask("missing" if negated else "exists", d.table.name, criteria, shown, tested=tested)


def _measures(d: Draft) -> tuple[Measure, ...]:
    first = d.measure(d.table) if d.rng.random() < 0.75 else None
    if first is None:
        return (Measure("COUNT"),)
    others = [amount for amount in d.table.amounts if first.column and amount != first.column.column]
    if others and d.rng.random() < 0.25:
        return first, Measure(first.function, d.table.ref(d.rng.choice(others)))
    return (first, Measure("COUNT")) if d.rng.random() < 0.15 else (first,)


def _named_group(d: Draft, per: tuple[ColumnRef, ...]) -> tuple[tuple[ColumnRef, ...], tuple[Link, ...]]:
    """The groups with a describing column of the parent that one of them names."""
    for ref in per:
        for key in d.lexicon.parents.get(d.table.name, ()):
            parent = d.lexicon.table(key.to_object)
            if key.from_columns[-1] == ref.column and parent.texts:
                link = Link(parent.name, _tie(key), optional=_may_be_empty(d.lexicon, key))
                return (*per, parent.ref(d.rng.choice(parent.texts))), (link,)
    return per, ()


def _sorted_groups(d: Draft, ask: Ask, chance: float) -> Ask:
    if d.rng.random() > chance:
        return ask
    sorting = Sorting(None, True) if d.rng.random() < 0.6 else Sorting(d.rng.choice(ask.per), False)
    return Ask("by", ask.table, ask.criteria, links=ask.links, measures=ask.measures, per=ask.per, sorting=sorting)


def _with_owner(d: Draft, criteria: Sequence[Criterion], details: Sequence[Details]) -> tuple[Details, ...]:
    """The lines' company filtered where it is read, with the value that the row's own has."""
    owner = criteria[0] if criteria and criteria[0].kind == "owner" else None
    found = []
    for part in details:
        company = d.lexicon.catalogue.objects[part.table].company_column
        tied = [theirs for ours, theirs in part.on if ours.column == company]
        carried = owner is not None and tied == [owner.column]
        if carried and owner is not None and company is not None:
            ref = ColumnRef(part.table, company)
            moved = tuple(type(f)(ref, f.operator, f.value) for f in owner.filters)
            part = Details(part.table, part.on, (Criterion(ref, UNSAID, moved, owner.values), *part.criteria), part.measure)
        found.append(part)
    return tuple(found)
