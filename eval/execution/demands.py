"""What a query asks of rows for its result not to be empty: which tables, which columns equal, which values.

demands(sql, catalogue).limits    # {Slot(0, 'APCo'): [Limit('=', (1,))], ...}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from eval.execution.functions import date_add, date_part, end_of_month, from_parts, to_date
from eval.execution.values import FORM, NOW, Kind, Value, kind_of, literal_value, variable_value
from vgpt2.sql.binding import Binding, Source, bind
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.parser import nodes as n
from vgpt2.sql.parser import parse

Operator: TypeAlias = Literal["=", "<>", "<", "<=", ">", ">=", "IN", "NOT IN", "LIKE", "NULL", "NOT NULL", "YEAR", "MONTH"]
_MIRRORED: dict[str, Operator] = {"=": "=", "<>": "<>", "!=": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_STRAIGHT: dict[str, Operator] = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_NEGATED: dict[Operator, Operator] = {
    "=": "<>",
    "<>": "=",
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "NULL": "NOT NULL",
    "NOT NULL": "NULL",
}
_TOTALS = frozenset({"SUM", "AVG", "MIN", "MAX"})
_NOW = frozenset({"GETDATE", "SYSDATETIME", "CURRENT_TIMESTAMP", "GETUTCDATE"})
_KEEPS_VALUE = frozenset({"ISNULL", "COALESCE", "CAST", "CONVERT", "TRY_CAST", "TRY_CONVERT", "RTRIM", "LTRIM", "TRIM", "UPPER", "LOWER"})

MOST_IN_A_CROWD = 200
MAX_LEVELS = 12  # of CTEs and derived tables above a table


@dataclass(frozen=True)
class Slot:
    """A column of the n-th table that the text reads; a table read twice has two places."""

    place: int
    column: str


@dataclass(frozen=True)
class Limit:
    """What a condition allows in a column; several of them may belong to alternatives of an OR."""

    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Demands:
    tables: tuple[str, ...]  # the catalogue object at each place
    links: tuple[tuple[Slot, Slot], ...]  # columns the text compares by =
    pairs: tuple[tuple[Slot, Slot], ...]  # columns it compares otherwise: they are equal at the edge
    limits: dict[Slot, list[Limit]]
    absent: frozenset[int]  # places whose rows the query asks not to be there
    optional: frozenset[int]  # places of outer joins
    rows: int  # rows the result is cut to by TOP, 0 where it is not
    crowd: int  # rows of one group that a condition on COUNT asks for
    groups: frozenset[Slot]  # columns of GROUP BY


def demands(sql: str, catalogue: Catalogue) -> Demands:
    """The demands of all SELECTs of a text that the checker lets pass, sub-queries and CTEs included."""
    statements, _ = parse(sql)
    return _Reader(bind(statements, catalogue), statements).read()


def tables_of(sql: str, catalogue: Catalogue) -> dict[str, str]:
    """Names of tables and views as the text writes them, each with the catalogue object that it means."""
    statements, _ = parse(sql)
    binding = bind(statements, catalogue)
    sources = [source for bound in binding.selects for source in bound.scope.sources if source.object and source.table]
    return {source.table.name.last: source.object.name for source in sources if source.table and source.object}


class _Reader:
    def __init__(self, binding: Binding, statements: list[Any]) -> None:
        self._columns = binding.columns
        self._statements = statements
        self._places: dict[Source, int] = {}
        for bound in binding.selects:
            for source in bound.scope.sources:
                if source.object is not None:
                    self._places.setdefault(source, len(self._places))
        self._links: list[tuple[Slot, Slot]] = []
        self._pairs: list[tuple[Slot, Slot]] = []
        self._limits: dict[Slot, list[Limit]] = {}
        self._absent: set[int] = set()
        self._optional: set[int] = set()
        self._rows = self._crowd = 0
        self._groups: set[Slot] = set()

    def read(self) -> Demands:
        for statement in self._statements:
            for node, negated in _walk(statement):
                self._read(node, negated)
        tables = tuple(source.object.name for source in self._places if source.object)
        return Demands(
            tables,
            tuple(self._links),
            tuple(self._pairs),
            self._limits,
            frozenset(self._absent),
            frozenset(self._optional),
            self._rows,
            self._crowd,
            frozenset(self._groups),
        )

    def _read(self, node: Any, negated: bool) -> None:
        if isinstance(node, n.Comparison):
            self._comparison(node, negated)
        elif isinstance(node, n.Test):
            self._test(node, negated != node.negated)
        elif isinstance(node, n.Exists) and negated:
            self._absent |= self._within(node.query)
        elif isinstance(node, n.Join) and node.kind in ("LEFT", "FULL", "OUTER APPLY"):
            self._optional |= self._within(node.right)
        elif isinstance(node, n.Select):
            self._groups |= {slot for expression in node.group_by if (slot := self._slot(expression))}
            if isinstance(node.top, n.Literal) and node.top.text.isdigit():
                self._rows = max(self._rows, int(node.top.text))
        elif isinstance(node, n.Case) and node.operand is not None and (slot := self._slot(node.operand)):
            for branch in node.branches:
                self._limit(slot, "IN", [branch.test])

    def _comparison(self, node: n.Comparison, negated: bool) -> None:
        left, right = self._slot(node.left), self._slot(node.right)
        if left and right:
            (self._links if node.operator == "=" and not negated else self._pairs).append((left, right))
            return
        left, right = left or self._slot(node.left, totals=True), right or self._slot(node.right, totals=True)
        slot, other, table = (left, node.right, _STRAIGHT) if left else (right, node.left, _MIRRORED)
        operator = table.get(node.operator)
        if slot is not None and operator is not None:
            self._limit(slot, _NEGATED.get(operator, operator) if negated else operator, [other])
            return
        if isinstance(node.left, n.Call):
            self._of_call(node.left, node.operator, node.right)

    def _of_call(self, call: n.Call, operator: str, value: Any) -> None:
        """`YEAR(column) = 2025` and `DATEDIFF(day, column, GETDATE()) > 30` as limits of the column, `COUNT(*) > 5` as a crowd."""
        if call.key == "COUNT" and isinstance(value, n.Literal) and value.text.isdigit():
            self._crowd = max(self._crowd, min(int(value.text) + (operator == ">"), MOST_IN_A_CROWD))
        if call.key in ("YEAR", "MONTH") and call.args and (of := self._slot(call.args[0])):
            self._limit(of, "YEAR" if call.key == "YEAR" else "MONTH", [value])
        elif call.key == "DATEDIFF" and call.datepart and len(call.args) == 2 and operator in _MIRRORED and isinstance(value, n.Literal):
            of, until = self._slot(call.args[0]), _constant(call.args[1], "date")
            end = date_add(call.datepart.lower(), -int(float(value.text)), to_date(until)) if value.kind == "number" else None
            if of and end:
                self._limits.setdefault(of, []).append(Limit(_MIRRORED[operator], (end,)))

    def _test(self, node: n.Test, negated: bool) -> None:
        slot = self._slot(node.operands[0]) if node.operands else None
        if node.predicate == "IN" and negated and len(node.operands) == 2 and isinstance(node.operands[1], n.Subquery):
            self._absent |= self._within(node.operands[1].query)
        if slot is None:
            return
        if node.predicate == "IS NULL":
            self._limit(slot, "NOT NULL" if negated else "NULL", [])
        elif node.predicate == "BETWEEN" and not negated:
            self._limit(slot, ">=", node.operands[1:2])
            self._limit(slot, "<=", node.operands[2:3])
        elif node.predicate == "IN" and len(node.operands) == 2 and isinstance(node.operands[1], n.Subquery):
            self._link_subquery(slot, node.operands[1], negated)
        elif node.predicate == "IN":
            self._limit(slot, "NOT IN" if negated else "IN", node.operands[1:])
        elif node.predicate == "LIKE" and not negated:
            self._limit(slot, "LIKE", node.operands[1:2])

    def _link_subquery(self, slot: Slot, subquery: n.Subquery, negated: bool) -> None:
        body = subquery.query.body
        if isinstance(body, n.Select) and body.items and (inner := self._slot(body.items[0].expression)) and not negated:
            self._links.append((slot, inner))

    def _limit(self, slot: Slot, operator: Operator, expressions: list[Any]) -> None:
        source = next(source for source, place in self._places.items() if place == slot.place)
        column = source.object.column(slot.column) if source.object else None
        kind = kind_of(column.type if column else None)
        found = [
            variable_value(kind, operator) if isinstance(expression, n.Variable) else _constant(expression, kind)
            for expression in expressions
        ]
        values = [value for value in found if value is not None]
        if values or operator in ("NULL", "NOT NULL"):
            self._limits.setdefault(slot, []).append(Limit(operator, tuple(values)))

    def _slot(self, node: Any, *, totals: bool = False) -> Slot | None:
        """The catalogue column that an expression stands for, through CTEs, derived tables and functions that keep its value.

        With `totals` also the column that is added up: a group of one row then has the value itself.
        """
        while isinstance(node, n.Call) and node.args and (node.key in _KEEPS_VALUE or (totals and node.key in _TOTALS)):
            node = node.args[0]
        if not isinstance(node, n.Name) or node not in self._columns:
            return None
        source, column = self._columns[node]
        for _ in range(MAX_LEVELS):
            if source in self._places:
                return Slot(self._places[source], column)
            behind = _output(source, column)
            while isinstance(behind, n.Call) and behind.args and (behind.key in _KEEPS_VALUE or (totals and behind.key in _TOTALS)):
                behind = behind.args[0]
            if not isinstance(behind, n.Name) or behind not in self._columns:
                return None
            source, column = self._columns[behind]
        return None

    def _within(self, root: Any) -> set[int]:
        """Places of the tables that are read below a node."""
        inner = {id(node) for node, _ in _walk(root)}
        return {place for source, place in self._places.items() if source.table is not None and id(source.table) in inner}


def _walk(root: Any) -> Iterator[tuple[Any, bool]]:
    """Every node below and whether an odd number of NOTs stands above it."""
    stack = [(root, False)]
    while stack:
        node, negated = stack.pop()
        yield node, negated
        inner = negated != isinstance(node, n.Not)
        if isinstance(node, n.Exists | n.Subquery):
            inner = False
        stack += [(child, inner) for child in n.children(node)]


def _output(source: Source, column: str) -> Any:
    """The expression behind a column of a CTE or derived table, that of its first branch; None where there is none."""
    for bound in source.selects[:1]:
        for position, (name, expression) in enumerate(bound.outputs):
            own = source.rowset.outputs[position] if position < len(source.rowset.outputs) else name
            if column in (name, own):
                return expression
    return None


def _constant(node: Any, kind: Kind) -> Value | None:
    """The value of an expression without columns: a literal, also signed or cast, the present moment, a date so many units from one."""
    if isinstance(node, n.Unary) and node.operator == "-" and isinstance(node.operand, n.Literal):
        return literal_value(f"-{node.operand.text}", kind)
    if isinstance(node, n.Literal):
        if node.kind == "niladic":
            return NOW.strftime(FORM)
        return literal_value(node.text, kind) if node.kind in ("number", "string") else None
    if not isinstance(node, n.Call):
        return None
    if node.key in _NOW:
        return NOW.strftime(FORM)
    dates = [_constant(argument, "date") for argument in node.args]
    numbers = [_constant(argument, "integer") for argument in node.args]
    if node.key == "DATEADD" and node.datepart and len(node.args) == 2:
        return date_add(node.datepart.lower(), numbers[0], dates[1])
    if node.key in ("YEAR", "MONTH", "DAY") and dates:
        return date_part(node.key.lower(), dates[0])
    if node.key == "DATEFROMPARTS" and len(numbers) == 3:
        return from_parts(*numbers)
    if node.key == "EOMONTH" and dates:
        return end_of_month(dates[0])
    if node.key in _KEEPS_VALUE and node.args:
        value = _constant(node.args[0], kind)
        return to_date(value) if kind == "date" and node.type is not None and node.type.name.lower() == "date" else value
    return None
