"""What is wrong with a query, in a sentence: said from where a right plan and a broken one differ, or from how a query is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vgpt2.datagen.faults.edits import parts
from vgpt2.datagen.faults.fault import Fault
from vgpt2.datagen.plans.plan import COUNT_DISTINCT, ColumnRef, Join, Output, Query, sql_column
from vgpt2.sql.catalogue import Catalogue

_WRITING = {  # none says that something does not exist: the word would be taken for a table's name
    "limit_clause": "in T-SQL the number of rows stands behind SELECT, as TOP",
    "nulls_last": "in T-SQL an order does not say where empty values go",
    "backticks": "T-SQL quotes names with brackets, and a plain name needs nothing",
    "trailing_comma": "a comma stands before FROM",
    "extract": "in T-SQL the year of a date is YEAR(...)",
    "now_function": "in T-SQL the present time is GETDATE()",
    "alias": "a table is given another name; tables are called by their own",
    "aggregate_in_where": "a condition on a total stands in WHERE; it belongs in HAVING",
    "ilike": "in T-SQL text is compared with LIKE or =",
    "double_equals": "SQL compares with one equals sign",
    "double_quoted_text": "text stands in single quotes; double quotes hold a name",
    "boolean_literal": "a flag is compared with 'Y' or 'N', as a text",
    "date_literal": "a date is a text such as '20240301', with nothing before it",
    "double_colon_cast": "in T-SQL the text of the date is enough; two colons convert nothing",
}
DENYING = (  # faults whose diagnosis says that a name does not exist
    *("invented_table", "near_miss_table", "wrong_module_table", "relative_without_column", "invented_column", "misspelt_column"),
    *("column_of_another_table", "invented_filter_column", "column_of_the_other_side", "invented_key", "company_by_another_name"),
    *("company_of_a_shared_master", "table_in_other_case", "column_in_other_case"),
)


def diagnosis(fault: Fault, right: Query, broken: Query | str, catalogue: Catalogue) -> str:
    """One sentence or two, each with a capital and a full stop."""
    if fault.name in _WRITING:
        said = [_WRITING[fault.name]]
    else:
        assert isinstance(broken, Query)
        pairs = zip(parts(right), parts(broken))
        differing = (said for ours, theirs in pairs if (said := list(_differences(ours.query, theirs.query, catalogue))))
        said = next(differing, [fault.teaches])
    return " ".join(_sentence(text) for text in dict.fromkeys(said))


def _differences(right: Query, broken: Query, catalogue: Catalogue) -> Iterator[str]:
    """What differs in one SELECT, leaving out what is inside it; a renamed table says all that follows from it."""
    renamed = [(a, b) for a, b in zip(right.tables, broken.tables) if a != b]
    if renamed:
        yield from (_other_table(a, b, right, catalogue) for a, b in renamed)
        return
    yield from _of_outputs(right, broken, catalogue)
    yield from _of_filters(right, broken, catalogue)
    yield from _of_joins(right, broken, catalogue)
    yield from _of_tests(right, broken)
    yield from _of_groups_and_order(right, broken)
    if right.source.nolock != broken.source.nolock:
        yield f"{right.source.table} is read without WITH (NOLOCK)"


def _other_table(table: str, wrong: str, right: Query, catalogue: Catalogue) -> str:
    if catalogue.views_of(wrong):
        return f"{wrong} is the table behind a view; the view {table} is read"
    found = catalogue.get(wrong)
    if found is None:
        return f"{wrong} does not exist{_in_this_case(wrong, table)}; use {table} instead"
    missing = next((ref.column for ref in _refs(right) if ref.table == table and not found.has(ref.column)), None)
    if missing:
        return f"{wrong}.{missing} does not exist; use {table}.{missing} instead"
    return f"{wrong} holds other rows than the question asks for; they are in {table}"


def _of_outputs(right: Query, broken: Query, catalogue: Catalogue) -> Iterator[str]:
    for ours, theirs in zip(right.outputs, broken.outputs):
        if ours.column != theirs.column and ours.column and theirs.column:
            yield _other_column(ours.column, theirs.column, catalogue)
        elif ours.function != theirs.function:
            yield f"the question asks for {_call(ours)}, not for {_call(theirs)}"
        elif ours.window != theirs.window and ours.window:
            within = ", ".join(map(sql_column, ours.window.partition_by))
            yield f"it begins anew for each {within}, which the window leaves out"


def _other_column(ref: ColumnRef, wrong: ColumnRef, catalogue: Catalogue) -> str:
    table = catalogue.get(wrong.table)
    if table and not table.has(wrong.column):
        return f"{wrong} does not exist{_in_this_case(wrong.column, ref.column)}; use {ref} instead"
    return f"{wrong} is not what is asked for; that is {ref}"


def _of_filters(right: Query, broken: Query, catalogue: Catalogue) -> Iterator[str]:
    if len(right.filters) > len(broken.filters):
        for lost in (f for f in right.filters if f not in broken.filters):
            table = catalogue.get(lost.column.table)
            is_company = table is not None and lost.column.column == table.company_column
            so = ", so the rows of all companies are read" if is_company else ""
            yield f"the condition {sql_column(lost.column)} {lost.operator} {lost.value} is left out{so}"
        return
    for ours, theirs in zip(right.filters, broken.filters):
        if ours.column != theirs.column:
            yield _other_column(ours.column, theirs.column, catalogue)
        elif ours != theirs:
            yield f"the condition on {ours.column} should be {ours.operator} {ours.value}, not {theirs.operator} {theirs.value}"


def _of_joins(right: Query, broken: Query, catalogue: Catalogue) -> Iterator[str]:
    for extra in broken.joins[len(right.joins) :]:
        yield f"the join of {extra.source.table} repeats rows, so that they are counted more than once"
    for ours, theirs in zip(right.joins, broken.joins):
        if ours.source.nolock != theirs.source.nolock:
            yield f"{ours.source.table} is read without WITH (NOLOCK)"
        elif ours.kind != theirs.kind:
            lost = "rows without a match in {} are lost; it takes a LEFT JOIN" if ours.kind == "LEFT JOIN" else _KEPT
            yield lost.format(ours.source.table)
        elif ours.on != theirs.on:
            yield from _other_key(ours, theirs, catalogue)


_KEPT = "rows without a match in {} are kept, although only matched ones are asked for; it takes a JOIN"


def _other_key(right: Join, broken: Join, catalogue: Catalogue) -> Iterator[str]:
    fakes = [ref for pair in broken.on for ref in pair if (o := catalogue.get(ref.table)) and not o.has(ref.column)]
    keys = {ref.table: ref for pair in right.on for ref in pair}
    if fakes:
        yield from (f"{fake} does not exist; use {keys[fake.table]} instead" for fake in fakes)
        return
    lost = [f"{a} = {b}" for a, b in right.on if (a, b) not in broken.on]
    other = [f"{a} = {b}" for a, b in broken.on if (a, b) not in right.on]
    if other:
        yield f"{right.source.table} is joined on {' and '.join(other)}, which is not its key; it takes {' and '.join(lost)}"
    else:
        yield f"the join of {right.source.table} leaves out {' and '.join(lost)}, a part of the key"


def _of_tests(right: Query, broken: Query) -> Iterator[str]:
    for lost in right.exists if len(right.exists) > len(broken.exists) else ():
        if lost not in broken.exists:
            yield f"the test for rows in {lost.query.source.table} is left out"
    if len(right.exists) == len(broken.exists):
        for ours, theirs in zip(right.exists, broken.exists):
            missing = [f"{a} = {b}" for a, b in ours.on if (a, b) not in theirs.on]
            if ours.negated != theirs.negated:
                yield f"the test on {ours.query.source.table} must be {'NOT EXISTS' if ours.negated else 'EXISTS'}"
            elif missing and ours.query.tables == theirs.query.tables:
                yield f"the test on {ours.query.source.table} leaves out {' and '.join(missing)}, a part of the key"


def _of_groups_and_order(right: Query, broken: Query) -> Iterator[str]:
    for ref in right.group_by if len(right.group_by) > len(broken.group_by) else ():
        if ref not in broken.group_by:
            yield f"{ref} stands beside a total and is not in GROUP BY"
    for lost in right.having if len(right.having) > len(broken.having) else ():
        if lost not in broken.having:
            yield f"the condition on groups, {lost.function} {lost.operator} {lost.value}, is left out of HAVING"
    if right.order_by != broken.order_by:
        yield f"the order is the wrong way round: it must be {'descending' if right.order_by[0].descending else 'ascending'}"
    if right.top != broken.top:
        yield f"only the first {right.top} rows are asked for"
    if right.distinct and not broken.distinct:
        yield "each combination is asked for once, so DISTINCT is needed"


def _refs(query: Query) -> Sequence[ColumnRef]:
    return [output.column for output in query.outputs if output.column] + [f.column for f in query.filters]


def _call(output: Output) -> str:
    inner = sql_column(output.column) if output.column else "*"
    if output.function == COUNT_DISTINCT:
        return f"COUNT(DISTINCT {inner})"
    return f"{output.function}({inner})" if output.function else inner


def _in_this_case(wrong: str, right: str) -> str:
    return " in this case" if wrong.casefold() == right.casefold() else ""


def _sentence(text: str) -> str:
    is_name = text.partition(" ")[0] != text.partition(" ")[0].lower() or "." in text.partition(" ")[0]
    return (text if is_name else text[0].upper() + text[1:]) + "."
