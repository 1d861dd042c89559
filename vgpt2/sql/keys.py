"""Which columns a text equates, and what follows for keys: joins on part of a key, and companies left unfiltered.

Equal columns and values fall into one class across the whole text; two sources never share a column, so branches of a UNION do not mix.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, TypeAlias

from vgpt2.sql.binding import Binding, Bound, Problem, Source
from vgpt2.sql.catalogue import Catalogue, ForeignKey
from vgpt2.sql.parser import nodes as n

Term: TypeAlias = tuple[Any, str]  # (source, column), or (None, text) of a value


class Classes:
    """Sets of terms that are equal to one another: a union-find."""

    def __init__(self) -> None:
        self._root: dict[Term, Term] = {}
        self._members: dict[Term, set[Term]] | None = None

    def join(self, a: Term, b: Term) -> None:
        self._root[self._find(a)] = self._find(b)
        self._members = None

    def same(self, a: Term, b: Term) -> bool:
        return self._find(a) == self._find(b)

    def members(self, term: Term) -> set[Term]:
        """All terms equal to this one, itself included."""
        if self._members is None:
            self._members = {}
            for other in list(self._root):
                self._members.setdefault(self._find(other), set()).add(other)
        return self._members.get(self._find(term), {term})

    def _find(self, term: Term) -> Term:
        root = term
        while (above := self._root.setdefault(root, root)) != root:
            root = above
        while self._root[term] != root:
            self._root[term], term = root, self._root[term]
        return root


class Equalities:
    """What the conditions of a text equate, compare and restrict."""

    def __init__(self, b: Binding) -> None:
        self._columns = b.columns
        self.equal = Classes()  # columns and values
        self.joined = Classes()  # columns alone: that two are 1 does not join their tables
        self._restricted: set[Term] = set()
        self._links: dict[frozenset[Source], set[frozenset[Term]]] = {}
        self._neighbours: dict[Source, list[Source]] = {}
        for bound in b.selects:
            for condition in (bound.select.where, *bound.inner, *bound.outer):
                if condition is not None:
                    self._read(condition)

    def same(self, a: Term, b: Term) -> bool:
        """Whether the text equates the two, or compares them in another way."""
        return self.equal.same(a, b) or frozenset((a, b)) in self._links.get(frozenset((a[0], b[0])), ())

    def linked_pairs(self) -> Iterator[tuple[Source, Source]]:
        """Pairs of sources with a comparison between them, each in the order of the text."""
        for pair in self._links:
            a, b = sorted(pair, key=lambda source: source.pos)
            yield a, b

    def connected(self, start: Source, *, without: Source) -> set[Source]:
        """`start` and the sources compared with it, directly or through others, on ways that avoid `without`."""
        found, stack = {start}, [start]
        while stack:
            for neighbour in self._neighbours.get(stack.pop(), ()):
                if neighbour is not without and neighbour not in found:
                    found.add(neighbour)
                    stack.append(neighbour)
        return found

    def is_restricted(self, term: Term) -> bool:
        """Whether a value, or a condition other than equality with a column, restricts the term or an equal one."""
        return any(source is None or (source, column) in self._restricted for source, column in self.equal.members(term))

    def column_terms(self, node: Any) -> set[Term]:
        """The columns in an expression, sub-queries left out."""
        terms: set[Term] = set()
        stack = [node]
        while stack:
            node = stack.pop()
            if isinstance(node, n.Name):
                if node in self._columns:
                    terms.add(self._columns[node])
            elif not isinstance(node, n.Subquery | n.Exists):
                stack.extend(n.children(node))
        return terms

    def _read(self, condition: n.Condition) -> None:
        """An equality that must hold joins classes; any other condition restricts the columns it names, and links those it compares."""
        stack: list[tuple[n.Condition, bool]] = [(condition, True)]
        while stack:
            node, certain = stack.pop()
            if isinstance(node, n.Logical):
                stack += [(operand, certain and node.operator == "AND") for operand in node.operands]
            elif isinstance(node, n.Not):
                stack.append((node.operand, False))
            elif isinstance(node, n.Comparison):
                self._read_comparison(node, certain)
            elif isinstance(node, n.Test) and node.operands:
                self._restricted |= self.column_terms(node.operands[0])

    def _read_comparison(self, node: n.Comparison, certain: bool) -> None:
        left, right = self._term(node.left), self._term(node.right)
        if left is None or right is None:
            self._restricted |= self.column_terms(node.left) | self.column_terms(node.right)
            return
        are_columns = left[0] is not None and right[0] is not None
        if are_columns and left[0] is not right[0]:
            self._link(left, right)
        if node.operator == "=" and certain:
            self.equal.join(left, right)
            if are_columns:
                self.joined.join(left, right)
        elif not are_columns:
            self._restricted.update(term for term in (left, right) if term[0] is not None)

    def _link(self, left: Term, right: Term) -> None:
        pair = frozenset((left[0], right[0]))
        if pair not in self._links:
            self._links[pair] = set()
            self._neighbours.setdefault(left[0], []).append(right[0])
            self._neighbours.setdefault(right[0], []).append(left[0])
        self._links[pair].add(frozenset((left, right)))

    def _term(self, node: n.Expression) -> Term | None:
        """The column or value an expression stands for: `ISNULL(T.Co, 0)` stands for T.Co; None where it has several columns."""
        if isinstance(node, n.Literal | n.Variable):
            return None, (node.name if isinstance(node, n.Variable) else node.text).lower()
        terms = self.column_terms(node)
        if len(terms) == 1:
            return next(iter(terms))
        return None if terms else (None, f"value at {node.pos}")


def incomplete_joins(b: Binding, equalities: Equalities, company_masters: Collection[str]) -> Iterator[Problem]:
    """Joins of two catalogue objects that use part of a foreign key between them and no whole key."""
    for a, z in equalities.linked_pairs():
        if a.object is None or z.object is None or a.object is z.object:
            continue
        keys = b.catalogue.joins(a.object.name, z.object.name)
        missing = [_missing(key, a, z, equalities) for key in keys]
        partial = [(key, left) for key, left in zip(keys, missing) if len(left) < len(key.pairs)]
        if not partial or any(not left for left in missing) or _fixes_a_row(a, z, equalities) or _fixes_a_row(z, a, equalities):
            continue
        key, left = min(partial, key=lambda pair: (len(pair[1]), -len(pair[0].pairs)))
        if key.from_object in company_masters and _joins_groups_alone(key, left, b.catalogue):
            continue
        yield _incomplete(key, left, a, z)


def _missing(key: ForeignKey, a: Source, z: Source, equalities: Equalities) -> list[tuple[str, str]]:
    """The column pairs of a key that the text does not equate."""
    child, parent = (a, z) if a.object and key.from_object == a.object.name else (z, a)
    return [pair for pair in key.pairs if not equalities.same((child, pair[0]), (parent, pair[1]))]


def _fixes_a_row(source: Source, other: Source, equalities: Equalities) -> bool:
    """Whether `other`, and what is joined to it without `source`, fix a unique key of `source`: the join through a third table."""
    o = source.object
    assert o is not None
    through = equalities.connected(other, without=source)
    return any(
        all(any(owner in through for owner, _ in equalities.joined.members((source, column))) for column in unique)
        for unique in (o.business_key, *o.unique_keys)
        if unique
    )


def _joins_groups_alone(key: ForeignKey, missing: list[tuple[str, str]], catalogue: Catalogue) -> bool:
    """Whether what is joined of the key are groups: `HQCO.VendorGroup = APVM.VendorGroup` means all vendors of a company."""
    groups = catalogue.objects[key.from_object].group_columns
    return all(column in groups for column, other in key.pairs if (column, other) not in missing)


def _incomplete(key: ForeignKey, missing: list[tuple[str, str]], a: Source, z: Source) -> Problem:
    child, parent = (a, z) if a.object and key.from_object == a.object.name else (z, a)
    conditions = [f"{child.name}.{column} = {parent.name}.{other}" for column, other in key.pairs]
    left_out = " and ".join(column if column == other else f"{column} = {other}" for column, other in missing)
    message = f"the join of '{child.name}' and '{parent.name}' leaves out {left_out}"
    return Problem("incomplete_join", z.pos, z.name, message, " AND ".join(conditions))


def missing_company_filters(b: Binding, equalities: Equalities, company_masters: Collection[str]) -> Iterator[Problem]:
    """SELECTs that read rows of all companies: the driving table's company is neither restricted here nor handed to an outer SELECT."""
    companies = _Companies(equalities, company_masters)
    handed_on = {select for bound in b.selects for source in bound.scope.sources for select in source.selects}
    for bound in b.selects:
        found = companies.unfiltered(bound)
        if found is None or (bound in handed_on and companies.exported(bound) is not None):
            continue
        source, column = found
        message = f"'{source.name}' is not filtered by its company column {column}"
        yield Problem("missing_company_filter", source.pos, source.name, message, f"WHERE {source.name}.{column} = @{column}")


