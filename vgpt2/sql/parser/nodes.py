"""The tree of a query. Every node knows the offset of its first token (`pos`); names keep their case and lose their quotes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

# Expressions that have a value.


@dataclass(slots=True, eq=False)
class Name:
    """A column, table or function name of one to four parts; an omitted part, as in `db..T`, is ''."""

    pos: int
    parts: tuple[str, ...]
    positions: tuple[int, ...]  # offset of every part
    quoted: bool = False  # the last part stood in quotes or brackets

    @property
    def last(self) -> str:
        return self.parts[-1]

    @property
    def text(self) -> str:
        return ".".join(self.parts)


@dataclass(slots=True, eq=False)
class Literal:
    """A number, a string, NULL, DEFAULT or a function without parentheses such as CURRENT_TIMESTAMP."""

    pos: int
    kind: str  # 'number', 'string', 'null' or 'niladic'
    text: str


@dataclass(slots=True, eq=False)
class Variable:
    pos: int
    name: str


@dataclass(slots=True, eq=False)
class Star:
    """`*` or `a.*`."""

    pos: int
    qualifier: Name | None = None


@dataclass(slots=True, eq=False)
class Unary:
    """A sign, or what follows a value: COLLATE, AT TIME ZONE."""

    pos: int
    operator: str
    operand: Expression


@dataclass(slots=True, eq=False)
class Arithmetic:
    """`a + b - c`: flat, so that a list of 5,000 summands is no deeper than one of two."""

    pos: int
    operands: list[Expression]
    operators: list[str]


@dataclass(slots=True, eq=False)
class TypeName:
    pos: int
    name: str
    arguments: tuple[str, ...] = ()  # length, or precision and scale, as written


@dataclass(slots=True, eq=False)
class Window:
    pos: int
    partition_by: list[Expression] = field(default_factory=list)
    order_by: list[OrderItem] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Call:
    """A function call; CAST and CONVERT have `type`, a method its `target` (`x.value(..)`, `geography::Point(..)`)."""

    pos: int
    name: Name
    args: list[Expression | Condition | Star] = field(default_factory=list)
    distinct: bool = False
    within_group: list[OrderItem] = field(default_factory=list)
    over: Window | None = None
    type: TypeName | None = None
    target: Expression | TypeName | None = None
    datepart: str | None = None

    @property
    def key(self) -> str:
        """The name that the catalogue of built-in functions knows: upper case; '' for methods and for functions of a schema."""
        return "" if self.target is not None or len(self.name.parts) > 1 else self.name.last.upper()


@dataclass(slots=True, eq=False)
class Case:
    pos: int
    operand: Expression | None
    branches: list[When]
    default: Expression | None


@dataclass(slots=True, eq=False)
class When:
    pos: int
    test: Expression | Condition
    result: Expression


@dataclass(slots=True, eq=False)
class Subquery:
    """A query in parentheses where a value or a list is expected."""

    pos: int
    query: Query


# Conditions, which are true or false and have no value in T-SQL.


@dataclass(slots=True, eq=False)
class Logical:
    """`a AND b AND c`, flat."""

    pos: int
    operator: str  # 'AND' or 'OR'
    operands: list[Condition]


@dataclass(slots=True, eq=False)
class Not:
    pos: int
    operand: Condition


@dataclass(slots=True, eq=False)
class Comparison:
    """`a = b`, also against ALL, ANY or SOME of a subquery."""

    pos: int
    left: Expression
    operator: str
    right: Expression


@dataclass(slots=True, eq=False)
class Test:
    """LIKE, BETWEEN, IN over a list or a subquery, IS NULL, CONTAINS: a predicate over its operands, the tested value first."""

    pos: int
    predicate: str
    operands: list[Expression]
    negated: bool = False


@dataclass(slots=True, eq=False)
class Exists:
    pos: int
    query: Query


Expression: TypeAlias = Name | Literal | Variable | Unary | Arithmetic | Call | Case | Subquery
Condition: TypeAlias = Logical | Not | Comparison | Test | Exists
CONDITIONS = (Logical, Not, Comparison, Test, Exists)


# Queries.


@dataclass(slots=True, eq=False)
class OrderItem:
    pos: int
    expression: Expression


@dataclass(slots=True, eq=False)
class Item:
    """One element of a select list; `variable` where it assigns (`@v = x`)."""

    pos: int
    expression: Expression | Star
    alias: str | None = None
    variable: str | None = None


@dataclass(slots=True, eq=False)
class Select:
    pos: int
    items: list[Item]
    distinct: bool = False
    top: Expression | None = None
    into: Name | None = None
    sources: list[Source] = field(default_factory=list)  # separated by commas
    where: Condition | None = None
    group_by: list[Expression] = field(default_factory=list)
    grouped: bool = False  # GROUP BY is there, perhaps of the empty set
    having: Condition | None = None
    windows: list[Window] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class SetOperation:
    """UNION, EXCEPT and INTERSECT of two or more branches, flat."""

    pos: int
    branches: list[Select | Query]
    operators: list[str]


@dataclass(slots=True, eq=False)
class Query:
    """A query expression with what may follow it."""

    pos: int
    body: Select | SetOperation | Query
    ctes: list[Cte] = field(default_factory=list)
    order_by: list[OrderItem] = field(default_factory=list)
    limits: list[Expression] = field(default_factory=list)  # of OFFSET and FETCH
    for_clause: str | None = None  # 'XML', 'JSON' or 'BROWSE'


@dataclass(slots=True, eq=False)
class Cte:
    pos: int
    name: str
    columns: list[str] | None
    query: Query


# What a FROM clause reads.


@dataclass(slots=True, eq=False)
class Alias:
    pos: int
    name: str
    columns: list[str] | None = None


@dataclass(slots=True, eq=False)
class Table:
    """A table, view, CTE, #temp table or table variable."""

    pos: int
    name: Name
    alias: Alias | None = None
    hints: set[str] = field(default_factory=set)  # upper case


