"""T-SQL to the SQL of SQLite: sqlglot reads and writes, and what it would do otherwise is rewritten here.

Dates, text operators and functions become calls of eval/execution/functions.py. What has no counterpart raises Untranslatable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eval.execution.kinds import DATE_TYPES, TEXT_TYPES, Columns, Kinds
from eval.execution.ordering import order_of, sort_keys
from eval.execution.values import FORM, NOW, Kind, as_date, variable_value

MAX_DEPTH = 150

_REFUSED = {
    "Lateral": "APPLY",
    "Pivot": "PIVOT or UNPIVOT",
    "Rollup": "ROLLUP",
    "Cube": "CUBE",
    "GroupingSets": "GROUPING SETS",
    "WithinGroup": "WITHIN GROUP",
    "AtTimeZone": "AT TIME ZONE",
    "ForClause": "FOR XML or JSON",
    "Into": "SELECT INTO",
    "Command": "a statement that is no query",
}
_WRAPPERS = frozenset({"TimeStrToTime", "TsOrDsToDate", "TsOrDsToTimestamp", "TsOrDsToDatetime"})
_INTEGER_TYPES = frozenset({"BIT", "BOOLEAN", "TINYINT", "UTINYINT", "SMALLINT", "INT", "BIGINT"})
_COMPARISONS = {"EQ": "=", "NEQ": "<>", "GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
# words that SQLite keeps for itself and T-SQL does not
_KEYWORDS = frozenset({"AUTOINCREMENT", "DEFERRABLE", "INDEXED", "ISNULL", "LIMIT", "NATURAL", "NOTHING", "NOTNULL", "RETURNING", "USING"})
_ZERO = frozenset({"currenttimestamp", "currentdate", "getutcdate", "sysutcdatetime"})


class Untranslatable(ValueError):
    """A query that the judge's database cannot be asked: the message says why in a few words."""


@dataclass(frozen=True)
class Translated:
    """`sql` for SQLite. Where the query is ordered, the last `extra` columns are sort keys and `keys` says which columns sort the rows."""

    sql: str
    is_ordered: bool
    keys: tuple[int, ...] = ()
    extra: int = 0


def translate(sql: str, columns: Columns) -> Translated:
    """One query, DECLARE and SET of its variables allowed before it. Raises Untranslatable."""
    import sqlglot
    from sqlglot.errors import ErrorLevel, SqlglotError

    try:
        statements = [statement for statement in sqlglot.parse(sql, read="tsql") if statement is not None]
        if not statements:
            raise Untranslatable("holds no statement")
        *before, query = statements
        tree = _Rewriter(columns, _assigned(before)).rewrite(query)
        keys, extra = sort_keys(tree)
        return Translated(tree.sql("sqlite", unsupported_level=ErrorLevel.RAISE), order_of(tree) is not None, keys, extra)
    except SqlglotError as error:
        raise Untranslatable(" ".join(str(error).split())[:80]) from None
    except RecursionError:
        raise Untranslatable("nests too deeply") from None


def _assigned(statements: list[Any]) -> dict[str, Any]:
    """Values of variables that are set before the query."""
    values: dict[str, Any] = {}
    for statement in statements:
        kind = type(statement).__name__
        if kind == "Declare":
            for item in statement.expressions:
                if item.args.get("default") is not None:
                    values |= {variable.name.lower(): item.args["default"] for variable in item.this}
        elif kind == "Set":
            for item in statement.expressions:
                values[item.this.this.name.lower()] = item.this.expression
        else:
            raise Untranslatable("several statements")
    return values


