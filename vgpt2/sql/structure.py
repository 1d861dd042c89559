"""What a query does, as sets that two queries can be compared by: tables, columns, joins, filters, groups, aggregates.

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

from vgpt2.sql.binding import Binding, Bound, Source, bind
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.grouping import AGGREGATES
from vgpt2.sql.keys import Equalities, Term
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
        self._bound_of = {id(bound.select): bound for bound in b.selects}
        self._output_lists: dict[int, list[tuple[str | None, Any]]] = {}
        self._texts: dict[Term, str] = {}
        self.sources = [source for bound in b.selects for source in bound.scope.sources]
        self._equal = Equalities(b).joined
        self._see_through()

    def returned(self, statements: Sequence[st.Statement]) -> set[str]:
        """Columns behind the outputs of the last query that returns rows."""
        queries = [s.query for s in statements if isinstance(s, st.SelectStatement)]
        selects = [self._selects(query) for query in queries]
        returning = [found for found in selects if found and found[0].select.into is None and found[0].outputs]
        last = returning[-1] if returning else []
        return {name for bound in last for _, output in self._outputs(bound) for name in self._names(output)}

    def joins(self) -> Iterator[tuple[str, str]]:
        """Pairs of every class, a class being what equalities say in any number of steps."""
        classes = {id(members): members for members in (self._equal.members(term) for term in self._terms())}
        for members in classes.values():
            tables = [(source, _column(source, column)) for source, column in members if source.object]
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
                yield from self._names(expression)
            if bound.select.distinct:
                yield from (name for _, output in self._outputs(bound) for name in self._names(output))

    def aggregates(self) -> Iterator[tuple[str, str]]:
        for call in self._b.calls:
            if call.key in AGGREGATES or call.key in _RANKINGS:
                function = f"{call.key} DISTINCT" if call.distinct else call.key
                names = {name for argument in call.args for name in self._names(argument)}
                yield from ((function, name) for name in names or {"*"})

    def _see_through(self) -> None:
        """An output of a CTE or derived table is the column it is read from; IN asks for equality."""
        for source in self.sources:
            if len(source.selects) == 1:
                for name, (_, output) in zip(source.rowset.outputs, self._outputs(source.selects[0])):
                    behind = self._term(output)
                    if name is not None and behind is not None:
                        self._equal.join((source, name), behind)
        for bound in self._b.selects:
            for condition in (bound.select.where, *bound.inner, *bound.outer):
                for node in _conjuncts(condition) if condition is not None else ():
                    if isinstance(node, n.Test):
                        self._join_list(node)

    def _join_list(self, test: n.Test) -> None:
        if test.predicate == "IN" and isinstance(test.operands[-1], n.Subquery):
            term = self._term(test.operands[0])
            for bound in self._selects(test.operands[-1].query):
                listed = self._term(self._outputs(bound)[0][1]) if self._outputs(bound) else None
                if term is not None and listed is not None:
                    self._equal.join(term, listed)

    def _terms(self) -> Iterator[Term]:
        return (found for found in self._b.columns.values() if found[0].object or found[0].selects)

    def _term(self, node: Any) -> Term | None:
        """The column that an output or expression is, and nothing else."""
        return node if isinstance(node, tuple) else self._b.columns.get(node) if isinstance(node, n.Name) else None

    def _outputs(self, bound: Bound) -> list[tuple[str | None, Any]]:
        """(name, expression, or the term that a star stands for) of each column that a SELECT returns."""
        if id(bound) not in self._output_lists:
            self._output_lists[id(bound)] = self._read_outputs(bound)
        return self._output_lists[id(bound)]

    def _read_outputs(self, bound: Bound) -> list[tuple[str | None, Any]]:
        found: list[tuple[str | None, Any]] = []
        for name, expression in bound.outputs:
            if not isinstance(expression, n.Star):
                found.append((name, expression))
                continue
            wanted = expression.qualifier.last if expression.qualifier else None
            starred = [source for source in bound.scope.sources if wanted in (None, source.name)]
            found += [(column, (source, column)) for source in starred for column in source.rowset.outputs if column is not None]
        return found

    def _selects(self, query: n.Query) -> list[Bound]:
        """The SELECTs of a query, all branches of its UNION."""
        found, stack = [], [query.body]
        while stack:
            body = stack.pop()
            if isinstance(body, n.Select):
                found += [self._bound_of[id(body)]] if id(body) in self._bound_of else []
            else:
                stack += reversed(body.branches) if isinstance(body, n.SetOperation) else [body.body]
        return found

    def _names(self, node: Any) -> Iterator[str]:
        """Columns of tables behind an expression, those that its sub-queries return among them."""
        stack, seen = [node], set[Term]()
        while stack:
            node = stack.pop()
            if isinstance(node, n.Name) and node in self._b.columns:
                node = self._b.columns[node]
            if isinstance(node, tuple):
                if node in seen:
                    continue
                seen.add(node)
                behind = self._behind(*node)
                stack += behind
                if not behind:
                    yield _column(*node)
            elif isinstance(node, n.Subquery):
                stack += [output for bound in self._selects(node.query) for _, output in self._outputs(bound)]
            elif isinstance(node, n.Call):
                stack += node.args
            elif not isinstance(node, n.Exists):
                stack += n.children(node)

    def _behind(self, source: Source, column: str) -> list[Any]:
        """What a CTE or derived table gives as `column`, one output for each branch; none for a table."""
        place = list(source.rowset.outputs).index(column) if column in source.rowset.outputs else None
        outputs = [self._outputs(bound) for bound in source.selects]
        return [branch[place][1] for branch in outputs if place is not None and place < len(branch)]

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
        left, right = self._term(node.left), self._term(node.right)
        operator = _SYNONYMS.get(node.operator, node.operator)
        operator = _NEGATED.get(operator, f"NOT {operator}") if negated else operator
        if operator == "=" and left and right and left[0] is not right[0] and self._equal.same(left, right):
            return
        a, b = node.left, node.right
        if not any(self._names(a)) and any(self._names(b)):
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
        for bound in self._selects(query):
            for source in bound.scope.sources[:1]:
                yield _table(source), "NOT EXISTS" if negated else "EXISTS", ""

    def _of_equals(self, node: n.Expression, operator: str, value: str) -> Iterator[Filter]:
        """The filter, stated of every column that must be equal to the tested one."""
        term = self._term(_bare(node))
        equal = self._equal.members(term) if term else ()
        named = {_column(source, column) for source, column in equal if source.object}
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
            outputs = [self._text(output) for bound in self._selects(node.query) for _, output in self._outputs(bound)]
            return f"(SELECT {', '.join(outputs)})"
        if isinstance(node, n.CONDITIONS):
            return " AND ".join(sorted(" ".join(part).strip() for part in self._filters(node)))
        return f"{type(node).__name__.upper()}({', '.join(self._text(part) for part in n.children(node))})"

    def _term_text(self, term: Term) -> str:
        """What is behind a column, cut where it is long: a chain of CTEs may double it at every step."""
        if term not in self._texts:
            behind = self._behind(*term)
            text = self._text(behind[0]) if len(behind) == 1 else " ".join(sorted(self._names(term)))
            self._texts[term] = text[:_TEXT_LIMIT]
        return self._texts[term]

    def _call_text(self, node: n.Call) -> str:
        words = [node.datepart.upper()] if node.datepart else []
        words += ["*" if isinstance(argument, n.Star) else self._text(argument) for argument in node.args]
        return f"{node.name.text.upper()}({'DISTINCT ' if node.distinct else ''}{', '.join(words)})"


def _table(source: Source) -> str:
    return source.object.name if source.object else source.name


def _column(source: Source, column: str) -> str:
    return f"{_table(source)}.{column}"


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
