"""What questions may ask of each object, in which words: roles of columns, synonyms, keys to others.

Words come from the catalogue's descriptions and from the glossary; an object that has neither is called by its own name's words.
Everything is worked out once an object, when it is first asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING

from vgpt2.datagen.language import english
from vgpt2.datagen.names.sides import Side
from vgpt2.datagen.plans.conditions import DATES, FREE_TEXT, codes, is_month, owner_column, summable
from vgpt2.datagen.plans.plan import ColumnRef
from vgpt2.datagen.queries import synonyms
from vgpt2.datagen.queries.synonyms import Sayings
from vgpt2.sql.retrieve import Retriever
from vgpt2.sql.schema import ForeignKey, Object

if TYPE_CHECKING:
    from vgpt2.sql.glossary import Glossary

_YES_OR_NO = re.compile(r"YN$|Flag$|^(?:Is|Has|Use)[A-Z]")
_TEXTS = frozenset(("varchar", "nvarchar"))
_QUANTITY = re.compile(r"\bdays\b|\bnumber of\b|\bcount of\b|\bmonths to\b")  # whole numbers that nobody groups by
_COMMON_WORDS = re.compile(
    r"number|code|amount|date|type|total|name|with|from|this|that|last|first|default|used|month|status|group|company"
)


@dataclass(frozen=True)
class Table:
    """One object as questions see it: columns by what may be done with them, in the object's order."""

    object: Object
    owner: str | None  # whose rows they are: the company, or the group of a shared master
    words: dict[str, tuple[str, ...]]  # what each column may be called, the fullest first; columns without words are absent
    things: tuple[tuple[str, str], ...]  # what one row and several rows are called
    amounts: tuple[str, ...]
    codes: tuple[str, ...]
    dates: tuple[str, ...]
    months: tuple[str, ...]
    flags: dict[str, str]  # the clause that a Y says
    texts: tuple[str, ...]
    gaps: tuple[str, ...]  # columns that may be empty

    @property
    def name(self) -> str:
        return self.object.name

    @property
    def key(self) -> tuple[str, ...]:
        return self.object.business_key

    def ref(self, column: str) -> ColumnRef:
        return ColumnRef(self.name, column)

    def in_order(self, columns: Iterable[str]) -> tuple[ColumnRef, ...]:
        chosen = set(columns)
        return tuple(ColumnRef(self.name, name) for name in self.object.column_names if name in chosen)