@dataclass(slots=True, eq=False)
class Derived:
    """A query or a VALUES list in parentheses."""

    pos: int
    body: Query | Values
    alias: Alias | None


@dataclass(slots=True, eq=False)
class Values:
    pos: int
    rows: list[list[Expression]]


@dataclass(slots=True, eq=False)
class FunctionTable:
    """A table-valued function; `columns` where WITH (...) declares them, as OPENJSON and OPENXML do."""

    pos: int
    call: Call
    alias: Alias | None = None
    columns: list[str] | None = None


@dataclass(slots=True, eq=False)
class Join:
    pos: int
    kind: str  # 'INNER', 'LEFT', 'RIGHT', 'FULL', 'CROSS', 'CROSS APPLY' or 'OUTER APPLY'
    right: Source
    on: Condition | None = None


@dataclass(slots=True, eq=False)
class Joined:
    """A first source and the joins upon it, flat."""

    pos: int
    first: Source
    joins: list[Join]


@dataclass(slots=True, eq=False)
class Pivot:
    pos: int
    source: Source
    aggregate: Call
    column: Name
    values: list[str]  # the columns it makes
    alias: Alias | None


@dataclass(slots=True, eq=False)
class Unpivot:
    pos: int
    source: Source
    value: str
    name: str
    columns: list[Name]  # the columns it consumes
    alias: Alias | None


Source: TypeAlias = Table | Derived | FunctionTable | Joined | Pivot | Unpivot


_FIELDS: dict[type, tuple[str, ...]] = {}


def children(parent: Any) -> Iterator[Any]:
    """Nodes directly below a node, in the order of its fields."""
    kind = type(parent)
    names = _FIELDS.get(kind)
    if names is None:
        names = _FIELDS[kind] = tuple(f.name for f in fields(kind) if f.name != "pos")
    for name in names:
        value = getattr(parent, name)
        if type(value) is list:
            for element in value:
                if hasattr(element, "pos"):
                    yield element
        elif hasattr(value, "pos"):
            yield value
