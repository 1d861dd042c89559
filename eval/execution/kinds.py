"""Of which kind an expression is, as far as its text and the columns tell: T-SQL's `+` and its date literals hang on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from eval.execution.values import Kind

Columns: TypeAlias = Mapping[str, Mapping[str, Kind]]  # kinds of columns by table
_DATE_CALLS = frozenset({"ts_date", "ts_datetime", "ts_dateadd", "ts_eomonth", "ts_fromparts", "ts_trunc"})
_TEXT_CALLS = frozenset({"ts_text", "ts_datetext", "ts_format", "ts_left", "ts_right", "stuff", "concat", "concat_ws", "space", "repeat"})
_TEXT_NODES = frozenset(
    {"DPipe", "Concat", "Substring", "Upper", "Lower", "Trim", "Replace", "TimeToStr", "NumberToStr", "Repeat", "Space"}
)
_DATE_NODES = frozenset(
    {"DateAdd", "LastDay", "DateFromParts", "TimestampFromParts", "TimestampTrunc", "TsOrDsToDate", "TimeStrToTime", "CurrentTimestamp"}
)
DATE_TYPES = frozenset({"DATE", "DATETIME", "DATETIME2", "SMALLDATETIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ"})
TEXT_TYPES = frozenset({"CHAR", "NCHAR", "VARCHAR", "NVARCHAR", "TEXT", "NAME", "UUID"})
_FIRST_OF = frozenset({"Coalesce", "Max", "Min", "Paren", "Alias", "Lag", "Lead", "FirstValue", "LastValue", "Nullif", "Window", "Neg"})


class Kinds:
    """Kinds of columns by their names, and of the labels met so far."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._labels: dict[str, Kind | None] = {}

    def note(self, label: str, node: Any) -> None:
        """From here on `label` stands for what `node` is."""
        self._labels[label] = self.of(node)

    def of(self, node: Any) -> Kind | None:
        """The kind of an expression, rewritten or not; None where columns of several kinds bear its name."""
        name = type(node).__name__
        if name == "Column":
            return self._of_column(node)
        if name in ("Literal", "National"):
            return "text" if name == "National" or node.is_string else "number"
        if name == "Anonymous":
            function = node.name.lower()
            return "date" if function in _DATE_CALLS else "text" if function in _TEXT_CALLS else "number"
        if name in ("Cast", "TryCast", "Convert"):
            to = (node.this if name == "Convert" else node.args["to"]).this.name
            return "date" if to in DATE_TYPES else "text" if to in TEXT_TYPES else "number"
        if name in _TEXT_NODES or name in _DATE_NODES:
            return "text" if name in _TEXT_NODES else "date"
        if name == "Subquery" and node.this is not None and getattr(node.this, "selects", None):
            return self.of(node.this.selects[0])
        if name == "Case":
            return next((kind for branch in node.args.get("ifs", ()) if (kind := self.of(branch.args["true"]))), None)
        if name == "If":
            return self.of(node.args["true"])
        return self.of(node.this) if name in _FIRST_OF and node.this is not None else "number"

    def _of_column(self, node: Any) -> Kind | None:
        if node.table in self._columns and node.name in self._columns[node.table]:
            return self._columns[node.table][node.name]
        kinds = {kinds[node.name] for kinds in self._columns.values() if node.name in kinds}
        if node.name in self._labels and (not kinds or node.table not in ("", *self._columns)):
            return self._labels[node.name]
        return kinds.pop() if len(kinds) == 1 else None
