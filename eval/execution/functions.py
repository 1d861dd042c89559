"""T-SQL's functions for the judge's SQLite connection: dates in the form of values.py, texts, LIKE with sets."""

from __future__ import annotations

import calendar
import re
import sqlite3
import statistics
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from eval.execution.values import FORM, as_date

MAX_TEXT = 100_000
_UNITS = {
    **dict.fromkeys(("year", "yy", "yyyy"), "year"),
    **dict.fromkeys(("quarter", "qq", "q"), "quarter"),
    **dict.fromkeys(("month", "mm", "m"), "month"),
    **dict.fromkeys(("day", "dd", "d", "dayofyear", "dy", "y", "dayofweek", "weekday", "dw", "w"), "day"),
    **dict.fromkeys(("week", "wk", "ww", "iso_week", "isoww"), "week"),
    **dict.fromkeys(("hour", "hh"), "hour"),
    **dict.fromkeys(("minute", "mi", "n"), "minute"),
    **dict.fromkeys(("second", "ss", "s"), "second"),
}
_SECONDS = {"week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
# styles of CONVERT from a date, as far as reports use them
_STYLES = {1: "%m/%d/%y", 101: "%m/%d/%Y", 103: "%d/%m/%Y", 104: "%d.%m.%Y", 108: "%H:%M:%S", 110: "%m-%d-%Y", 111: "%Y/%m/%d"}
_STYLES |= {112: "%Y%m%d", 120: FORM, 121: FORM, 126: "%Y-%m-%dT%H:%M:%S", 23: "%Y-%m-%d", 0: "%b %d %Y %I:%M%p", 100: "%b %d %Y %I:%M%p"}


def register(connection: sqlite3.Connection) -> None:
    """Makes every function known to the connection; each is pure, so the same rows give the same result."""
    for name, arguments, function in _FUNCTIONS:
        connection.create_function(name, arguments, function, deterministic=True)
    connection.create_aggregate("ts_string_agg", 2, StringAgg)  # type: ignore[arg-type]
    for name in ("stdev", "stddev"):
        connection.create_aggregate(name, 1, Deviation)  # type: ignore[arg-type]


class StringAgg:
    """STRING_AGG; the texts are sorted, since no order is promised without WITHIN GROUP."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.separator = ","

    def step(self, value: Any, separator: Any) -> None:
        self.separator = str(separator)
        if value is not None and len(self.parts) < 1000:
            self.parts.append(str(value)[:1000])

    def finalize(self) -> str | None:
        return self.separator.join(sorted(self.parts)) if self.parts else None


class Deviation:
    """STDEV of a sample."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: Any) -> None:
        if isinstance(value, int | float):
            self.values.append(float(value))

    def finalize(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def _date(value: Any) -> datetime | None:
    """A date from its text, or from days since 1900 as T-SQL reads numbers."""
    if isinstance(value, int | float):
        return datetime(1900, 1, 1) + timedelta(days=float(value)) if abs(value) < 100_000 else None
    text = as_date(value) if isinstance(value, str) else None
    return None if text is None else datetime.strptime(text, FORM)


def _text(date: datetime | None) -> str | None:
    return None if date is None else date.strftime(FORM)


def to_datetime(value: Any) -> str | None:
    return _text(_date(value))


def to_date(value: Any) -> str | None:
    date = _date(value)
    return _text(date and date.replace(hour=0, minute=0, second=0))


def date_add(unit: str, number: Any, value: Any) -> str | None:
    date = _date(value)
    if date is None or not isinstance(number, int | float):
        return None
    name, steps = _UNITS.get(unit, unit), int(number)
    try:
        if name in _SECONDS:
            return _text(date + timedelta(seconds=steps * _SECONDS[name]))
        months = {"year": 12, "quarter": 3, "month": 1}[name] * steps + date.year * 12 + date.month - 1
        year, month = divmod(months, 12)
        return _text(date.replace(year=year, month=month + 1, day=min(date.day, calendar.monthrange(year, month + 1)[1])))
    except (OverflowError, ValueError, KeyError):
        return None


def date_diff(unit: str, first: Any, last: Any) -> int | None:
    """Boundaries of `unit` between two dates, as DATEDIFF counts them; a week begins on a Sunday."""
    a, b = _date(first), _date(last)
    return None if a is None or b is None else _boundary(unit, b) - _boundary(unit, a)


def _boundary(unit: str, date: datetime) -> int:
    name = _UNITS.get(unit, unit)
    if name in ("year", "quarter", "month"):
        return {"year": date.year, "quarter": date.year * 4 + (date.month - 1) // 3, "month": date.year * 12 + date.month}[name]
    if name == "week":
        return date.toordinal() // 7
    return (date.toordinal() * 86_400 + date.hour * 3_600 + date.minute * 60 + date.second) // _SECONDS.get(name, 1)


def date_part(unit: str, value: Any) -> int | None:
    date = _date(value)
    if date is None:
        return None
    if unit in ("weekday", "dw", "w", "dayofweek"):
        return date.isoweekday() % 7 + 1
    if unit in ("dayofyear", "dy", "y"):
        return date.timetuple().tm_yday
    name = _UNITS.get(unit, unit)
    if name == "quarter":
        return (date.month + 2) // 3
    if name == "week":
        return int(date.strftime("%U")) + 1
    parts = {"year": date.year, "month": date.month, "day": date.day, "hour": date.hour, "minute": date.minute, "second": date.second}
    return parts.get(name)


def end_of_month(value: Any) -> str | None:
    date = _date(value)
    return None if date is None else _text(datetime(date.year, date.month, calendar.monthrange(date.year, date.month)[1]))


def truncated(unit: str, value: Any) -> str | None:
    date = _date(value)
    if date is None:
        return None
    name = _UNITS.get(unit, unit)
    month = {"year": 1, "quarter": (date.month - 1) // 3 * 3 + 1}.get(name, date.month)
    return _text(datetime(date.year, month, 1 if name in ("year", "quarter", "month") else date.day))


def from_parts(year: Any, month: Any, day: Any) -> str | None:
    try:
        return _text(datetime(int(year), int(month), int(day)))
    except (TypeError, ValueError, OverflowError):
        return None


def date_text(value: Any, style: Any, length: int) -> str | None:
    date = _date(value)
    if date is None:
        return None
    text = date.strftime(_STYLES.get(style if isinstance(style, int) else 0, FORM))
    return text[:length] if length else text


def as_text(value: Any, length: int) -> str | None:
    if value is None:
        return None
    text = f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)
    return text[:length] if length else text


def formatted(value: Any, form: Any) -> str | None:
    """FORMAT: a strftime pattern for dates; a number keeps its value, since only its looks would change."""
    date = _date(value) if isinstance(value, str) else None
    if date is not None:
        return date.strftime(str(form)[:40])
    return None if value is None else str(value)


def char_index(part: Any, text: Any, start: Any) -> int | None:
    if part is None or text is None:
        return None
    return str(text).find(str(part), max(0, int(start) - 1)) + 1


def stuff(text: Any, start: Any, length: Any, new: Any) -> str | None:
    if text is None or not isinstance(start, int) or not isinstance(length, int) or start < 1:
        return None
    return f"{str(text)[: start - 1]}{'' if new is None else new}{str(text)[start - 1 + length :]}"


def like_pattern(pattern: str) -> re.Pattern[str]:
    """A LIKE pattern as a regular expression: % any text, _ any character, [a-z] one of a set."""
    parts = re.findall(r"\[\^?[^\]]{1,60}\]|.", pattern, re.DOTALL)
    return re.compile("".join({"%": ".*", "_": "."}.get(part, part if len(part) > 1 else re.escape(part)) for part in parts), re.DOTALL)


def like(pattern: Any, value: Any) -> bool | None:
    if pattern is None or value is None:
        return None
    return like_pattern(str(pattern)[:200]).fullmatch(str(value)[:1000]) is not None


def is_numeric(value: Any) -> int:
    try:
        float(value)
    except (TypeError, ValueError):
        return 0
    return 1


def _joined(separator: str, parts: tuple[Any, ...]) -> str:
    return separator.join(str(as_text(part, 0)) for part in parts if part is not None)


def _power(base: Any, exponent: Any) -> float | None:
    try:
        return float(base) ** float(exponent)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None


def _rounded(value: Any, places: Any = 0, truncate: Any = 0) -> Any:
    """ROUND away from zero at the half; with a third argument other than 0, cut off."""
    if not isinstance(value, int | float) or not isinstance(places, int):
        return None
    unit = 10.0 ** max(-300, min(300, places))
    scaled = abs(value) * unit
    whole = scaled // 1 if truncate else (scaled + 0.5 + 1e-9) // 1
    return type(value)(whole / unit * (1 if value >= 0 else -1))


_FUNCTIONS: tuple[tuple[str, int, Callable[..., Any]], ...] = (
    ("ts_date", 1, to_date),
    ("ts_datetime", 1, to_datetime),
    ("ts_dateadd", 3, date_add),
    ("ts_datediff", 3, date_diff),
    ("ts_datepart", 2, date_part),
    ("ts_eomonth", 1, end_of_month),
    ("ts_trunc", 2, truncated),
    ("ts_fromparts", 3, from_parts),
    ("ts_datetext", 3, date_text),
    ("ts_text", 2, as_text),
    ("ts_format", 2, formatted),
    ("ts_charindex", 3, char_index),
    ("ts_left", 2, lambda text, n: None if text is None else str(as_text(text, 0))[: max(0, int(n))]),
    ("ts_right", 2, lambda text, n: None if text is None else str(as_text(text, 0))[-int(n) :] if int(n) > 0 else ""),
    ("stuff", 4, stuff),
    ("like", 2, like),
    ("isnumeric", 1, is_numeric),
    ("isdate", 1, lambda value: int(isinstance(value, str) and as_date(value) is not None)),
    ("concat", -1, lambda *parts: _joined("", parts)),
    ("concat_ws", -1, lambda separator, *parts: _joined(str(separator), parts)),
    ("choose", -1, lambda place, *values: values[place - 1] if isinstance(place, int) and 1 <= place <= len(values) else None),
    ("repeat", 2, lambda text, n: None if text is None else str(text)[:1000] * max(0, min(int(n), 100))),
    ("reverse", 1, lambda text: None if text is None else str(text)[::-1]),
    ("power", 2, _power),
    ("sqrt", 1, lambda value: _power(value, 0.5)),
    ("ceil", 1, lambda value: None if value is None else -int(-value // 1)),
    ("floor", 1, lambda value: None if value is None else int(value // 1)),
    ("sign", 1, lambda value: None if value is None else (value > 0) - (value < 0)),
    ("round", 1, _rounded),
    ("round", 2, _rounded),
    ("round", 3, _rounded),
)
