"""Values of columns: which kind a type is, and how a literal of T-SQL is held in the judge's database.

Dates are text in the one form `YYYY-MM-DD HH:MM:SS`, so that they compare as they should; decimals are binary floats.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal, TypeAlias

Value: TypeAlias = int | float | str
Kind: TypeAlias = Literal["integer", "number", "text", "date"]

NOW = datetime(2025, 6, 15, 10, 30)  # what GETDATE() returns: a report must not depend on the day it is made
FORM = "%Y-%m-%d %H:%M:%S"
_INTEGERS = frozenset({"tinyint", "smallint", "int", "bigint", "bit"})
_DATES = frozenset({"date", "datetime", "datetime2", "smalldatetime", "datetimeoffset"})
_TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar", "text", "ntext", "uniqueidentifier", "xml", "sysname", "time"})
_DATE_FORMS = ("%Y%m%d", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y", "%Y/%m/%d", "%Y%m%d %H:%M:%S")
_FRACTION = re.compile(r"(\d\d:\d\d:\d\d)\.\d+$")


def kind_of(type_name: str | None) -> Kind:
    """The kind of a SQL Server type; an unknown one counts as a number."""
    name = (type_name or "").lower()
    if name in _DATES:
        return "date"
    if name in _TEXTS:
        return "text"
    return "integer" if name in _INTEGERS else "number"


def as_date(text: str) -> str | None:
    """A date literal in the judge's form; None for other texts."""
    plain = _FRACTION.sub(r"\1", text.strip())
    if not plain[:1].isdigit() or len(plain) > 19:
        return None
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(plain, form).strftime(FORM)
        except ValueError:
            continue
    return None


def literal_value(text: str | None, kind: Kind) -> Value | None:
    """The value of a literal as written, for a column of `kind`; None where it is no literal."""
    if text is None:
        return None
    if "'" in text:
        inner = text[text.index("'") + 1 : text.rindex("'")].replace("''", "'")
        meant: Value | None = as_date(inner) if kind == "date" else None if kind == "text" else _number(inner)
        return inner if meant is None else meant
    number = _number(text)
    return str(number) if kind == "text" and number is not None else number


def variable_value(kind: Kind, operator: str) -> Value:
    """What `@name` stands for where it is compared with a column of `kind`: the same in every query, whatever its name."""
    if kind == "date":
        return {"<": "2025-07-01 00:00:00", "<=": "2025-07-01 00:00:00", ">": "2025-03-01 00:00:00", ">=": "2025-03-01 00:00:00"}.get(
            operator, "2025-05-01 00:00:00"
        )
    return "A1" if kind == "text" else 1


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e300 else None
