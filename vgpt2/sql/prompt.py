"""The schema part of a prompt, one text for training, judging and answering: objects, whole-key joins, and glossary terms that apply.

APTH key(APCo, Mth, APTrans): AP transaction header: one posted vendor invoice
  APCo tinyint key - AP company
  ...
JOIN APTL TO APTH ON APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth AND APTL.APTrans = APTH.APTrans
TERM unpaid vendor invoice: APTH.OpenYN; WHERE APTH.OpenYN = 'Y'
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.glossary import Term
from vgpt2.sql.render import estimate_tokens, join_lines, render_compact, render_create_table
from vgpt2.sql.retrieve import Found
from vgpt2.sql.schema import Object

Form = Literal["compact", "create_table"]
_RENDER = {"compact": render_compact, "create_table": render_create_table}
_COMMENT = {"compact": "", "create_table": "-- "}


def schema_prompt(
    objects: Sequence[Object],
    catalogue: Catalogue,
    *,
    form: Form = "compact",
    columns: Mapping[str, Collection[str]] | None = None,
    wanted: Mapping[str, Sequence[str]] | None = None,
    terms: Sequence[Term] = (),
    max_tokens: int | None = None,
    count_tokens: Callable[[str], int] = estimate_tokens,
) -> str:
    """The objects in their order with the joins between them and the terms that speak of them.

    `columns` shows these and the fixed ones only; `wanted` ranks what is pruned last when the text must fit `max_tokens`. Key, company and
    group columns, joins and terms are never pruned, so that a small budget may be exceeded.
    """
    facts = [*join_lines(catalogue, objects), *_term_lines(terms, objects)]
    tail = "".join(f"\n{_COMMENT[form]}{line}" for line in facts)
    budget = None if max_tokens is None else max_tokens - count_tokens(tail)
    return _RENDER[form](objects, max_tokens=budget, columns=columns, wanted=wanted, count_tokens=count_tokens) + tail


def question_prompt(
    found: Found,
    catalogue: Catalogue,
    *,
    form: Form = "compact",
    max_tokens: int,
    count_tokens: Callable[[str], int] = estimate_tokens,
) -> str:
    """The schema prompt for what was found: as many objects, best first, as `max_tokens` holds with their fixed columns; at least one."""
    terms = [hit.term for hit in found.terms]
    objects = [catalogue.objects[name] for name in found.names]

    def text(n: int, budget: int) -> str:
        return schema_prompt(
            objects[:n], catalogue, form=form, wanted=found.wanted, terms=terms, max_tokens=budget, count_tokens=count_tokens
        )

    fitting = next((n for n in range(len(objects), 1, -1) if count_tokens(text(n, 0)) <= max_tokens), 1)
    return text(fitting, max_tokens)


def _term_lines(terms: Sequence[Term], shown: Sequence[Object]) -> list[str]:
    """'TERM name: APTH.OpenYN; WHERE APTH.OpenYN = 'Y'', one for each term that means a shown object."""
    names = {o.name for o in shown}
    lines = []
    for term in terms:
        means = [meaning for meaning in term.means if meaning.object in names]
        if not means:
            continue
        is_whole = means[0] == term.means[0]  # conditions stand on the term's first object
        parts = [
            ", ".join(map(str, means)),
            f"WHERE {term.filter}" if term.filter and is_whole else "",
            f"= {term.expression}" if term.expression and is_whole else "",
            term.note or "",
        ]
        lines.append(f"TERM {term.name}: {'; '.join(filter(None, parts))}")
    return lines
