"""House-style queries over a catalogue, and ways to break one of them in one known place. Independent of the checker."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from vgpt2.sql.catalogue import Catalogue, ForeignKey, Object
from vgpt2.sql.parser.words import RESERVED


@dataclass(frozen=True)
class HouseQuery:
    """A query by the rules of the house, still in parts: the driving table, whole-key joins, a company filter."""

    tables: tuple[Object, ...]  # the driving table first
    joins: tuple[tuple[tuple[str, str], ...], ...]  # for each further table: pairs (its column, 'Earlier.column')
    columns: tuple[tuple[str, str], ...]  # (table, column)
    filters: tuple[str, ...]
    company: str | None  # 'APTH.APCo', or None where the driving table has none
    group: bool = False
    kinds: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()  # behind each table
    names: tuple[str, ...] = ()  # of the tables as written
    shell: str = "{}"  # what stands around the query

    def text(self) -> str:
        names = self.names or tuple(o.name for o in self.tables)
        hints = self.hints or (" WITH (NOLOCK)",) * len(names)
        lines = [f"SELECT {', '.join(f'{t}.{q(c)}' for t, c in self.columns)}{', COUNT(*) AS N' if self.group else ''}"]
        lines.append(f"FROM {names[0]}{hints[0]}")
        for i, pairs in enumerate(self.joins, 1):
            on = " AND ".join(f"{self.tables[i].name}.{q(mine)} = {theirs}" for mine, theirs in pairs)
            lines.append(f"{self.kinds[i - 1]} {names[i]}{hints[i]} ON {on}")
        where = [f"{self.company} = @{self.company.split('.')[1]}"] if self.company else []
        if [*where, *self.filters]:
            lines.append(f"WHERE {' AND '.join([*where, *self.filters])}")
        if self.group:
            lines.append(f"GROUP BY {', '.join(f'{t}.{q(c)}' for t, c in self.columns)}")
        else:
            lines.append(f"ORDER BY {self.columns[0][0]}.{q(self.columns[0][1])}")
        return self.shell.format("\n".join(lines))


def q(name: str) -> str:
    return name if name.isidentifier() and name.upper() not in RESERVED else f"[{name}]"


def view_objects(catalogue: Catalogue) -> list[Object]:
    return [o for o in catalogue.objects.values() if o.kind == "view" and len(o.columns) > 3]


def house_query(rng: random.Random, catalogue: Catalogue) -> HouseQuery:
    """A query that keeps every rule: 1 to 4 tables joined along foreign keys."""
    views = view_objects(catalogue)
    first = rng.choice(views)
    tables, joins, kinds = [first], [], []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        step = _next_join(rng, catalogue, tables)
        if step is None:
            break
        table, pairs = step
        tables.append(table)
        joins.append(pairs)
        kinds.append(rng.choice(("INNER JOIN", "JOIN", "LEFT JOIN", "LEFT OUTER JOIN")))
    columns = [(t.name, rng.choice(t.columns).name) for t in (rng.choice(tables) for _ in range(rng.randint(1, 6)))]
    filters = []
    if rng.random() < 0.6:
        t = rng.choice(tables)
        filters.append(
            f"{t.name}.{q(rng.choice(t.columns).name)} {rng.choice(('= 1', '>= @From', 'IS NOT NULL', 'IN (1, 2)', 'LIKE @Text'))}"
        )
    company = f"{first.name}.{q(first.company_column)}" if first.company_column else None
    return HouseQuery(tuple(tables), tuple(joins), tuple(dict.fromkeys(columns)), tuple(filters), company, rng.random() < 0.3, tuple(kinds))


def _next_join(rng: random.Random, catalogue: Catalogue, tables: list[Object]) -> tuple[Object, tuple[tuple[str, str], ...]] | None:
    base = rng.choice(tables)
    keys = [k for k in (*catalogue.parents(base.name), *catalogue.children(base.name)) if k.from_object != k.to_object]
    rng.shuffle(keys)
    taken = {t.name for t in tables}
    for key in keys:
        other = key.to_object if key.from_object == base.name else key.from_object
        if other not in taken and catalogue.objects[other].kind == "view":
            return catalogue.objects[other], _pairs(key, other, base.name)
    return None


def _pairs(key: ForeignKey, other: str, base: str) -> tuple[tuple[str, str], ...]:
    if key.to_object == other:
        return tuple((p, f"{base}.{q(c)}") for c, p in key.pairs)
    return tuple((c, f"{base}.{q(p)}") for c, p in key.pairs)


# Ways to break a house query: each takes (rng, catalogue, query) and gives the broken text, or None where it does not apply.

Mutation = Callable[[random.Random, Catalogue, HouseQuery], str | None]


def _renamed_table(query: HouseQuery, i: int, name: str) -> str:
    old = query.tables[i].name
    return query.text().replace(f" {old} ", f" {name} ").replace(f"{old}.", f"{name}.")


def misspell(rng: random.Random, name: str) -> str:
    i = rng.randrange(len(name))
    return rng.choice(
        (name[:i] + name[i + 1 :], name[:i] + rng.choice("aeinrst") + name[i:], name[:i] + name[i : i + 2][::-1] + name[i + 2 :])
    )


def fake_table(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    name = rng.choice(("Invoices", "Vendors", "JobCosts", "APTransactionHeader", "ARAging", "Employees", "GLTransactions", "Users"))
    return None if catalogue.has(name) else _renamed_table(query, rng.randrange(len(query.tables)), name)


def near_miss_table(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    i = rng.randrange(len(query.tables))
    name = misspell(rng, query.tables[i].name)
    return None if catalogue.ignoring_case(name) or catalogue.knows(name) or q(name) != name else _renamed_table(query, i, name)


def misspelt_column(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    t, c = rng.choice(query.columns)
    wrong = misspell(rng, c)
    o = catalogue.objects[t]
    if any(wrong.lower() == x.lower() for x in o.column_names) or q(wrong) != wrong:
        return None
    return query.text().replace(f"{t}.{q(c)}", f"{t}.{wrong}", 1)


def others_column(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    t, c = rng.choice(query.columns)
    other = rng.choice(view_objects(catalogue))
    wrong = rng.choice(other.columns).name
    if any(wrong.lower() == x.lower() for x in catalogue.objects[t].column_names):
        return None
    return query.text().replace(f"{t}.{q(c)}", f"{t}.{q(wrong)}", 1)


def unqualified_wrong_column(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    t, c = rng.choice(query.columns)
    return query.text().replace(f"{t}.{q(c)}", "NoSuchColumn" + misspell(rng, "Amount"), 1)


def undeclared_qualifier(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    t, c = rng.choice(query.columns)
    other = rng.choice(view_objects(catalogue)).name
    return None if other in {x.name for x in query.tables} else query.text().replace(f"{t}.{q(c)}", f"{other}.{q(c)}", 1)


def hidden_by_alias(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    i = rng.randrange(len(query.tables))
    hints = [" WITH (NOLOCK)"] * len(query.tables)
    hints[i] = " x" + hints[i]
    return replace(query, hints=tuple(hints)).text()


def dropped_key_column(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    long = [i for i, pairs in enumerate(query.joins) if len(pairs) > 1]
    if not long:
        return None
    i = rng.choice(long)
    pairs = list(query.joins[i])
    pairs.pop(rng.randrange(len(pairs)))
    return replace(query, joins=(*query.joins[:i], tuple(pairs), *query.joins[i + 1 :])).text()


def dropped_company_filter(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    if query.company is None or (len(query.tables) == 1 and query.tables[0].name == "HQCO"):
        return None
    column = query.company.split(".")[1]
    if any(f".{column} " in f for f in query.filters):
        return None
    return replace(query, company=None).text()


def missing_nolock(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    hints = [" WITH (NOLOCK)"] * len(query.tables)
    hints[rng.randrange(len(hints))] = ""
    return replace(query, hints=tuple(hints)).text()


def table_alias(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    i = rng.randrange(len(query.tables))
    name = query.tables[i].name
    aliased = query.text().replace(f"{name}.", "t1.").replace(f" {name} WITH", f" {name} {rng.choice(('', 'AS '))}t1 WITH")
    return aliased


def wrong_case_table(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    i = rng.randrange(len(query.tables))
    name = query.tables[i].name
    return _renamed_table(query, i, name.lower() if name != name.lower() else name.upper())


def wrong_case_column(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    t, c = rng.choice(query.columns)
    wrong = c.lower() if c != c.lower() else c.upper()
    return None if wrong == c or catalogue.objects[t].has(wrong) else query.text().replace(f"{t}.{q(c)}", f"{t}.{q(wrong)}", 1)


def base_table(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    shown = [i for i, t in enumerate(query.tables) if t.base_table and catalogue.has(t.base_table)]
    return _renamed_table(query, i, query.tables[i].base_table or "") if shown and (i := rng.choice(shown)) >= 0 else None


def inner_used_outside(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    """A table of a sub-query used in the SELECT around it."""
    if len(query.tables) < 2:
        return None
    inner = query.tables[-1].name
    on = " AND ".join(f"{inner}.{q(mine)} = {theirs}" for mine, theirs in query.joins[-1])
    column = q(query.tables[-1].columns[0].name)
    kept = [(t, c) for t, c in query.columns if t != inner] or [(query.tables[0].name, query.tables[0].columns[0].name)]
    exists = f"EXISTS (SELECT 1 FROM {inner} WITH (NOLOCK) WHERE {on})"
    cut = replace(
        query, tables=query.tables[:-1], joins=query.joins[:-1], columns=tuple(kept), kinds=query.kinds[:-1],
        filters=(exists, f"{inner}.{column} IS NOT NULL"),
    )  # fmt: skip
    return cut.text()


def not_exposed(rng: random.Random, catalogue: Catalogue, query: HouseQuery) -> str | None:
    """A column that the CTE, derived table, APPLY, #temp table or VALUES does not give."""
    t, c = query.columns[0]
    missing = next((x for x in catalogue.objects[t].column_names if x not in {y for _, y in query.columns}), None)
    if missing is None:
        return None
    first = query.tables[0].name
    inner = f"SELECT {t}.{q(c)} FROM {t} WITH (NOLOCK)"
    return rng.choice((
        f"WITH c AS ({inner}) SELECT c.{q(missing)} FROM c",
        f"SELECT d.{q(c)}, d.{q(missing)} FROM ({inner}) d",
        f"SELECT {first}.KeyID, a.{q(missing)} FROM {first} WITH (NOLOCK) CROSS APPLY (SELECT TOP 1 {t}.{q(c)} FROM {t} WITH (NOLOCK)) a",
        f"SELECT {t}.{q(c)} INTO #t FROM {t} WITH (NOLOCK) SELECT #t.{q(missing)} FROM #t",
        f"SELECT v.{q(missing)} FROM (VALUES (1)) v ({q(c)})",
        f"WITH c (Renamed) AS ({inner}) SELECT c.Renamed FROM c ORDER BY {q(missing)}",
    ))  # fmt: skip


MUTATIONS: dict[str, tuple[Mutation, tuple[str, ...]]] = {
    "fake table": (fake_table, ("unknown_table",)),
    "near-miss table": (near_miss_table, ("unknown_table",)),
    "misspelt column": (misspelt_column, ("unknown_column",)),
    "another table's column": (others_column, ("unknown_column",)),
    "unqualified wrong column": (unqualified_wrong_column, ("unknown_column",)),
    "undeclared qualifier": (undeclared_qualifier, ("unknown_qualifier",)),
    "name hidden by its alias": (hidden_by_alias, ("unknown_qualifier",)),
    "inner table used outside": (inner_used_outside, ("unknown_qualifier",)),
    "column not exposed": (not_exposed, ("unknown_column",)),
    "dropped key column": (dropped_key_column, ("incomplete_join",)),
    "dropped company filter": (dropped_company_filter, ("missing_company_filter",)),
    "missing NOLOCK": (missing_nolock, ("missing_nolock",)),
    "table alias": (table_alias, ("alias",)),
    "wrong case of a table": (wrong_case_table, ("case",)),
    "wrong case of a column": (wrong_case_column, ("case",)),
    "base table": (base_table, ("base_table",)),
}
