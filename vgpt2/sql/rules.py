"""The rules of a house, which valid SQL must keep to besides: functions from a bound text to problems. RULES is all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vgpt2.sql.binding import Binding, Problem, Source
from vgpt2.sql.functions import function_problems
from vgpt2.sql.grouping import grouping_problems
from vgpt2.sql.keys import Equalities, incomplete_joins, missing_company_filters
from vgpt2.sql.ruleset import RuleSet

Rule = Callable[[Binding, RuleSet], Iterator[Problem]]


def missing_nolock(b: Binding, rules: RuleSet) -> Iterator[Problem]:
    """Tables and views that a SELECT reads without the hint; CTEs, derived tables, #temp tables and functions need none."""
    for source in _read_objects(b):
        if source.table is not None and not source.table.hints & rules.nolock_hints:
            name = source.table.name.text
            hint = min(rules.nolock_hints, default="NOLOCK")
            yield Problem("missing_nolock", source.pos, name, f"'{name}' is read without WITH ({hint})", f"{name} WITH ({hint})")


def table_aliases(b: Binding, rules: RuleSet) -> Iterator[Problem]:
    """Aliases of tables that are read once; a self-join needs them, also when its other side is in a sub-query."""
    for source in _read_objects(b):
        if source.is_aliased and source.table_name != source.name and not _has_twin(b, source):
            yield Problem("alias", source.pos, source.name, f"'{source.table_name}' has the alias '{source.name}'", source.table_name)


def base_tables(b: Binding, rules: RuleSet) -> Iterator[Problem]:
    """Tables that are read although a view shows them: bAPTH where APTH exists."""
    for source in _read_objects(b):
        name = source.table_name or ""
        views = b.catalogue.views_of(name)
        if views:
            yield Problem("base_table", source.pos, name, f"'{name}' is a base table; read the view", views[0])


def key_rules(b: Binding, rules: RuleSet) -> Iterator[Problem]:
    """Joins on part of a key, and driving tables without a filter on their company: both follow from the columns the text equates."""
    equalities = Equalities(b)
    yield from incomplete_joins(b, equalities, rules.company_masters)
    yield from missing_company_filters(b, equalities, rules.company_masters)


def functions(b: Binding, rules: RuleSet) -> Iterator[Problem]:
    return function_problems(b)


def grouping(b: Binding, rules: RuleSet) -> Iterator[Problem]:
    return grouping_problems(b)


RULES: tuple[Rule, ...] = (missing_nolock, table_aliases, base_tables, key_rules, functions, grouping)


def _read_objects(b: Binding) -> Iterator[Source]:
    """Every place where a SELECT reads an object of the catalogue."""
    for bound in b.selects:
        for source in bound.scope.sources:
            if source.object is not None:
                yield source


def _has_twin(b: Binding, source: Source) -> bool:
    """Whether the same object is read again where the two could be confused: in one SELECT, or in one around the other."""
    for bound in b.selects:
        visible = [other for level in bound.scope.chain() for other in level.sources]
        if source in visible and any(other is not source and other.object is source.object for other in visible):
            return True
    return False
