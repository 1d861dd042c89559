"""Types of columns: from a definition's words to the facts of a catalogue, user-defined types resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vgpt2.sql.parser.nodes import TypeName
from vgpt2.sql.parser.statement_nodes import ColumnDefinition
from vgpt2.sql.schema import Column

_SPELLINGS = {
    "character varying": "varchar",
    "char varying": "varchar",
    "varying character": "varchar",
    "character": "char",
    "national character": "nchar",
    "national char": "nchar",
    "national character varying": "nvarchar",
    "national char varying": "nvarchar",
    "national text": "ntext",
    "binary varying": "varbinary",
    "dec": "decimal",
}
_NUMERIC = frozenset(("decimal", "numeric", "number"))
_SIZED = frozenset(("char", "varchar", "nchar", "nvarchar", "binary", "varbinary", "varchar2", "nvarchar2", "raw"))


@dataclass(frozen=True, slots=True)
class Facts:
    """A type as a column holds it."""

    type: str | None
    length: int | None = None
    precision: int | None = None
    scale: int | None = None


@dataclass(frozen=True, slots=True)
class UserType:
    name: str
    facts: Facts
    nullable: bool | None = None  # what a column without NULL or NOT NULL gets


def facts_of(written: TypeName) -> Facts:
    """`varchar(30)`, `numeric(12, 2)`: length -1 is (max); numbers that are neither length nor precision, as in int(11), are left out."""
    name = written.name.lower()
    name = _SPELLINGS.get(name, name)
    numbers = [-1 if argument.upper() == "MAX" else int(argument) for argument in written.arguments if _is_number(argument)]
    if name in _NUMERIC and numbers:
        return Facts(name, precision=numbers[0], scale=numbers[1] if len(numbers) > 1 else 0)
    if name in _SIZED and len(numbers) == 1:
        return Facts(name, length=numbers[0])
    return Facts(name)


def _is_number(argument: str) -> bool:
    return argument.upper() == "MAX" or (argument.isascii() and argument.isdigit() and len(argument) < 10)


def column_of(definition: ColumnDefinition, types: Mapping[str, UserType]) -> Column:
    """The column that a definition makes; `types` by name in lower case."""
    nullable = definition.nullable
    facts, udt = Facts(None), None
    if definition.type is not None:
        own = types.get(definition.type.name.lower())
        if own is not None:
            facts, udt = own.facts, own.name
            nullable = own.nullable if nullable is None else nullable
        else:
            facts = facts_of(definition.type)
    return Column(
        definition.name,
        facts.type,
        udt,
        facts.length,
        facts.precision,
        facts.scale,
        nullable=not definition.identity if nullable is None else nullable,
        identity=definition.identity,
        description=definition.comment,
    )