class _Companies:
    """The company column that each SELECT must filter; derived tables hand theirs on under the name they give it."""

    def __init__(self, equalities: Equalities, company_masters: Collection[str]) -> None:
        self._equalities = equalities
        self._masters = company_masters
        self._exported: dict[Bound, int | str | None] = {}

    def unfiltered(self, bound: Bound) -> tuple[Source, str] | None:
        """The driving source, the first of FROM, and its company column, where nothing restricts it; None too for one without a company."""
        sources = bound.scope.sources
        column = self._column(sources[0]) if sources else None
        if column is None or (len(sources) == 1 and sources[0].object and sources[0].object.name in self._masters):
            return None
        term = (sources[0], column)
        around = {other for level in islice(bound.scope.chain(), 1, None) for other in level.sources}
        correlated = any(other in around for other, _ in self._equalities.equal.members(term))
        return None if correlated or self._equalities.is_restricted(term) else term

    def exported(self, bound: Bound) -> int | str | None:
        """Where an unfiltered company leaves the SELECT: the position of an output, or its name behind a star; None where it does not."""
        if bound not in self._exported:
            self._exported[bound] = None  # a recursive CTE meets itself
            found = self.unfiltered(bound)
            if found is not None:
                self._exported[bound] = self._output_of(bound, found)
        return self._exported[bound]

    def _output_of(self, bound: Bound, term: tuple[Source, str]) -> int | str | None:
        equal = self._equalities.equal.members(term)
        for position, (_, expression) in enumerate(bound.outputs):
            if isinstance(expression, n.Star):
                return term[1]
            if self._equalities.column_terms(expression) & equal:
                return position
        return None

    def _column(self, source: Source) -> str | None:
        if source.object is not None:
            return source.object.company_column
        for select in source.selects:
            output = self.exported(select)
            if isinstance(output, str) and source.rowset.has(output):
                return output
            if isinstance(output, int) and output < len(source.rowset.outputs):
                return source.rowset.outputs[output]
        return None
