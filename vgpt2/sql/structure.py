"""What a query does, as sets to compare it by: tables, columns, joins, filters, groups and aggregates.

Names are those of the catalogue, whatever aliases, CTEs and derived tables stand between, and facts follow from one another: where columns
are equated, each of them has the filters of all. So the order of conditions and the table that a filter is written on make no difference.

    structure("SELECT h.Vendor FROM APTH h WHERE h.APCo = 1", catalogue).filters    # {('APTH.APCo', '=', '1')}
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

from vgpt2.sql.binding import Binding, TooMuchWork, bind
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.checker import MAX_CHARACTERS
from vgpt2.sql.grouping import AGGREGATES
from vgpt2.sql.keys import Equalities, Term
from vgpt2.sql.lineage import Lineage, column_name, table_name
from vgpt2.sql.parser import nodes as n
from vgpt2.sql.parser import parse
from vgpt2.sql.parser import statement_nodes as st

Filter: TypeAlias = tuple[str, str, str]  # (column or expression, operator, value)

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_NEGATED = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_SYNONYMS = {"!=": "<>", "!<": ">=", "!>": "<="}
_DATE = re.compile(r"'(?:(\d{4})[-/]?(\d{2})[-/]?(\d{2})|(\d{1,2})[-/](\d{1,2})[-/](\d{4}))(?:[ T]00:00(?::00(?:\.0+)?)?)?'")
_RANKINGS = frozenset(("ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE"))
_TEXT_LIMIT = 500
MAX_PAIRS = 200_000  # of columns that one text equates


@dataclass(frozen=True)
class Structure:
    """Sets that say what a text reads and returns; columns are written TABLE.Column."""

    tables: frozenset[str]  # of the catalogue, read anywhere
    columns: frozenset[str]  # behind what the last query returns
    joins: frozenset[tuple[str, str]]  # columns of two sources that must be equal, in alphabetical order
    filters: frozenset[Filter]  # also HAVING; of a sub-query's existence (table, 'EXISTS' or 'NOT EXISTS', '')
    group_by: frozenset[str]  # DISTINCT groups by what it returns
    aggregates: frozenset[tuple[str, str]]  # (function, column), one for each column in the argument; ('COUNT', '*')


def structure(sql: str, catalogue: Catalogue) -> Structure:
    """The structure of a text; of one that does not parse or resolve, what can be told. Raises TooMuchWork on texts made to be slow."""
    if len(sql) > MAX_CHARACTERS:
        raise TooMuchWork
    statements, _ = parse(sql)
    reader = _Reader(bind(statements, catalogue))
    return Structure(
        tables=frozenset(source.object.name for source in reader.sources if source.object),
        columns=frozenset(reader.returned(statements)),
        joins=frozenset(reader.joins()),
        filters=frozenset(reader.filters()),
        group_by=frozenset(reader.groups()),
        aggregates=frozenset(reader.aggregates()),
    )


def as_data(found: Structure) -> dict[str, Any]:
    """The structure as a suite holds it: sorted lists, join pairs gathered by the two tables they join."""
    by_tables: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
    for a, b in sorted(found.joins):
        by_tables[a.partition(".")[0], b.partition(".")[0]].append([a, b])
    return {
        "tables": sorted(found.tables),
        "columns": sorted(found.columns),
        "functions": sorted({function for function, _ in found.aggregates}),
        "group_by": sorted(found.group_by),
        "joins": list(by_tables.values()),
        "filters": [list(entry) for entry in sorted(found.filters)],
        "aggregates": [list(entry) for entry in sorted(found.aggregates)],
    }


class _Reader:
    """A bound text, and the classes of columns that it equates."""

    def __init__(self, b: Binding) -> None:
        self._b = b
        self._lineage = Lineage(b)
        self._texts: dict[Term, str] = {}
        self.sources = [source for bound in b.selects for source in bound.scope.sources]
        self._equal = Equalities(b).joined
        self._see_through()

    def returned(self, statements: Sequence[st.Statement]) -> set[str]:
        """Columns behind the outputs of the last query that returns rows."""
        queries = [s.query for s in statements if isinstance(s, st.SelectStatement)]
        selects = [self._lineage.selects(query) for query in queries]
        returning = [found for found in selects if found and found[0].select.into is None and found[0].outputs]
        last = returning[-1] if returning else []
        return {name for bound in last for _, output in self._lineage.outputs(bound) for name in self._lineage.names(output)}

    def joins(self) -> Iterator[tuple[str, str]]:
        """Pairs of every class, a class being what equalities say in any number of steps."""
        classes = {id(members): members for members in (self._equal.members(term) for term in self._terms())}
        if sum(len(members) ** 2 for members in classes.values()) > MAX_PAIRS:
            raise TooMuchWork
        for members in classes.values():
            tables = [(source, column_name(source, column)) for source, column in members if source.object]
            for (source, a), (other, b) in combinations(tables, 2):
                if source is not other:
                    yield (a, b) if a <= b else (b, a)

    def filters(self) -> Iterator[Filter]:
        for bound in self._b.selects:
            for condition in (bound.select.where, bound.select.having, *bound.inner, *bound.outer):
                if condition is not None:
                    yield from self._filters(condition)

    def groups(self) -> Iterator[str]:
        for bound in self._b.selects:
            for expression in bound.select.group_by:
                yield from self._lineage.names(expression)
            if bound.select.distinct:
                yield from (name for _, output in self._lineage.outputs(bound) for name in self._lineage.names(output))

    def aggregates(self) -> Iterator[tuple[str, str]]:
        for call in self._b.calls:
            if call.key in AGGREGATES or call.key in _RANKINGS:
                function = f"{call.key} DISTINCT" if call.distinct else call.key
                names = {name for argument in call.args for name in self._lineage.names(argument)}
                yield from ((function, name) for name in names or {"*"})

    def _see_through(self) -> None:
        """An output of a CTE or derived table is the column it is read from; IN asks for equality."""
        for source in self.sources:
            if len(source.selects) == 1:
                for name, (_, output) in zip(source.rowset.outputs, self._lineage.outputs(source.selects[0])):
                    behind = self._lineage.term(output)
                    if name is not None and behind is not None:
                        self._equal.join((source, name), behind)
        for bound in self._b.selects:
            for condition in (bound.select.where, *bound.inner, *bound.outer):
                for node in _conjuncts(condition) if condition is not None else ():
                    if isinstance(node, n.Test):
                        self._join_list(node)

    def _join_list(self, test: n.Test) -> None:
        if test.predicate == "IN" and isinstance(test.operands[-1], n.Subquery):
            term = self._lineage.term(test.operands[0])
            for bound in self._lineage.selects(test.operands[-1].query):
                listed = self._lineage.term(self._lineage.outputs(bound)[0][1]) if self._lineage.outputs(bound) else None
                if term is not None and listed is not None:
                    self._equal.join(term, listed)

    def _terms(self) -> Iterator[Term]:
        return (found for found in self._b.columns.values() if found[0].object or found[0].selects)

    def _filters(self, condition: n.Condition, *, negated: bool = False) -> Iterator[Filter]:
        """What a condition asks beyond equality of two sources' columns; one OR is one filter."""
        if isinstance(condition, n.Not):
            yield from self._filters(condition.operand, negated=not negated)
        elif isinstance(condition, n.Logical):
            if (condition.operator == "AND") != negated:
                for operand in condition.operands:
                    yield from self._filters(operand, negated=negated)
            else:
                parts = [sorted(" ".join(part).strip() for part in self._filters(o, negated=negated)) for o in condition.operands]
                yield " OR ".join(sorted(" AND ".join(part) for part in parts)), "OR", ""
        elif isinstance(condition, n.Comparison):
            yield from self._compared(condition, negated)
        elif isinstance(condition, n.Exists):
            yield from self._existence(condition.query, negated)
        else:
            yield from self._tested(condition, negated)

    def _compared(self, node: n.Comparison, negated: bool) -> Iterator[Filter]:
        left, right = self._lineage.term(node.left), self._lineage.term(node.right)
        operator = _SYNONYMS.get(node.operator, node.operator)
        operator = _NEGATED.get(operator, f"NOT {operator}") if negated else operator
        if operator == "=" and left and right and left[0] is not right[0] and self._equal.same(left, right):
            return
        a, b = node.left, node.right
        if not any(self._lineage.names(a)) and any(self._lineage.names(b)):
            a, b, operator = b, a, _FLIPPED.get(operator, operator)
        yield from self._of_equals(a, operator, self._text(b))

    def _tested(self, node: n.Test, negated: bool) -> Iterator[Filter]:
        negated, (first, *rest) = negated != node.negated, node.operands
        if rest and isinstance(rest[-1], n.Subquery):
            yield from self._existence(rest[-1].query, negated)
        elif node.predicate == "BETWEEN" and not negated:
            yield from self._of_equals(first, ">=", self._text(rest[0]))
            yield from self._of_equals(first, "<=", self._text(rest[1]))
        elif node.predicate == "IN" and len(rest) == 1:
            yield from self._of_equals(first, "<>" if negated else "=", self._text(rest[0]))
        else:
            operator = _test_words(node.predicate, negated)
            values = [self._text(operand) for operand in rest]
            yield from self._of_equals(first, operator, ", ".join(sorted(values) if node.predicate == "IN" else values))

    def _existence(self, query: n.Query, negated: bool) -> Iterator[Filter]:
        for bound in self._lineage.selects(query):
            for source in bound.scope.sources[:1]:
                yield table_name(source), "NOT EXISTS" if negated else "EXISTS", ""

    def _of_equals(self, node: n.Expression, operator: str, value: str) -> Iterator[Filter]:
        """The filter, stated of every column that must be equal to the tested one."""
        term = self._lineage.term(_bare(node))
        equal = self._equal.members(term) if term else ()
        named = {column_name(source, column) for source, column in equal if source.object}
        for what in named or {self._text(node)}:
            yield what, operator, value

    def _text(self, node: Any) -> str:
        """The expression in one spelling: names of the catalogue, words in upper case, dates as yyyymmdd."""
        node = _bare(node)
        if isinstance(node, n.Name):
            node = self._b.columns.get(node, node)
        if isinstance(node, tuple):
            return self._term_text(node)
        if isinstance(node, n.Name):
            return node.text
        if isinstance(node, n.Literal):
            return _literal(node)
        if isinstance(node, n.Variable):
            return node.name.lower()
        if isinstance(node, n.Arithmetic):
            words = [self._text(node.operands[0])]
            for operator, operand in zip(node.operators, node.operands[1:]):
                words += [operator, self._text(operand)]
            return " ".join(words)
        if isinstance(node, n.Unary):
            return f"{node.operator}{self._text(node.operand)}"
        if isinstance(node, n.Call):
            return self._call_text(node)
        if isinstance(node, n.Subquery):
            outputs = [self._text(output) for bound in self._lineage.selects(node.query) for _, output in self._lineage.outputs(bound)]
            return f"(SELECT {', '.join(outputs)})"
        if isinstance(node, n.CONDITIONS):
            return " AND ".join(sorted(" ".join(part).strip() for part in self._filters(node)))
        return f"{type(node).__name__.upper()}({', '.join(self._text(part) for part in n.children(node))})"

    def _term_text(self, term: Term) -> str:
        """What is behind a column, cut where it is long: a chain of CTEs may double it at every step."""
        if term not in self._texts:
            behind = self._lineage.behind(*term)
            text = self._text(behind[0]) if len(behind) == 1 else " ".join(sorted(self._lineage.names(term))) or column_name(*term)
            self._texts[term] = text[:_TEXT_LIMIT]
        return self._texts[term]

    def _call_text(self, node: n.Call) -> str:
        words = [node.datepart.upper()] if node.datepart else []
        words += ["*" if isinstance(argument, n.Star) else self._text(argument) for argument in node.args]
        return f"{node.name.text.upper()}({'DISTINCT ' if node.distinct else ''}{', '.join(words)})"


def _conjuncts(condition: n.Condition) -> Iterator[n.Condition]:
    """The conditions that must all hold."""
    stack = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, n.Logical) and node.operator == "AND":
            stack += node.operands
        else:
            yield node


def _bare(node: Any) -> Any:
    """The value without ISNULL around it, which only says what nothing counts as."""
    while isinstance(node, n.Call) and node.key in ("ISNULL", "COALESCE") and len(node.args) == 2 and isinstance(node.args[1], n.Literal):
        node = node.args[0]
    return node


def _test_words(predicate: str, negated: bool) -> str:
    if predicate.startswith("IS"):
        return predicate.replace("IS ", "IS NOT ") if negated else predicate
    return f"NOT {predicate}" if negated else predicate


def _literal(node: n.Literal) -> str:
    if node.kind == "string":
        text = node.text[1:] if node.text[:1] in "Nn" else node.text
        date = _DATE.fullmatch(text)
        if date is None:
            return text
        year, month, day = (date[1], date[2], date[3]) if date[1] else (date[6], date[4], date[5])
        return f"'{year}{int(month):02d}{int(day):02d}'"
    if node.kind == "number" and re.fullmatch(r"\d+\.0*", node.text):
        return node.text.partition(".")[0]
    return node.text.upper()