class Lexicon:
    """The tables of one side; see the module's docstring."""

    def __init__(self, side: Side, glossary: Glossary | None = None) -> None:
        self.side = side
        self.catalogue = side.catalogue
        self.sayings = Sayings(glossary, side.catalogue)
        self._glossary = glossary
        self._tables: dict[str, Table] = {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Objects that can be asked for rows: more than two columns, and a plain FROM."""
        return tuple(o.name for o in self.side.schema_objects() if len(o.columns) > 2)

    @cached_property
    def of_many(self) -> tuple[str, ...]:
        """Those with more than one row for each company; all of them where there is no such object."""
        objects = self.catalogue.objects
        return tuple(name for name in self.names if objects[name].business_key != (self.table(name).owner,)) or self.names

    def table(self, name: str) -> Table:
        if name not in self._tables:
            self._tables[name] = self._read(self.catalogue.objects[name])
        return self._tables[name]

    def words(self, ref: ColumnRef) -> tuple[str, ...]:
        return self.table(ref.table).words.get(ref.column, ())

    @cached_property
    def parents(self) -> dict[str, list[ForeignKey]]:
        """Whole keys from an object to what its rows belong to or name."""
        return _grouped(self.side.joinable_keys, lambda key: key.from_object)

    @cached_property
    def children(self) -> dict[str, list[ForeignKey]]:
        return _grouped(self.side.joinable_keys, lambda key: key.to_object)

    @cached_property
    def lines(self) -> dict[str, list[ForeignKey]]:
        """Keys that lead from lines to the object as their header, where the header says whose rows they are."""
        objects = self.catalogue.objects
        return _grouped(
            (key for key in self.side.line_keys if objects[key.to_object].company_column or not objects[key.from_object].company_column),
            lambda key: key.to_object,
        )

    def neighbours(self, name: str) -> list[str]:
        """Objects that look like `name` or stand near it, nearest first: its family, what its keys lead to, names like its own."""
        if name not in self._near:
            catalogue = self.catalogue
            found = list(catalogue.family(name)) + catalogue.nearest(name, 6)
            found += [key.to_object for key in catalogue.parents(name)] + [key.from_object for key in catalogue.children(name)]
            found += catalogue.modules.get(catalogue.objects[name].module or "", ())
            known = self.side.schema_names
            self._near[name] = [other for other in dict.fromkeys(found) if other in known and other != name]
        return self._near[name]

    @cached_property
    def retriever(self) -> Retriever:
        """Finds objects for a question over the whole catalogue, as the assistant does."""
        return Retriever(self.catalogue, self._glossary)

    @cached_property
    def namesakes(self) -> list[tuple[tuple[str, str], tuple[str, ...]]]:
        """((one row, several), objects) where two or three modules call an object alike."""
        return synonyms.namesakes(self.side.schema_objects())

    def absent_words(self, tables: Sequence[str], rng: Random, *, like: ColumnRef) -> str | None:
        """Words for data of other objects, of which `tables` hold nothing: no telling word occurs there or could be abbreviated.

        An amount stands for an amount and a date for a date, so that the question still makes sense.
        """
        role = _role(self.table(like.table), like.column)
        described = " ".join(self._described(name) for name in tables)
        parts = {part for name in tables for part in self._parts(name)}
        for _ in range(24):
            table = self.table(rng.choice(self.names))
            pool = [forms[0] for name, forms in table.words.items() if _role(table, name) == role]
            words = rng.choice(pool) if pool else ""
            telling = [w for w in words.casefold().split() if len(w) > 3 and not _COMMON_WORDS.fullmatch(w)]
            if telling and not any(w[:5] in described or any(english.abbreviates(part, w) for part in parts) for w in telling):
                return words
        return None

    @cached_property
    def _near(self) -> dict[str, list[str]]:
        return {}

    @cached_property
    def _texts(self) -> dict[str, tuple[str, frozenset[str]]]:
        return {}

    def _described(self, name: str) -> str:
        return self._seen(name)[0]

    def _parts(self, name: str) -> frozenset[str]:
        return self._seen(name)[1]

    def _seen(self, name: str) -> tuple[str, frozenset[str]]:
        """(all descriptions of an object's columns, the parts of their names)."""
        if name not in self._texts:
            columns = self.catalogue.objects[name].columns
            parts = frozenset(part for c in columns for part in english.spaced(c.name).split() if len(part) > 1)
            self._texts[name] = " ".join(c.description or "" for c in columns).casefold(), parts
        return self._texts[name]

    @cached_property
    def _row_names(self) -> Counter[str]:
        """How many objects a row name could stand for."""
        return Counter(plural for o in self.side.schema_objects() for _, plural in self.sayings.rows(o))

    def _read(self, o: Object) -> Table:
        words = self._column_words(o)
        months = tuple(c.name for c in o.columns if is_month(c) and (c.name in words or not c.description))
        described = len(words) >= 5
        usable = [c for c in o.columns if (c.name in words or not described) and not english.is_housekeeping(c.description)]
        owner = owner_column(o)
        flags = {c.name: clause for c in o.columns if c.length == 1 and c.type == "char" and (clause := english.flag_clause(c.description))}
        coded = [name for name in codes(self.catalogue, o) if name not in months and name not in flags and not _YES_OR_NO.search(name)]
        return Table(
            object=o,
            owner=owner,
            words=words,
            things=tuple(pair for pair in self.sayings.rows(o) if self._row_names[pair[1]] == 1) or ((f"{o.name} row", f"{o.name} rows"),),
            amounts=tuple(summable(o)),
            codes=tuple(name for name in coded if not _QUANTITY.search(words.get(name, (name,))[0])),
            dates=tuple(c.name for c in usable if c.type in DATES and not is_month(c)),
            months=months,
            flags=flags,
            texts=tuple(c.name for c in usable if c.type in _TEXTS and FREE_TEXT.search(words.get(c.name, (c.name,))[0] + c.name)),
            gaps=tuple(c.name for c in usable if c.nullable and c.name not in o.business_key and c.name != owner),
        )

    def _column_words(self, o: Object) -> dict[str, tuple[str, ...]]:
        """Names in words that no two columns of the object share."""
        found = {c.name: self.sayings.column(o, c) for c in o.columns}
        if sum(map(bool, found.values())) < 5:
            telling = [c for c in o.columns if not (c.type == "char" and c.length == 1) and not _YES_OR_NO.search(c.name)]
            plain = [c for c in telling if not c.identity and not english.is_housekeeping(c.description)]
            found |= {c.name: found[c.name] or synonyms.forms(synonyms.spelt(c.name)) for c in plain}
        counts = Counter(form.casefold() for forms in found.values() for form in forms)
        kept = {name: tuple(form for form in forms if counts[form.casefold()] == 1) for name, forms in found.items()}
        return {name: forms for name, forms in kept.items() if forms and forms[0] == found[name][0]}


def _role(table: Table, column: str) -> str:
    return "amount" if column in table.amounts else "date" if column in (*table.dates, *table.months) else "other"


def _grouped(keys: Iterable[ForeignKey], by: Callable[[ForeignKey], str]) -> dict[str, list[ForeignKey]]:
    groups: dict[str, list[ForeignKey]] = {}
    for key in keys:
        groups.setdefault(by(key), []).append(key)
    return groups
