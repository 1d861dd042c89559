"""Synthetic rows that obey keys, hold what a query asks for, and lie on both sides of each of its conditions.

A child row is made first and its parents are made to fit, so that composite keys, renamed columns and cycles of keys need no order.
Keys are drawn from few values on purpose: a join on part of a key then meets rows that it should not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from string import ascii_uppercase

from eval.execution.demands import Demands, Limit, Slot
from eval.execution.limits import Cell, allowed, refused
from eval.execution.values import FORM, NOW, Kind, kind_of
from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey, Object

Row = dict[str, Cell]
Group = tuple[Slot, ...]  # columns that the query wants equal
Chosen = dict[Group, Cell]
MONTHS = tuple(f"2025-{month:02d}-01 00:00:00" for month in (3, 4, 5, 6))
CODES = ("A1", "B2", "C3", "D4")
LETTERS = ("Y", "N", "A", "C")
RARE_SHARE = 0.15  # of short codes: a group of rows that nothing else belongs to
WITNESSES = 6  # rows that fulfil every condition
MOST_CONTRARY = 4
STRANGERS = 3  # rows a table that nothing was asked of
NULL_SHARE = 0.12


def make_rows(
    catalogue: Catalogue, columns: Mapping[str, Sequence[str]], wanted: Demands, *, seed: int, attempt: int = 0
) -> dict[str, list[Row]]:
    """Rows by table for the tables of `columns`, each with those columns. A higher `attempt` makes more and larger values."""
    maker = _Maker(catalogue, columns, wanted, Random(f"{seed}/{attempt}/rows"), scale=10**attempt)
    for turn in range(max(WITNESSES, min(wanted.rows, 40) + 4) * (1 + attempt)):
        maker.put_group(maker.fitting(turn), turn)
    maker.put_crowd()
    maker.put_edges()
    maker.put_strangers()
    return maker.rows


def contrary_rows(catalogue: Catalogue, columns: Mapping[str, Sequence[str]], wanted: Demands) -> list[dict[str, list[Row]]]:
    """Sets of rows in which one condition is broken by the first comer: where the other conditions name a whole key, nothing is found."""
    sets = []
    for place in range(MOST_CONTRARY):
        maker = _Maker(catalogue, columns, wanted, Random(f"{place}/contrary"), scale=1)
        if not maker.put_broken(place):
            break
        sets.append(maker.rows)
    return sets


def needed_columns(catalogue: Catalogue, tables: Sequence[str], words: set[str]) -> dict[str, list[str]]:
    """Of each table the columns that are named, its key and the columns of keys between the tables, in the catalogue's order."""
    found = {}
    for table in tables:
        o = catalogue.objects[table]
        wanted = {*o.business_key, *(column for key in _keys(catalogue, tables) for column in _columns_of(key, table))}
        every = "*" in words
        found[table] = [c.name for c in o.columns if every or c.name in words or c.name in wanted]
    return found


def _keys(catalogue: Catalogue, tables: Sequence[str]) -> list[ForeignKey]:
    pairs = [(a, b) for a in tables for b in tables if a != b]
    return [key for a, b in pairs for key in catalogue.joins(a, b) if key.from_object == a and key.to_object == b]


def _columns_of(key: ForeignKey, table: str) -> tuple[str, ...]:
    return key.from_columns if key.from_object == table else key.to_columns if key.to_object == table else ()


def _ancestors(table: str, keys: Sequence[ForeignKey]) -> set[str]:
    """Tables that a row of this one needs rows of, directly or through others."""
    found, stack = set[str](), [table]
    while stack:
        child = stack.pop()
        above = {key.to_object for key in keys if key.from_object == child} - found
        found |= above
        stack += above
    return found


def _groups(wanted: Demands) -> list[Group]:
    """Slots that must be equal, as the links connect them; a slot with limits alone is a group of its own."""
    group_of: dict[Slot, list[Slot]] = {slot: [slot] for slot in wanted.limits}
    for a, b in wanted.links:
        first, second = group_of.setdefault(a, [a]), group_of.setdefault(b, [b])
        if first is not second:
            first += second
            group_of.update(dict.fromkeys(second, first))
    return [tuple(group) for group in {id(group): group for group in group_of.values()}.values()]


