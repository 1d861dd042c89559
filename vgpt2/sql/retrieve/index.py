"""The objects of a catalogue as a full-text index in memory: SQLite FTS5, ranked by BM25.

A table and the views that show it are one document under the view that bears its name; so are views that differ only in a prefix or a
suffix of their form (brvX, vrvX, XGrid), under the plainest of them.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.glossary import Glossary
from vgpt2.sql.retrieve.words import split_name
from vgpt2.sql.schema import Object

FIELDS = ("name", "module", "description", "terms", "columns")
# a term of the glossary says more than a name, and one of a hundred columns least
WEIGHTS: Mapping[str, float] = {"name": 3.0, "module": 1.0, "description": 4.0, "terms": 4.0, "columns": 0.6}
_FORM_PREFIX = re.compile(r"^[a-z]{1,3}(?=[A-Z])")
_FORM_SUFFIX = re.compile(r"(?<=[A-Za-z])(Grid|Lookup|Shared|DD|\d)$")


@dataclass(frozen=True)
class Group:
    """Objects that show the same rows: `name` stands for them."""

    name: str
    members: tuple[str, ...]


def groups(catalogue: Catalogue) -> list[Group]:
    """Every object in one group, in the catalogue's order of their names."""
    by_form: dict[str, list[Object]] = defaultdict(list)
    for o in catalogue.objects.values():
        by_form[_form(o, catalogue)].append(o)
    found = []
    for members in by_form.values():
        ranked = sorted(members, key=lambda o: _plainness(o, catalogue))
        found.append(Group(ranked[0].name, tuple(o.name for o in ranked)))
    return found


def _form(o: Object, catalogue: Catalogue) -> str:
    """What the names of a group have in common: the table, or the view's name without the marks of its form."""
    base = catalogue.base_of(o.name)
    if base != o.name:
        return base
    if o.kind == "table":
        return o.name
    plain = _FORM_SUFFIX.sub("", _FORM_PREFIX.sub("", o.name))
    shown = catalogue.get(plain)
    return catalogue.base_of(plain) if shown and plain != o.name else plain


def _plainness(o: Object, catalogue: Catalogue) -> tuple[bool, bool, bool, int, str]:
    """Views first, the one that bears its table's name at their head, then those without marks of their form, the shortest."""
    bears_the_name = bool(o.base_table) and catalogue.views_of(o.base_table or "")[:1] == (o.name,)
    return o.kind != "view", not bears_the_name, not o.business_key, len(o.name), o.name


class Index:
    """Groups by the words of their names, modules, descriptions, glossary terms and columns."""

    def __init__(self, catalogue: Catalogue, glossary: Glossary, fields: Sequence[str] = FIELDS) -> None:
        self._weights = [WEIGHTS[field] if field in fields else 0.0 for field in FIELDS]
        self.groups = groups(catalogue)
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute(
            "CREATE VIRTUAL TABLE texts USING fts5(name, module, description, terms, columns, content = '', tokenize = 'porter unicode61')"
        )
        documents = _documents(catalogue, glossary, self.groups, fields)
        insert = "INSERT INTO texts(rowid, name, module, description, terms, columns) VALUES (?, ?, ?, ?, ?, ?)"
        self._db.executemany(insert, ((i, *document) for i, document in enumerate(documents)))

    def search(self, words: Sequence[str], limit: int) -> list[tuple[str, float]]:
        """At most `limit` groups with any of the words, best first, with their BM25 score (higher is better)."""
        if not words:
            return []
        any_word = " OR ".join(f'"{word}"' for word in words)  # quoted words are no operators of the query language
        select = "SELECT rowid, -bm25(texts, ?, ?, ?, ?, ?) AS score FROM texts WHERE texts MATCH ? ORDER BY score DESC, rowid LIMIT ?"
        rows = self._db.execute(select, (*self._weights, any_word, limit))
        return [(self.groups[i].name, score) for i, score in rows]


def _documents(
    catalogue: Catalogue, glossary: Glossary, found: Iterable[Group], fields: Sequence[str]
) -> Iterable[tuple[str, str, str, str, str]]:
    terms = _terms_by_object(glossary)
    for group in found:
        members = [catalogue.objects[name] for name in group.members]
        o = members[0]
        texts = {
            "name": " ".join([*group.members, *split_name(o.name, glossary.abbreviations)]),
            "module": " ".join([o.module or "", *glossary.modules.get(o.module or "", ())]),
            "description": " ".join({member.description: None for member in members if member.description}),
            "terms": " ".join(phrase for member in members for phrase in terms.get(member.name, ())),
            "columns": " ".join(_column_words(o, glossary)),
        }
        yield tuple(texts[field] if field in fields else "" for field in FIELDS)  # type: ignore[misc]


def _terms_by_object(glossary: Glossary) -> dict[str, list[str]]:
    terms: dict[str, list[str]] = defaultdict(list)
    for term in (*glossary.terms, *glossary.sayings):
        for name in {meaning.object: None for meaning in term.means}:
            terms[name] += (*term.phrases, *term.says)
    return terms


def _column_words(o: Object, glossary: Glossary) -> Iterable[str]:
    for column in o.columns:
        yield from split_name(column.name, glossary.abbreviations)
        if column.description:
            yield column.description