class _Rewriter:
    """Rewrites one tree, leaves first, so that the kind of an operand is known when its operator is met."""

    def __init__(self, columns: Columns, variables: Mapping[str, Any]) -> None:
        from sqlglot import exp

        self._exp: Any = exp
        self._kinds, self._variables = Kinds(columns), variables

    def rewrite(self, tree: Any) -> Any:
        if not isinstance(tree, self._exp.Query):
            raise Untranslatable("is no query")
        nodes = list(tree.bfs())
        for node in nodes:
            self._refuse(node)
        for node in reversed(nodes):
            if type(node).__name__ == "Alias":
                self._kinds.note(node.alias, node.this)
        for node in reversed(nodes):
            for part in ("hints", "options", "hint"):
                if node.args.get(part):
                    node.set(part, None)
            new = self._new(node)
            if new is not node:
                if node is tree:
                    tree = new
                else:
                    node.replace(new)
        return tree

    def _refuse(self, node: Any) -> None:
        name = type(node).__name__
        if name in _REFUSED or node.depth > MAX_DEPTH:
            raise Untranslatable(_REFUSED.get(name, "nests too deeply"))
        if name == "LimitOptions" and any(node.args.get(part) for part in ("percent", "with_ties")):
            raise Untranslatable("TOP with PERCENT or TIES")
        if name == "Table" and (node.args.get("pivots") or node.args.get("version") or not node.name):
            raise Untranslatable("a table that is no table")

    def _new(self, node: Any) -> Any:
        name = type(node).__name__
        if name in _WRAPPERS:
            return node.this
        if name == "Identifier" and (node.name.upper() in _KEYWORDS or not node.name.replace("_", "a").isalnum()):
            node.set("quoted", True)
        if name == "Table":
            node.set("db", None)
            node.set("catalog", None)
            return node
        if name in _COMPARISONS or name in ("Between", "In", "Coalesce"):
            return self._with_dates(node)
        rule = _RULES.get(name)
        return node if rule is None else rule(self, node)

    def call(self, function: str, *arguments: Any) -> Any:
        return self._exp.Anonymous(this=function, expressions=[self._value(argument) for argument in arguments])

    def text(self, value: str) -> Any:
        return self._exp.Literal.string(value)

    def _value(self, argument: Any) -> Any:
        if argument is None:
            return self._exp.Null()
        if isinstance(argument, str):
            return self.text(argument)
        return self._exp.Literal.number(argument) if isinstance(argument, int) else argument

    def _with_dates(self, node: Any) -> Any:
        """Date literals beside a date in the judge's one form."""
        operands = list(node.iter_expressions())
        if any(self._kinds.of(operand) == "date" for operand in operands):
            for operand in operands:
                if type(operand).__name__ in ("Literal", "National") and (date := as_date(operand.name)):
                    operand.replace(self.text(date))
        return node

    def parameter(self, node: Any) -> Any:
        """A variable's value: as assigned, else what its kind of column has for it."""
        assigned = self._variables.get(node.name.lower())
        if assigned is not None:
            return assigned.copy()
        parent = node.parent
        operator = _COMPARISONS.get(type(parent).__name__, "=")
        if type(parent).__name__ == "Between":
            operator = ">=" if node is parent.args["low"] else "<="
        others = [other for other in parent.iter_expressions() if other is not node] if parent is not None else []
        kinds: list[Kind] = [kind for other in others if (kind := self._kinds.of(other))]
        if others and parent.args.get("expression") is not node and operator in ("<", "<=", ">", ">="):
            operator = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}[operator]
        value = variable_value(kinds[0] if kinds else "number", operator)
        return self.text(value) if isinstance(value, str) else self._exp.Literal.number(value)

    def cast(self, value: Any, to: Any, style: Any = None) -> Any:
        """CAST and CONVERT: dates and texts by our functions, decimals as floats rounded to their scale."""
        exp, name = self._exp, to.this.name
        size = [int(part.name) for part in to.expressions if part.name.isdigit()]
        if name == "DATE":
            return self.call("ts_date", value)
        if name in DATE_TYPES:
            return self.call("ts_datetime", value)
        if name in TEXT_TYPES:
            length = size[0] if size else 0
            is_date = self._kinds.of(value) == "date"
            return self.call("ts_datetext", value, style or 0, length) if is_date else self.call("ts_text", value, length)
        if name in _INTEGER_TYPES:
            return exp.Cast(this=value, to=exp.DataType.build("BIGINT"))
        real = exp.Cast(this=value, to=exp.DataType.build("DOUBLE"))
        if name == "DECIMAL":
            return exp.Round(this=real, decimals=exp.Literal.number(size[1] if len(size) > 1 else 0))
        return real

    def add(self, node: Any) -> Any:
        """`+` joins texts and adds days to dates."""
        left, right = self._kinds.of(node.this), self._kinds.of(node.expression)
        is_sum = type(node).__name__ == "Add"
        if left == "date" and right not in ("date", "text"):
            days = node.expression if is_sum else self._exp.Neg(this=self._exp.paren(node.expression))
            return self.call("ts_dateadd", "day", days, node.this)
        if is_sum and "text" in (left, right):
            return self._exp.DPipe(this=node.this, expression=node.expression)
        return node

    def values(self, node: Any) -> Any:
        """`(VALUES (1), (2)) AS t(n)` as a union of SELECTs, whose first names the columns."""
        alias = node.args.get("alias")
        names = [column.name for column in alias.columns] if alias is not None else []
        rows = [list(row.expressions) for row in node.expressions]
        if not names or any(len(row) != len(names) for row in rows):
            return node
        exp = self._exp
        selects = [exp.Select(expressions=[exp.alias_(value, name, quoted=True) for value, name in zip(row, names)]) for row in rows]
        union = selects[0]
        for select in selects[1:]:
            union = exp.Union(this=union, expression=select, distinct=False)
        return exp.Subquery(this=union, alias=exp.TableAlias(this=alias.this))


