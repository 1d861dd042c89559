"""Schema text for a prompt: CREATE TABLE statements, or one compact line a column; both within a budget of tokens.

Key, company and group columns are never pruned. The other columns go from the end of each object, unless the caller ranks them:
`wanted` gives columns by object, the most relevant first; `columns` shows these and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from vgpt2.sql.catalogue import Catalogue, Column, Object


def estimate_tokens(text: str) -> int:
    """A tokenizer-free estimate for schema text: three characters a token, which common BPE vocabularies reach on it."""
    return (len(text) + 2) // 3


def render_create_table(
    objects: Iterable[Object],
    *,
    max_tokens: int | None = None,
    columns: Mapping[str, Collection[str]] | None = None,
    wanted: Mapping[str, Sequence[str]] | None = None,
    count_tokens: Callable[[str], int] = estimate_tokens,
) -> str:
    """CREATE TABLE text of the objects, views too, with the business key as PRIMARY KEY; columns are pruned until it fits `max_tokens`.

    What is left out is said in a comment.
    """
    return _fit(list(objects), _create_table, max_tokens, columns, wanted or {}, count_tokens)


def render_compact(
    objects: Iterable[Object],
    *,
    catalogue: Catalogue | None = None,
    max_tokens: int | None = None,
    columns: Mapping[str, Collection[str]] | None = None,
    wanted: Mapping[str, Sequence[str]] | None = None,
    count_tokens: Callable[[str], int] = estimate_tokens,
) -> str:
    """One line an object, one a column (name, type, key mark, meaning); given the catalogue, also one a whole-key join between them."""
    chosen = list(objects)
    joins = "".join(f"\n{line}" for line in join_lines(catalogue, chosen)) if catalogue else ""
    budget = None if max_tokens is None else max_tokens - count_tokens(joins)
    return _fit(chosen, _compact, budget, columns, wanted or {}, count_tokens) + joins


def join_lines(catalogue: Catalogue, objects: Sequence[Object]) -> list[str]:
    """Whole-key joins between the objects: 'JOIN APTL TO APTH ON APTL.APCo = APTH.APCo AND ...', one for each foreign key."""
    lines = []
    for i, a in enumerate(objects):
        for b in objects[i + 1 :]:
            for key in catalogue.joins(a.name, b.name):
                condition = " AND ".join(f"{key.from_object}.{_quoted(c)} = {key.to_object}.{_quoted(p)}" for c, p in key.pairs)
                lines.append(f"JOIN {key.from_object} TO {key.to_object} ON {condition}")
    return lines


def _fit(
    objects: list[Object],
    form: Callable[[Object, Sequence[Column]], str],
    max_tokens: int | None,
    columns: Mapping[str, Collection[str]] | None,
    wanted: Mapping[str, Sequence[str]],
    count_tokens: Callable[[str], int],
) -> str:
    """The widest text within the budget: the fixed columns and as many of the others as it holds, in the order of their relevance."""
    others = _by_relevance(objects, columns, wanted)

    def text(n: int) -> str:
        kept = set(others[:n])
        return "\n".join(form(o, [c for c in o.columns if c.name in _fixed(o) or (i, c.name) in kept]) for i, o in enumerate(objects))

    whole = text(len(others))
    if max_tokens is None or count_tokens(whole) <= max_tokens:
        return whole
    low, high = 0, len(others)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count_tokens(text(middle)) <= max_tokens else (low, middle - 1)
    return text(low)


def _by_relevance(
    objects: Sequence[Object], columns: Mapping[str, Collection[str]] | None, wanted: Mapping[str, Sequence[str]]
) -> list[tuple[int, str]]:
    """(object, column) of all that may be pruned: wanted ones first, as ranked, then the others in turns, one of each object."""
    ranked = []
    for i, o in enumerate(objects):
        rank = {name: position for position, name in enumerate(wanted.get(o.name, ()))}
        free = [c.name for c in o.columns if c.name not in _fixed(o) and (columns is None or c.name in columns.get(o.name, ()))]
        ranked += [((name not in rank, rank.get(name, position)), i, name) for position, name in enumerate(free)]
    return [(i, name) for _, i, name in sorted(ranked, key=lambda row: row[:2])]


def _fixed(o: Object) -> set[str | None]:
    return {*o.business_key, *o.group_columns, o.company_column}


def _create_table(o: Object, columns: Sequence[Column]) -> str:
    lines = [f"  {_quoted(c.name)} {c.type_text or 'sql_variant'}{'' if c.nullable else ' NOT NULL'}" for c in columns]
    if o.business_key:
        lines.append(f"  PRIMARY KEY ({', '.join(map(_quoted, o.business_key))})")
    body = ",\n".join(lines)
    head = f"-- {o.description}\n" if o.description else ""
    return f"{head}CREATE TABLE {_quoted(o.name)} (\n{body}\n);{_left_out(o, columns, '  -- ')}"


def _compact(o: Object, columns: Sequence[Column]) -> str:
    key = f" key({', '.join(o.business_key)})" if o.business_key else ""
    head = f"{o.name}{key}{f': {o.description}' if o.description else ''}"
    lines = [_compact_column(o, c) for c in columns]
    return "\n".join([head, *lines]) + _left_out(o, columns, "\n  ")


def _compact_column(o: Object, c: Column) -> str:
    marks = [" key" if c.name in o.business_key else "", f" - {c.description}" if c.description else ""]
    return f"  {_quoted(c.name)} {c.type_text or '?'}{''.join(marks)}"


def _left_out(o: Object, columns: Sequence[Column], lead: str) -> str:
    n = len(o.columns) - len(columns)
    return f"{lead}{n} more column{'s' if n > 1 else ''}" if n else ""


def _quoted(name: str) -> str:
    """The name as T-SQL needs it: in brackets unless it is a plain word."""
    return name if name.replace("_", "a").isalnum() and not name[0].isdigit() else f"[{name.replace(']', ']]')}]"
