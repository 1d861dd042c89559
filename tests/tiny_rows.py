"""Small tables for logical plans, and what a plan asks of them worked out row by row in plain Python: no SQL, no joins, no windows."""

import datetime
import operator
import sqlite3
from collections import defaultdict

_COMPARE = {"=": operator.eq, "<>": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
DATES = ("20231230", "20240101", "20240201", "20240215", "20240301")


def filled(ask, catalogue, rng):
    """Rows by table, as dicts of the columns that the plan uses; values near those of its conditions, keys unique."""
    columns = defaultdict(set)
    for ref in ask.refs:
        columns[ref.table].add(ref.column)
    for table in columns:
        columns[table] |= set(catalogue.objects[table].business_key)
    domains = {}
    for table, names in columns.items():
        for name in names:
            domains[table, name] = _domain(catalogue.objects[table].column_index[name])
    likely = defaultdict(set)
    for f in _filters(ask):
        likely[f.column.table, f.column.column] |= {_value(v) for v in f.value.strip("()").split(", ") if v != "NULL"}
    if ask.having and ask.measures[0].column:
        likely[ask.table, ask.measures[0].column.column].add(int(ask.having[1]) + 1)
    for key, values in likely.items():
        domains[key] = domains[key] | values
    for a, b in _pairs(ask) * 3:
        both = domains[a.table, a.column] | domains[b.table, b.column]
        domains[a.table, a.column] = domains[b.table, b.column] = both
    return {table: _rows(catalogue.objects[table], sorted(names), domains, likely, ask, rng) for table, names in columns.items()}


def by_sqlite(sql, tables):
    """The rows that SQLite gives for the T-SQL of a plan."""
    base = sqlite3.connect(":memory:")
    base.create_function("DAYS", 2, _days)
    for table, rows in tables.items():
        names = sorted({name for row in rows for name in row})
        base.execute(f"CREATE TABLE [{table}] ({', '.join(f'[{name}]' for name in names)})")
        base.executemany(f"INSERT INTO [{table}] VALUES ({', '.join('?' * len(names))})", [[row[n] for n in names] for row in rows])
    text = sql.replace(" WITH (NOLOCK)", "").replace("ISNULL(", "IFNULL(").replace("DATEDIFF(DAY, ", "DAYS(")
    head, top, rest = text.partition("SELECT TOP ")
    if top:
        n, _, rest = rest.partition(" ")
        text = f"{head}SELECT {rest}\nLIMIT {n}"
    return [tuple(row) for row in base.execute(text)]


def by_hand(ask, tables):
    """The rows that the plan asks for, not cut to its first ones; the second value gives each row's sort key."""
    kept = [row for row in tables[ask.table] if _meets(row, [c for c in ask.criteria if c.column.table == ask.table])]
    envs = [{ask.table: row} for row in kept]
    for link in ask.links:
        envs = [{**env, link.table: row} for env in envs for row in _matches(link, env, tables)]
    envs = [e for e in envs if all(_meets(e[c.column.table], [c]) for c in ask.criteria if c.column.table != ask.table)]
    if ask.tested:
        found = [any(_tied(ask.tested, row, env) and _meets(row, ask.tested.criteria) for row in tables[ask.tested.table]) for env in envs]
        envs = [env for env, one in zip(envs, found) if one != ask.tested.negated]
    if ask.kind in ("count", "total", "by", "having", "ranking"):
        return _grouped(ask, envs)
    if ask.kind == "latest":
        return _latest(ask, envs)
    if ask.kind == "running":
        return _running(ask, envs)
    rows = []
    for env in envs:
        row = tuple(_get(env, ref) for ref in ask.shown)
        if ask.days:
            row += (_days(_get(env, ask.days[0]), _get(env, ask.days[1])),)
        for details in ask.details:
            lines = [line for line in tables[details.table] if _tied(details, line, env) and _meets(line, details.criteria)]
            row += (_aggregate(details.measure, lines, nothing=0),)
        rows.append((row, _order(_get(env, ask.sorting.by)) if ask.sorting else None))
    return [(row, None) for row in {row for row, _ in rows}] if ask.kind == "distinct" else rows


def _grouped(ask, envs):
    groups = defaultdict(list)
    for env in envs:
        groups[tuple(_get(env, ref) for ref in ask.per)].append(env[ask.table])
    if not ask.per:
        groups[()] = groups.get((), [])
    rows = []
    for key, members in groups.items():
        values = [_aggregate(m, members, nothing=None) for m in ask.measures]
        if ask.having and not (values[0] is not None and values[0] > float(ask.having[1])):
            continue
        by = None if not ask.sorting else values[0] if ask.sorting.by is None else key[ask.per.index(ask.sorting.by)]
        rows.append(((*key, *values), _order(by)))
    return rows


def _latest(ask, envs):
    groups = defaultdict(list)
    for env in envs:
        groups[tuple(_get(env, ref) for ref in ask.per)].append(env)
    columns = list(dict.fromkeys((*ask.per, *ask.shown)))
    rows = []
    for members in groups.values():
        members.sort(key=lambda env: [_order(_get(env, ref)) for ref in (ask.sorting.by, *ask.tie)], reverse=ask.sorting.descending)
        rows += [(tuple(_get(env, ref) for ref in columns), None) for env in members[: ask.top]]
    return rows


def _running(ask, envs):
    rows = []
    amount = ask.measures[0].column
    for env in envs:
        mine = [_order(_get(env, ref)) for ref in (ask.sorting.by, *ask.tie)]
        so_far = []
        for other in envs:
            same = all(_get(other, ref) == _get(env, ref) for ref in ask.per)
            if same and [_order(_get(other, ref)) for ref in (ask.sorting.by, *ask.tie)] <= mine:
                so_far.append(_get(other, amount))
        added = [value for value in so_far if value is not None]
        rows.append(((*(_get(env, ref) for ref in ask.shown), sum(added) if added else None), None))
    return rows


def _aggregate(measure, rows, *, nothing):
    if measure.column is None:
        return len(rows)
    values = [row[measure.column.column] for row in rows if row[measure.column.column] is not None]
    if measure.function == "COUNT DISTINCT":
        return len(set(values))
    if not values:
        return nothing if measure.function == "SUM" else None
    return {"SUM": sum, "MIN": min, "MAX": max, "AVG": lambda v: sum(v) / len(v)}[measure.function](values)


def _matches(link, env, tables):
    found = [row for row in tables[link.table] if _tied(link, row, env)]
    return found or ([defaultdict(lambda: None)] if link.optional else [])


def _tied(tie, row, env):
    return all(row[ours.column] is not None and row[ours.column] == _get(env, theirs) for ours, theirs in tie.on)


def _meets(row, criteria):
    return all(_holds(row[f.column.column], f.operator, f.value) for c in criteria for f in c.filters)


def _holds(value, sign, text):
    if sign in ("IS", "IS NOT"):
        return (value is None) == (sign == "IS")
    if value is None:
        return False
    if sign == "IN":
        return value in {_value(v) for v in text.strip("()").split(", ")}
    if sign == "LIKE":
        wanted = text.strip("'").casefold()
        said = str(value).casefold()
        return wanted.strip("%") in said if wanted.startswith("%") else said.startswith(wanted.rstrip("%"))
    other = _value(text)
    return _COMPARE[sign](value, other)


def _rows(o, names, domains, likely, ask, rng):
    """Up to 14 rows, unique in the object's key and in what others name it by."""
    unique = [o.business_key] if o.business_key else []
    unique += [tuple(ours.column for ours, _ in link.on) for link in ask.links if link.table == o.name and not link.lines]
    unique += [tuple(theirs.column for _, theirs in tie.on) for tie in (*ask.links, *ask.details) if _is_parent(tie, o)]
    rows = []
    for _ in range(40):
        row = {}
        for name in names:
            usual = likely.get((o.name, name), ())
            row[name] = rng.choice(sorted(usual if usual and rng.random() < 0.7 else domains[o.name, name], key=str))
        for name in names:
            if o.column_index[name].nullable and name not in o.business_key and rng.random() < 0.15:
                row[name] = None
        if all(tuple(row[c] for c in key) not in {tuple(r[c] for c in key) for r in rows} for key in unique):
            rows.append(row)
    return rows[:14]


def _is_parent(tie, o):
    """Whether the tie leads from lines to the object."""
    return all(theirs.table == o.name for _, theirs in tie.on) and getattr(tie, "lines", True)


def _pairs(ask):
    ties = [link.on for link in ask.links] + [d.on for d in ask.details] + ([ask.tested.on] if ask.tested else [])
    return [pair for tie in ties for pair in tie]


def _filters(ask):
    criteria = [*ask.criteria, *(c for d in ask.details for c in d.criteria), *(ask.tested.criteria if ask.tested else ())]
    return [f for c in criteria for f in c.filters]


def _domain(column):
    if column.type in ("date", "datetime", "datetime2", "smalldatetime"):
        return set(DATES)
    if column.type in ("char", "varchar", "nchar", "nvarchar"):
        return {"A", "B north", "Y"}
    return {1, 2, 700}


def _value(text):
    text = text.strip()
    return text.strip("'").replace("%", "") if text.startswith("'") else int(text)


def _get(env, ref):
    return env[ref.table][ref.column]


def _order(value):
    """NULL comes first, as in SQL Server and SQLite."""
    return (value is not None, value if value is not None else 0)


def _days(start, end):
    if start is None or end is None:
        return None
    first, last = (datetime.date(int(v[:4]), int(v[4:6]), int(v[6:])) for v in (start, end))
    return (last - first).days
