"""Valid T-SQL at random, of every clause in use, over a catalogue: texts on which a checker must stay silent. No house rules here.

Validity comes from the way a text is put together: the writer knows which names are in scope, and writes only what T-SQL takes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from vgpt2.sql.catalogue import Catalogue, Object
from vgpt2.sql.parser.words import RESERVED


@dataclass
class Scope:
    """Names in scope with their columns; the outer scope stays usable in correlated places."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    outer: Scope | None = None


class Writer:
    """One random text; every method writes one production."""

    def __init__(self, rng: random.Random, catalogue: Catalogue) -> None:
        self.rng = rng
        self.objects: list[Object] = [o for o in catalogue.objects.values() if len(o.columns) > 2]
        self.n = 0
        self.windows = True  # window functions stand in the select list alone

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def pick(self, *options: str) -> str:
        return self.rng.choice(options)

    def fresh(self, stem: str) -> str:
        self.n += 1
        return f"{stem}{self.n}"

    def quoted(self, name: str) -> str:
        if not name.isidentifier() or name.upper() in RESERVED or self.chance(0.1):
            return f"[{name}]"
        return name

    def text(self) -> str:
        """A view, a query, a query over CTEs, or a script with temporary tables."""
        kind = self.pick("query", "query", "query", "cte", "cte", "view", "script", "union", "proc")
        if kind == "cte":
            text = self.with_query()
        elif kind == "view":
            text = f"CREATE VIEW dbo.v{self.rng.randrange(99)} AS\n{self.query(0)[0]}{self.pick('', ' WITH CHECK OPTION')}"
        elif kind == "script":
            text = self.script()
        elif kind == "union":
            text = self.union(0)[0] + self.pick("", " ORDER BY 1", " ORDER BY 1 DESC OPTION (RECOMPILE)")
        elif kind == "proc":
            head = "CREATE PROCEDURE dbo.p @Co bCompany, @From smalldatetime = NULL AS\nSET NOCOUNT ON"
            text = f"{head}\n{self.query(0, ordered=True)[0]}\nRETURN"
        else:
            text = self.query(0, ordered=True)[0] + self.pick("", "", ";", " OPTION (RECOMPILE)")
        return self.dressed(text)

    def dressed(self, text: str) -> str:
        """With comments and another case of keywords here and there."""
        lines = text.split("\n")
        for i in range(1, len(lines)):
            if self.chance(0.1):
                lines[i] = self.pick("/* note */ ", "\n  ", "-- it's a FROM\n ", "/* a /* b */ c */") + lines[i]
        text = "\n".join(lines)
        for keyword in ("SELECT", "FROM", "WHERE", "GROUP BY", "LEFT JOIN", "INNER JOIN", "CASE", "END", "ISNULL"):
            if self.chance(0.2):
                text = text.replace(keyword + " ", keyword.lower() + " ").replace(keyword + "\n", keyword.title() + "\n")
        return text

    def with_query(self) -> str:
        ctes, scope = [], {}
        for _ in range(self.rng.randint(1, 3)):
            name = self.fresh("cte")
            body, columns = self.union(1) if self.chance(0.3) else self.query(1, extra=scope)
            if self.chance(0.3):
                columns = [self.fresh("K") for _ in columns]
                ctes.append(f"{name} ({', '.join(columns)}) AS ({body})")
            else:
                ctes.append(f"{name} AS (\n{body}\n)")
            scope[name] = columns
        return f"{self.pick('', ';')}WITH {', '.join(ctes)}\n{self.query(0, extra=scope, ordered=True)[0]}"

    def script(self) -> str:
        name = self.fresh("#t")
        body, columns = self.query(1, into=name)
        first = self.pick(
            f"IF OBJECT_ID('tempdb..{name}') IS NOT NULL DROP TABLE {name}\n", "SET NOCOUNT ON;\n", "DECLARE @Co tinyint = 1, @d datetime\n"
        )
        more = self.query(0, extra={name: columns}, ordered=True)[0]
        return f"{first}{body}{self.pick('', ';')}\n{more}\n{self.pick(f'DROP TABLE {name}', 'GO', '')}"

    def union(self, depth: int) -> tuple[str, list[str]]:
        n = self.rng.randint(1, 5)
        first, columns = self.query(depth + 1, width=n)
        branches = [first]
        for _ in range(self.rng.randint(1, 3)):
            branches.append(self.pick("UNION", "UNION ALL", "EXCEPT", "INTERSECT") + "\n" + self.query(depth + 1, width=n)[0])
        return "\n".join(branches), columns

    def query(
        self, depth: int, *, extra: dict[str, list[str]] | None = None, outer: Scope | None = None, width: int | None = None,
        ordered: bool = False, into: str = "",
    ) -> tuple[str, list[str]]:  # fmt: skip
        """A SELECT and the names of its columns."""
        scope = Scope(outer=outer)
        windows, self.windows = self.windows, True
        source = self.from_clause(scope, depth, extra or {})
        grouped = self.chance(0.25)
        items, columns, group_keys = self.items(scope, depth, width or self.rng.randint(1, 7), grouped)
        where = f"\nWHERE {self.condition(scope, depth)}" if self.chance(0.7) else ""
        group = ""
        if grouped:
            keys = ", ".join(group_keys)
            group = f"\nGROUP BY {keys}" if keys else ""
            group += f"\nHAVING {self.pick('COUNT(*) > 1', 'SUM(1) <> 0', 'MAX(2) IS NOT NULL')}" if keys and self.chance(0.3) else ""
        head = (
            self.pick("SELECT ", "SELECT ", "SELECT DISTINCT ", "SELECT TOP 10 ", "SELECT TOP (100) PERCENT ") if not grouped else "SELECT "
        )
        order = ""
        if ordered and self.chance(0.5) and "DISTINCT" not in head and not grouped:
            order = f"\nORDER BY {', '.join(self.order_key(scope, columns, depth) for _ in range(self.rng.randint(1, 3)))}"
            if self.chance(0.1) and "TOP" not in head:
                order += " OFFSET 5 ROWS FETCH NEXT 10 ROWS ONLY"
        self.windows = windows
        target = f"\nINTO {into}" if into else ""
        return f"{head}{items}{target}\nFROM {source}{where}{group}{order}", columns

    def order_key(self, scope: Scope, columns: list[str], depth: int) -> str:
        unique = [c for c in columns if columns.count(c) == 1]
        key = self.quoted(self.rng.choice(unique)) if unique and self.chance(0.5) else self.pick("1", self.column(scope))
        return key + self.pick("", " ASC", " DESC")

    def items(self, scope: Scope, depth: int, width: int, grouped: bool) -> tuple[str, list[str], list[str]]:
        items, columns, group_keys = [], [], []
        for _ in range(width):
            if grouped and self.chance(0.5):
                value = self.pick(
                    f"SUM({self.column(scope)})",
                    "COUNT(*)",
                    f"MAX(CASE WHEN {self.column(scope)} = 1 THEN 2 END)",
                    f"COUNT(DISTINCT {self.column(scope)})",
                )
            elif grouped:
                value = self.column(scope)
                group_keys.append(value)
            else:
                value = self.value(scope, depth, 0)
            alias = self.fresh("Col") if self.chance(0.8) else self.fresh("A b ")
            name = self.quoted(alias)
            items.append(
                self.pick(
                    f"{value} AS {name}",
                    f"{value} {name}",
                    f"{name} = {value}",
                    f"'{alias}' = {value}",
                    f'{value} AS "{alias}"',
                    f"{value} AS '{alias}'",
                )
            )
            columns.append(alias)
        return self.pick(", ", ",\n  ").join(items), columns, list(dict.fromkeys(group_keys))

    def from_clause(self, scope: Scope, depth: int, extra: dict[str, list[str]]) -> str:
        text = self.source(scope, depth, extra)
        for _ in range(self.rng.choice((0, 0, 1, 1, 2, 3, 5))):
            kind = self.pick("join", "join", "join", "join", "cross", "comma", "apply", "nested")
            if kind == "comma":
                text += f", {self.source(scope, depth, extra)}"
            elif kind == "cross":
                text += f"\nCROSS JOIN {self.source(scope, depth, extra)}"
            elif kind == "apply" and depth < 2:
                name = self.fresh("ap")
                body, columns = self.query(depth + 1, outer=scope)
                text += f"\n{self.pick('CROSS', 'OUTER')} APPLY ({body}) {self.pick('', 'AS ')}{name}"
                scope.tables[name] = columns
            elif kind == "nested" and "," not in text:
                both = Scope(dict(scope.tables), scope.outer)
                a, b = self.source(both, depth, extra), self.source(both, depth, extra)
                inner = Scope({name: columns for name, columns in both.tables.items() if name not in scope.tables}, scope.outer)
                on = self.equality(inner)
                scope.tables.update(inner.tables)
                text += f"\nLEFT JOIN ({a} INNER JOIN {b} ON {on}) ON {self.equality(scope)}"
            elif "," not in text:
                right = self.source(scope, depth, extra)
                join = self.pick("JOIN", "INNER JOIN", "LEFT JOIN", "LEFT OUTER JOIN", "RIGHT JOIN", "FULL OUTER JOIN", "INNER HASH JOIN")
                text += f"\n{join} {right} ON {self.condition(scope, depth + 1, tests=2)}"
        return text

    def source(self, scope: Scope, depth: int, extra: dict[str, list[str]]) -> str:
        kind = self.pick("table", "table", "table", "table", "derived", "values", "extra", "extra", "pivot", "function")
        if kind == "extra" and extra:
            name = self.rng.choice(list(extra))
            alias = self.fresh("e")
            scope.tables[alias] = extra[name]
            return f"{name} {self.pick('', 'AS ')}{alias}"
        if kind == "derived" and depth < 2:
            body, columns = self.union(depth + 1) if self.chance(0.2) else self.query(depth + 1, extra=extra)
            alias = self.fresh("d")
            if self.chance(0.2):
                columns = [self.fresh("R") for _ in columns]
                scope.tables[alias] = columns
                return f"({body}) AS {alias} ({', '.join(columns)})"
            scope.tables[alias] = columns
            return f"({body}) {alias}"
        if kind == "values" and self.chance(0.5):
            alias = self.fresh("v")
            scope.tables[alias] = ["N", "L"]
            return f"(VALUES (1, 'a'), (2, 'b''c'), (NULL, N'd')) AS {alias} (N, L)"
        if kind == "pivot" and depth < 2 and self.chance(0.3):
            return self.pivot(scope)
        if kind == "function" and self.chance(0.3):
            alias = self.fresh("f")
            scope.tables[alias] = ["Anything", "Whatever"]
            return f"dbo.vf_list{self.rng.randrange(9)}(1, 'x', GETDATE()) {alias}"
        return self.table(scope)

    def table(self, scope: Scope) -> str:
        o = self.rng.choice(self.objects)
        hint = self.pick("", "", " WITH (NOLOCK)", " (NOLOCK)", " with(nolock)", " WITH (NOLOCK, INDEX(1))")
        name = self.quoted(o.name)
        if o.name not in scope.tables and self.chance(0.4):
            scope.tables[o.name] = list(o.column_names)
            return self.pick("", "dbo.", "[dbo].", "..").replace("..", "dbo . ") + name + hint
        alias = self.fresh("t")
        scope.tables[alias] = list(o.column_names)
        return f"{self.pick('', 'dbo.')}{name} {self.pick('', 'AS ', 'as ')}{alias}{hint}"

    def pivot(self, scope: Scope) -> str:
        o = self.rng.choice(self.objects)
        a, b, c = (self.quoted(x) for x in self.rng.sample(list(o.column_names), 3))
        alias = self.fresh("p")
        scope.tables[alias] = [a.strip("[]"), "1", "x y"]
        return f"(SELECT {a}, {b}, {c} FROM {o.name}) s PIVOT (SUM({b}) FOR {c} IN ([1], [x y])) AS {alias}"

    def column(self, scope: Scope) -> str:
        """A column of a table in scope, sometimes of an outer one; qualified unless no other table has it."""
        if scope.outer is not None and scope.outer.tables and self.chance(0.2):
            name = self.rng.choice(list(scope.outer.tables))
            return f"{self.quoted(name)}.{self.quoted(self.rng.choice(scope.outer.tables[name]))}"
        name = self.rng.choice(list(scope.tables))
        column = self.rng.choice(scope.tables[name])
        alone = sum(column in columns for columns in scope.tables.values()) == 1 and "Anything" not in str(scope.tables)
        return self.quoted(column) if alone and self.chance(0.2) else f"{self.quoted(name)}.{self.quoted(column)}"

    def equality(self, scope: Scope) -> str:
        return f"{self.column(scope)} = {self.column(scope)}"

    def value(self, scope: Scope, depth: int, level: int) -> str:
        if level > 3 or self.chance(0.35):
            return self.column(scope)
        v = lambda: self.value(scope, depth, level + 1)  # noqa: E731
        choice = self.rng.randrange(20 if depth < 2 else 17)
        column = self.column(scope)
        if choice in (12, 13) and not self.windows:
            return column
        options = [
            lambda: self.pick(
                "1", "'x'", "N'it''s'", "NULL", "1.5", "-1", "0x0F", "$1.50", "''", "GETDATE()", "@@SPID", "USER", "CURRENT_TIMESTAMP"
            ),
            lambda: f"{v()} {self.pick('+', '-', '*', '/', '%')} {v()}",
            lambda: f"({v()} + {v()})",
            lambda: f"CASE WHEN {self.condition(scope, depth + 1, tests=1)} THEN {v()} ELSE {v()} END",
            lambda: f"CASE {v()} WHEN 'A' THEN {v()} WHEN 'B' THEN 'b' END",
            lambda: f"ISNULL({v()}, {self.pick('0', column)})",
            lambda: f"COALESCE({v()}, {v()}, '')",
            lambda: f"CAST({v()} AS {self.pick('varchar(30)', 'int', 'decimal(12, 2)', 'bCompany', 'varchar(max)', 'datetime')})",
            lambda: f"CONVERT({self.pick('varchar(10)', 'char(8)', 'datetime')}, {v()}, 101)",
            lambda: f"DATEADD({self.pick('day', 'mm', 'yy', 'month')}, 1, {v()})",
            lambda: f"DATEDIFF(d, {v()}, GETDATE())",
            lambda: f"LEFT({v()}, 3) + RIGHT({v()}, 2)",
            lambda: f"ROW_NUMBER() OVER (PARTITION BY {column} ORDER BY {v()} DESC)",
            lambda: f"SUM({column}) OVER (PARTITION BY {self.column(scope)})",
            lambda: f"dbo.vfDate({v()}, 1)",
            lambda: f"SUBSTRING({v()}, 1, LEN({column}))",
            lambda: f"LTRIM(RTRIM({v()})) COLLATE Latin1_General_BIN",
            lambda: f"(SELECT MAX({self.scalar(scope)}",
            lambda: f"STUFF((SELECT ',' + {self.scalar(scope, tail=' FOR XML PATH(' + chr(39) * 2 + ')')}, 1, 1, '')",
            lambda: f"(SELECT TOP 1 {self.scalar(scope, close=' ORDER BY 1)', open='')}",
        ]
        return options[choice]()

    def scalar(self, scope: Scope, *, tail: str = "", close: str = ")", open: str = ")") -> str:
        """The rest of a scalar sub-query behind its first word, correlated with the scope."""
        o = self.rng.choice(self.objects)
        alias = self.fresh("s")
        first = f"{alias}.{self.quoted(self.rng.choice(o.column_names))}"
        other = f"{alias}.{self.quoted(self.rng.choice(o.column_names))}"
        if tail:
            return f"{first} FROM {o.name} {alias} WHERE {other} = {self.column(scope)}{tail})"
        return f"{first}{open if close == ')' else ''} FROM {o.name} {alias} WHERE {other} = {self.column(scope)}{close}"

    def condition(self, scope: Scope, depth: int, tests: int | None = None) -> str:
        windows, self.windows = self.windows, False
        parts = [self.test(scope, depth) for _ in range(tests or self.rng.randint(1, 4))]
        text = parts[0]
        for part in parts[1:]:
            text += f" {self.pick('AND', 'AND', 'OR')} {part}"
        self.windows = windows
        return f"({text})" if self.chance(0.1) else text

    def test(self, scope: Scope, depth: int) -> str:
        column = self.column(scope)
        choice = self.rng.randrange(11 if depth < 2 else 8)
        options = [
            lambda: f"{column} {self.pick('=', '<>', '!=', '<', '>', '<=', '>=')} {self.column(scope)}",
            lambda: f"{column} = {self.value(scope, 2, 2)}",
            lambda: f"{column} {self.pick('', 'NOT ')}IN (1, 2, 'x')",
            lambda: f"{column} IS {self.pick('', 'NOT ')}NULL",
            lambda: f"{column} {self.pick('', 'NOT ')}LIKE '%FROM LIMIT%'",
            lambda: f"{column} BETWEEN @From AND DATEADD(d, 1, @To)",
            lambda: f"NOT ({column} = 1 OR {self.column(scope)} > 2)",
            lambda: f"({column} = @x AND ({self.equality(scope)}))",
            lambda: f"{self.pick('', 'NOT ')}EXISTS ({self.query(depth + 1, outer=scope)[0]})",
            lambda: f"{column} IN ({self.query(depth + 1, outer=scope, width=1)[0]})",
            lambda: f"{column} >= ALL ({self.query(depth + 1, outer=scope, width=1)[0]})",
        ]
        return options[choice]()


def valid_text(rng: random.Random, catalogue: Catalogue) -> str:
    """A valid T-SQL text, from a line to some pages."""
    return Writer(rng, catalogue).text()