class _Maker:
    def __init__(self, catalogue: Catalogue, columns: Mapping[str, Sequence[str]], wanted: Demands, rng: Random, *, scale: int) -> None:
        self._catalogue, self._columns, self._wanted, self._rng, self._scale = catalogue, columns, wanted, rng, scale
        self._groups = _groups(wanted)
        # a parent's own row before its children's, which would make one without what is asked of it
        self._order = sorted(
            range(len(wanted.tables)), key=lambda place: len(_ancestors(wanted.tables[place], _keys(catalogue, list(columns))))
        )
        self.rows: dict[str, list[Row]] = {table: [] for table in columns}
        self._taken: dict[str, set[tuple[Cell, ...]]] = {table: set() for table in columns}
        self._parents: dict[str, list[ForeignKey]] = {table: [] for table in columns}
        self._ids: dict[str, set[str]] = {table: set(catalogue.objects[table].business_key) for table in columns}
        for key in _keys(catalogue, list(columns)):
            self._parents[key.from_object].append(key)
            self._ids[key.from_object].update(key.from_columns)
            self._ids[key.to_object].update(key.to_columns)
        self._named: dict[tuple[str, str], list[Cell]] = {}
        for slot, limits in wanted.limits.items():
            values = [value for limit in limits if limit.operator in ("=", "IN") for value in limit.values]
            self._named.setdefault((wanted.tables[slot.place], slot.column), []).extend(values)

    def fitting(self, turn: int) -> Chosen:
        """A value for each group that its conditions allow; by turns each edge of them."""
        chosen: Chosen = {}
        for group in self._groups:
            limits = self._limits(group)
            values = allowed(limits, self._pool(group[0]), self._kind(group[0]))
            at_edge = limits and turn < 2 * len(values)
            chosen[group] = values[turn % len(values)] if at_edge else self._rng.choice(values)
        return chosen

    def put_crowd(self) -> None:
        """As many fitting rows of one group as a condition on COUNT asks for."""
        if not self._wanted.crowd:
            return
        chosen = self.fitting(0) | {group: self._unused(self._column(group[0]), 300) for group in self._groups if not self._limits(group)}
        grouped = {(slot.place, slot.column) for slot in self._wanted.groups}
        for place in self._order:
            table = self._wanted.tables[place]
            values = self._values(place, chosen)
            first = self.put(table, values)
            for _ in range(self._wanted.crowd if first else 0):
                row = self.rows[table][-1]
                kept = {name: row[name] for _, name in grouped if name in row and (place, name) in grouped}
                self.put(table, {**(first or {}), **kept, **values})

    def put_edges(self) -> None:
        """For each group rows that break its conditions alone, and the fitting rows once more under another value of it.

        Also each table's row alone, and all rows but one: what outer joins tell from inner ones.
        """
        for turn, group in enumerate(self._groups):
            for number, value in enumerate(self._refused(group)[:3]):
                self.put_group(self._with_fresh_keys(turn + number) | {group: value}, turn)
            for number in range(2):
                chosen = self.fitting(turn + number)
                self.put_group(chosen, 0)
                others = [value for value in self._pool(group[0]) if value != chosen[group]]
                self.put_group(chosen | ({group: self._rng.choice(others)} if others else {}), turn)
        for number, pair in enumerate(self._wanted.pairs):
            self.put_group(self._with_fresh_keys(400 + number) | {pair: self._drawn(self._column(pair[0]))}, 0)
        for place in range(len(self._wanted.tables)):
            self.put_group(self._with_fresh_keys(100 + place), 0, alone=place)
            self.put_group(self._with_fresh_keys(500 + place), 0, without=place)
            self.put_group(self._without_partners(place), 0, alone=place)

    def put_broken(self, place: int) -> bool:
        """Rows that break the conditions of the group at `place` of those that have any, then fitting ones; False where there is none."""
        limited = [group for group in self._groups if self._limits(group)]
        if place >= len(limited):
            return False
        for turn, value in enumerate(self._refused(limited[place])[:4]):
            self.put_group(self.fitting(turn) | {limited[place]: value}, turn)
        for turn in range(2):
            self.put_group(self.fitting(turn), turn)
        return True

    def _refused(self, group: Group) -> list[Cell]:
        limits = self._limits(group)
        return refused(limits, self._pool(group[0]), self._kind(group[0])) if limits else []

    def _with_fresh_keys(self, number: int) -> Chosen:
        """Fitting values, with new ones for the columns that only join."""
        chosen = self.fitting(number)
        for group in self._groups:
            if not self._limits(group):
                column = self._column(group[0])
                chosen[group] = self._unused(column, number)
        return chosen

    def _without_partners(self, place: int) -> Chosen:
        """Fitting values with NULL where a column of the table that only joins may be NULL."""
        o = self._catalogue.objects[self._wanted.tables[place]]
        chosen = self._with_fresh_keys(200 + place)
        for group in self._groups:
            if not self._limits(group) and any(slot.place == place and self._may_be_null(o, slot.column) for slot in group):
                chosen[group] = None
        return chosen

    def put_group(self, chosen: Chosen, turn: int, *, alone: int | None = None, without: int | None = None) -> None:
        """A row at each place of the query under the chosen values; every third time also where none is wanted.

        Every other time there is a second one, which at times has the same values but for its key: a twin, which DISTINCT leaves out.
        """
        for place in self._order:
            table = self._wanted.tables[place]
            values = self._values(place, chosen)
            o = self._catalogue.objects[table]
            is_missing = place in self._wanted.optional and any(
                value is None and not self._may_be_null(o, column) for column, value in values.items()
            )
            if is_missing or alone not in (None, place) or without == place or (place in self._wanted.absent and turn % 3):
                continue
            row = self.put(table, values)
            if turn % 2:
                self.put(table, {**row, **values} if row and turn % 4 == 1 else values)

    def _values(self, place: int, chosen: Chosen) -> Row:
        return {slot.column: value for group, value in chosen.items() for slot in group if slot.place == place}

    def put_strangers(self) -> None:
        for table, keys in self._parents.items():
            for _ in range(STRANGERS):
                self.put(table, {})
            for key in keys:
                for parent in self.rows[key.to_object][:4]:
                    self.put(table, {ours: parent[theirs] for ours, theirs in key.pairs})

    def put(self, table: str, values: Mapping[str, Cell]) -> Row | None:
        """One more row of the table and its parents where they are not there; None where its key is taken. Returns what is not key."""
        o = self._catalogue.objects[table]
        row = self._with_free_key(o, values)
        if row is None:
            return None
        for name in self._columns[table]:
            if name not in row:
                row[name] = values[name] if name in values else self._filled(o, o.column_index[name])
        self.rows[table].append(row)
        self._taken[table].add(tuple(row[name] for name in o.business_key))
        for key in self._parents[table]:
            wanted = {theirs: row[ours] for ours, theirs in key.pairs}
            if None not in wanted.values() and not self._has(key.to_object, wanted):
                self.put(key.to_object, wanted)
        return {name: value for name, value in row.items() if name not in o.business_key}

    def _with_free_key(self, o: Object, values: Mapping[str, Cell]) -> Row | None:
        """The columns of a key that no row has yet; None where the wanted values leave no free one."""
        free = [name for name in o.business_key if name not in values]
        for attempt in range(8 if free else 1):
            key: Row = {name: values[name] if name in values else self._filled(o, o.column_index[name]) for name in o.business_key}
            if attempt > 4:  # the few values of this key are used up
                key |= {free[-1]: self._unused(o.column_index[free[-1]], len(self.rows[o.name]))}
            taken = tuple(key[name] for name in o.business_key) in self._taken[o.name]
            is_whole = all(value is not None or (name in values and o.column_index[name].nullable) for name, value in key.items())
            if is_whole and not (taken and o.business_key):
                return key
        return None

    def _has(self, table: str, wanted: Row) -> bool:
        return any(all(row[name] == value for name, value in wanted.items()) for row in self.rows[table])

    def _filled(self, o: Object, column: Column) -> Cell:
        named = self._named.get((o.name, column.name))
        if named and self._rng.random() < 0.4:
            return self._rng.choice(named)
        if column.name in self._ids[o.name]:
            return self._rng.choice(_key_values(column))
        if column.nullable and column.name not in o.business_key and self._rng.random() < NULL_SHARE:
            return None
        return self._drawn(column)

    def _drawn(self, column: Column) -> Cell:
        kind, rng = kind_of(column.type), self._rng
        if kind == "date":
            return (NOW.replace(hour=0, minute=0) - timedelta(days=rng.randint(-45, 400))).strftime(FORM)
        if kind == "text":
            length = column.length or 0
            if 0 < length < 5:
                return rng.choice(ascii_uppercase if rng.random() < RARE_SHARE else LETTERS if length == 1 else CODES)
            return f"{column.name[:4]} {rng.randint(1, 400)}"
        if kind == "integer":
            return rng.randint(0, 1) if column.type == "bit" else rng.randint(0, 9)
        return rng.randint(1, 99_999) * self._scale / 100

    def _unused(self, column: Column, number: int) -> Cell:
        kind = kind_of(column.type)
        if kind == "date":
            return (NOW.replace(hour=0, minute=0) + timedelta(days=number)).strftime(FORM)
        return f"Z{number}" if kind == "text" else 10 + number

    def _limits(self, group: Group) -> list[Limit]:
        return [limit for slot in group for limit in self._wanted.limits.get(slot, ())]

    def _column(self, slot: Slot) -> Column:
        return self._catalogue.objects[self._wanted.tables[slot.place]].column_index[slot.column]

    def _kind(self, slot: Slot) -> Kind:
        return kind_of(self._column(slot).type)

    def _pool(self, slot: Slot) -> list[Cell]:
        """Values that a column may take where nothing is asked of it."""
        column = self._column(slot)
        if column.name in self._ids[self._wanted.tables[slot.place]]:
            return list(_key_values(column))
        return [self._drawn(column) for _ in range(4)]

    def _may_be_null(self, o: Object, column: str) -> bool:
        return column not in o.business_key and o.column_index[column].nullable


def _key_values(column: Column) -> tuple[Cell, ...]:
    kind = kind_of(column.type)
    if kind == "date":
        return MONTHS
    if kind == "text":
        return LETTERS if column.length == 1 else CODES
    return (1, 2, 3) if column.udt in ("bCompany", "bGroup") else (1, 2, 3, 4)