def _anonymous(r: _Rewriter, node: Any) -> Any:
    name = node.name.lower()
    return r.text(NOW.strftime(FORM)) if name in _ZERO else node


def _extract(r: _Rewriter, node: Any) -> Any:
    return r.call("ts_datepart", node.this.name.lower(), node.expression)


def _time_to_str(r: _Rewriter, node: Any) -> Any:
    inner = node.this.this if type(node.this).__name__ == "Cast" else node.this
    return r.call("ts_format", inner, node.args["format"])


def _string_agg(r: _Rewriter, node: Any) -> Any:
    value = node.this.this if type(node.this).__name__ == "Order" else node.this
    return r.call("ts_string_agg", value, node.args.get("separator") or ",")


def _now(r: _Rewriter, node: Any) -> Any:
    return r.call("ts_datetime", NOW.strftime(FORM))


_RULES: dict[str, Callable[[_Rewriter, Any], Any]] = {
    "Parameter": lambda r, node: r.parameter(node),
    "CurrentTimestamp": _now,
    "CurrentDate": _now,
    "National": lambda r, node: r.text(node.name),
    "Anonymous": _anonymous,
    "Cast": lambda r, node: r.cast(node.this, node.args["to"]),
    "TryCast": lambda r, node: r.cast(node.this, node.args["to"]),
    "Convert": lambda r, node: r.cast(node.args["expression"], node.this, node.args.get("style")),
    "Add": lambda r, node: r.add(node),
    "Sub": lambda r, node: r.add(node),
    "Values": lambda r, node: r.values(node),
    "DateAdd": lambda r, node: r.call("ts_dateadd", node.args["unit"].name.lower(), node.expression, node.this),
    "DateDiff": lambda r, node: r.call("ts_datediff", node.args["unit"].name.lower(), node.expression, node.this),
    "Year": lambda r, node: r.call("ts_datepart", "year", node.this),
    "Month": lambda r, node: r.call("ts_datepart", "month", node.this),
    "Day": lambda r, node: r.call("ts_datepart", "day", node.this),
    "Extract": _extract,
    "TimeToStr": _time_to_str,
    "NumberToStr": lambda r, node: r.call("ts_format", node.this, node.args["format"]),
    "LastDay": lambda r, node: r.call("ts_eomonth", node.this),
    "DateFromParts": lambda r, node: r.call("ts_fromparts", node.args["year"], node.args["month"], node.args["day"]),
    "TimestampFromParts": lambda r, node: r.call("ts_fromparts", node.args["year"], node.args["month"], node.args["day"]),
    "TimestampTrunc": lambda r, node: r.call("ts_trunc", node.args["unit"].name.lower(), node.this),
    "Date": lambda r, node: r.call("ts_date", node.this),
    "Left": lambda r, node: r.call("ts_left", node.this, node.expression),
    "Right": lambda r, node: r.call("ts_right", node.this, node.expression),
    "StrPosition": lambda r, node: r.call("ts_charindex", node.args["substr"], node.this, node.args.get("position") or 1),
    "GroupConcat": _string_agg,
    "Stddev": lambda r, node: r.call("stdev", node.this),
    "Collate": lambda r, node: node.this,
}
