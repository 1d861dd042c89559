"""What a query asks of rows for its result not to be empty: which tables, which columns equal, which values.

demands(sql, catalogue).limits    # {Slot(0, 'APCo'): [Limit('=', (1,))], ...}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from eval.execution.values import Value, kind_of, literal_value, variable_value
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
_KEEPS_VALUE = frozenset({"ISNULL", "COALESCE", "CAST", "CONVERT", "TRY_CAST", "TRY_CONVERT", "RTRIM", "LTRIM", "TRIM", "UPPER", "LOWER"})


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
    limits: dict[Slot, list[Limit]]
    absent: frozenset[int]  # places whose rows the query asks not to be there
    rows: int  # rows the result is cut to by TOP, 0 where it is not


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
        self._limits: dict[Slot, list[Limit]] = {}
        self._absent: set[int] = set()
        self._rows = 0

    def read(self) -> Demands:
        for statement in self._statements:
            for node, negated in _walk(statement):
                self._read(node, negated)
        tables = tuple(source.object.name for source in self._places if source.object)
        return Demands(tables, tuple(self._links), self._limits, frozenset(self._absent), self._rows)

    def _read(self, node: Any, negated: bool) -> None:
        if isinstance(node, n.Comparison):
            self._comparison(node, negated)
        elif isinstance(node, n.Test):
            self._test(node, negated != node.negated)
        elif isinstance(node, n.Exists) and negated:
            self._miss(node.query)
        elif isinstance(node, n.Select) and isinstance(node.top, n.Literal) and node.top.text.isdigit():
            self._rows = max(self._rows, int(node.top.text))
        elif isinstance(node, n.Case) and node.operand is not None and (slot := self._slot(node.operand)):
            for branch in node.branches:
                self._limit(slot, "IN", [branch.test])

    def _comparison(self, node: n.Comparison, negated: bool) -> None:
        left, right = self._slot(node.left), self._slot(node.right)
        if left and right:
            if node.operator == "=" and not negated:
                self._links.append((left, right))
            return
        slot, other, table = (left, node.right, _STRAIGHT) if left else (right, node.left, _MIRRORED)
        operator = table.get(node.operator)
        if slot is not None and operator is not None:
            self._limit(slot, _NEGATED.get(operator, operator) if negated else operator, [other])
            return
        for call, value in ((node.left, node.right), (node.right, node.left)):
            if isinstance(call, n.Call) and call.key in ("YEAR", "MONTH") and call.args and (of := self._slot(call.args[0])):
                self._limit(of, "YEAR" if call.key == "YEAR" else "MONTH", [value])

    def _test(self, node: n.Test, negated: bool) -> None:
        slot = self._slot(node.operands[0]) if node.operands else None
        if node.predicate == "IN" and negated and len(node.operands) == 2 and isinstance(node.operands[1], n.Subquery):
            self._miss(node.operands[1].query)
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
        values = []
        for expression in expressions:
            value = variable_value(kind, operator) if isinstance(expression, n.Variable) else literal_value(_literal(expression), kind)
            if value is not None:
                values.append(value)
        if values or operator in ("NULL", "NOT NULL"):
            self._limits.setdefault(slot, []).append(Limit(operator, tuple(values)))

    def _slot(self, node: Any) -> Slot | None:
        """The catalogue column that an expression stands for, through CTEs, derived tables and functions that keep its value."""
        while isinstance(node, n.Call) and node.key in _KEEPS_VALUE and node.args:
            node = node.args[0]
        if not isinstance(node, n.Name) or node not in self._columns:
            return None
        return self._origin(*self._columns[node], depth=0)

    def _origin(self, source: Source, column: str, depth: int) -> Slot | None:
        if source in self._places:
            return Slot(self._places[source], column)
        if depth > 8:
            return None
        for bound in source.selects[:1]:
            for position, (name, expression) in enumerate(bound.outputs):
                own = source.rowset.outputs[position] if position < len(source.rowset.outputs) else name
                if column in (name, own) and isinstance(expression, n.Name) and expression in self._columns:
                    return self._origin(*self._columns[expression], depth + 1)
        return None

    def _miss(self, query: n.Query) -> None:
        inner = {id(node) for node, _ in _walk(query)}
        for source, place in self._places.items():
            if source.table is not None and id(source.table) in inner:
                self._absent.add(place)


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


def _literal(node: Any) -> str | None:
    """The text of a literal, also signed, in parentheses or cast; None for anything else."""
    if isinstance(node, n.Unary) and node.operator == "-" and isinstance(node.operand, n.Literal):
        return f"-{node.operand.text}"
    if isinstance(node, n.Call) and node.key in _KEEPS_VALUE and node.args:
        return _literal(node.args[0])
    return node.text if isinstance(node, n.Literal) and node.kind in ("number", "string") else None
