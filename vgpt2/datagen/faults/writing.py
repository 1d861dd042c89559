"""Faults of writing: the hint, aliases, case, and the dialects of other databases. What is asked for is right, how it is said is not."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

from vgpt2.datagen.faults.edits import (
    Apply,
    Part,
    free_outputs,
    objects,
    on_any_part,
    owner_of,
    parts,
    with_filter,
    with_join,
    with_output,
    with_table,
)
from vgpt2.datagen.faults.fault import Fault, fault
from vgpt2.datagen.language import english
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.plan import ColumnRef, Filter, Query, render_sql, sql_name

_MARK = "Zz9Mark"  # a plain word that no database uses: it stands in a plan where the text is to be changed
_DATE = re.compile(r"'(\d{4})(\d\d)(\d\d)'")
_TEXT = re.compile(r"'[^']*'")
_WORD = re.compile(r"'([A-Za-z]\w*)'")
_YES = re.compile(r"'Y'")


def missing_nolock(part: Part, side: Side, rng: Random) -> Query | None:
    """One table read without its hint."""
    places = [at for at, _ in objects(part, side)]
    if not places:
        return None
    at = places[rng.randrange(len(places))]
    if at == 0:
        return replace(part.query, source=replace(part.query.source, nolock=False))
    join = part.query.joins[at - 1]
    return with_join(part.query, at - 1, replace(join, source=replace(join.source, nolock=False)))


def alias(query: Query, side: Side, rng: Random) -> str | None:
    """One table under a letter or two."""
    places = [(part, at, o.name) for part in parts(query) for at, o in objects(part, side)]
    if not places:
        return None
    part, at, name = rng.choice(places)
    short = rng.choice((name[0].lower(), "".join(c for c in name if c.isupper()).lower() or name[:2].lower(), "t"))
    marked = render_sql(part.put(with_table(part.query, at, _MARK)))
    source = re.compile(rf"(?<=FROM |JOIN ){_MARK}\b")
    return source.sub(f"{sql_name(name)} {_unreserved(short)}", marked, count=1).replace(_MARK, _unreserved(short))


def table_in_other_case(part: Part, side: Side, rng: Random) -> Query | None:
    """A table in small letters, as if names were not case sensitive."""
    places = [(at, _other_case(o.name)) for at, o in objects(part, side) if not side.catalogue.has(_other_case(o.name))]
    return with_table(part.query, *rng.choice(places)) if places else None


def column_in_other_case(part: Part, side: Side, rng: Random) -> Query | None:
    """A column in small letters."""
    places = []
    for at in free_outputs(part):
        ref = part.query.outputs[at].column
        table = owner_of(ref, side) if ref else None
        if ref and table and not table.has(_other_case(ref.column)):
            places.append((at, replace(ref, column=_other_case(ref.column))))
    if not places:
        return None
    at, ref = rng.choice(places)
    return with_output(part, at, replace(part.query.outputs[at], column=ref))


def limit_clause(query: Query, side: Side, rng: Random) -> str | None:
    """LIMIT at the end for TOP at the head."""
    return f"{render_sql(replace(query, top=None))}\nLIMIT {query.top}" if query.top else None


def nulls_last(query: Query, side: Side, rng: Random) -> str | None:
    """An order that says where NULLs go."""
    return f"{render_sql(query)} NULLS LAST" if query.order_by else None


def backticks(query: Query, side: Side, rng: Random) -> str | None:
    """A column in backticks, as MySQL quotes names."""
    return _with_column_written(query, side, rng, "`{}`")


def trailing_comma(query: Query, side: Side, rng: Random) -> str:
    """A comma before FROM."""
    part = rng.choice([part for part in parts(query) if part.role != "test"])
    marked = replace(part.query, source=replace(part.query.source, table=_MARK))
    return re.sub(rf"\n( *)FROM {_MARK}\b", rf",\n\1FROM {sql_name(part.query.source.table)}", render_sql(part.put(marked)))


def extract(query: Query, side: Side, rng: Random) -> str | None:
    """EXTRACT(YEAR FROM x) for YEAR(x)."""
    found = [output for part in parts(query) if part.role != "test" for output in part.query.outputs if output.function == "YEAR"]
    if not found:
        return None
    return re.sub(r"\bYEAR\(([^()]+)\)", r"EXTRACT(YEAR FROM \1)", render_sql(query), count=1)


def now_function(query: Query, side: Side, rng: Random) -> str | None:
    """NOW() for GETDATE()."""
    text = render_sql(query)
    return text.replace("GETDATE()", "NOW()", 1) if "GETDATE()" in text else None


def ilike(part: Part, side: Side, rng: Random) -> Query | None:
    """ILIKE for LIKE, or for equality with a text."""
    places = [at for at, f in enumerate(part.query.filters) if f.operator == "LIKE" or _is_text(f)]
    if not places:
        return None
    at = rng.choice(places)
    return with_filter(part.query, at, replace(part.query.filters[at], operator="ILIKE"))


def double_equals(part: Part, side: Side, rng: Random) -> Query | None:
    """== as in programs."""
    places = [at for at, f in enumerate(part.query.filters) if f.operator == "="]
    if not places:
        return None
    at = rng.choice(places)
    return with_filter(part.query, at, replace(part.query.filters[at], operator="=="))


def _value_written(form: str, pattern: re.Pattern[str]) -> Apply:
    """One literal of a condition written as another database would."""

    def change(part: Part, side: Side, rng: Random) -> Query | None:
        places = [at for at, f in enumerate(part.query.filters) if pattern.fullmatch(f.value)]
        if not places:
            return None
        at = rng.choice(places)
        found = part.query.filters[at]
        return with_filter(part.query, at, replace(found, value=pattern.sub(form, found.value)))

    return on_any_part(change)


def _with_column_written(query: Query, side: Side, rng: Random, form: str) -> str | None:
    places = []
    for part in parts(query):
        for at in free_outputs(part):
            ref = part.query.outputs[at].column
            if ref and owner_of(ref, side):
                places.append((part, at, ref))
    if not places:
        return None
    part, at, ref = rng.choice(places)
    marked = with_output(part, at, replace(part.query.outputs[at], column=ColumnRef(ref.table, _MARK)))
    return render_sql(part.put(marked)).replace(_MARK, form.format(ref.column), 1)


def _is_text(found: Filter) -> bool:
    return found.operator == "=" and bool(_TEXT.fullmatch(found.value)) and not _DATE.fullmatch(found.value)


def _other_case(name: str) -> str:
    return name.lower() if name.lower() != name else name.capitalize()


def _unreserved(short: str) -> str:
    return short if english.is_plain(short) else "t"


FAULTS = (
    fault("missing_nolock", missing_nolock, "missing_nolock", teaches="every table is read WITH (NOLOCK)"),
    Fault("alias", "a table is called by its own name", ("alias",), alias),
    fault("table_in_other_case", table_in_other_case, "case", teaches="table names are case sensitive"),
    fault("column_in_other_case", column_in_other_case, "case", teaches="column names are case sensitive"),
    Fault("limit_clause", "T-SQL has TOP at the head and no LIMIT at the end", ("syntax",), limit_clause),
    Fault("nulls_last", "T-SQL has no NULLS LAST", ("syntax",), nulls_last),
    Fault("backticks", "T-SQL quotes names with brackets, and plain names not at all", ("syntax",), backticks),
    Fault("trailing_comma", "no comma stands before FROM", ("syntax",), trailing_comma),
    Fault("extract", "T-SQL has YEAR(x), not EXTRACT", ("syntax",), extract),
    Fault("now_function", "the present time is GETDATE()", (), now_function, warnings=("unknown_function",)),
    fault("ilike", ilike, "syntax", teaches="T-SQL has LIKE and no ILIKE"),
    fault("double_equals", double_equals, "syntax", teaches="SQL compares with a single ="),
    Fault("double_quoted_text", "double quotes hold names, not text", ("unknown_column",), _value_written(r'"\1"', _WORD)),
    Fault("boolean_literal", "flags are 'Y' and 'N': T-SQL has no TRUE", ("unknown_column",), _value_written("TRUE", _YES)),
    Fault("date_literal", "a date is a text such as '20240301'", ("syntax",), _value_written(r"DATE '\1-\2-\3'", _DATE)),
    Fault("double_colon_cast", "T-SQL converts with CAST", ("syntax",), _value_written(r"'\1-\2-\3'::date", _DATE)),
)
