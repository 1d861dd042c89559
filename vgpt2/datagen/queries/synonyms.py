"""What rows and columns may be called: by descriptions, by telling names, and by names of the glossary.

A glossary's terms serve retrieval first: many are clauses, or mean some rows of an object only. A term gives synonyms here where it means
one object or column, without a condition, and the description itself uses the term.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vgpt2.datagen.language import english
from vgpt2.datagen.plans.plan import ColumnRef, Filter
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.schema import Column, Object

if TYPE_CHECKING:
    from vgpt2.sql.glossary import Glossary, Term

Pair = tuple[str, str]  # (one row, several rows)
_ONE = re.compile(r":\s*(?:one|each|every)\s+(?P<row>[^,;:()]+?)\s*(?:\(.*)?$")
_TITLE = re.compile(r"\s(?:master|master file|header|parameters)$")
_UNCOUNTABLE = re.compile(
    r"(?:^|\s)(?:equipment|information|material|labor|inventory|staff|stock|data|cash|history|detail|control|money|time|people"
    r"|master|summary|log|completed|machinery|chart)$"
)
_COMPLEMENT = re.compile(
    r"\s(?:of|to|for|by|in|on|at|from|with|that|which|who|being|waiting|stocked|assigned|covered|tied|set|touched|see|received|used|paid)\s.*$"
)
_TAIL = re.compile(r"\s(?:within|of the (?:line|item|row))\s*.*$")
_UNFINISHED = re.compile(r"\b(?:the|a|an|of|in|on|for|to|by|per|with|from|and|or|this)$")
_OTHER = re.compile(  # without its 'number' or 'code' another thing, or none: nobody says 'serial', and a 'tax' is an amount
    r"(?:^|\s)(?:serial|sequence|routing|identification|hold|tax|earnings|reason|insurance|status|rate|cost|revenue|discount|budget|pay)$"
)
_WEAK_ENDS = (" number", " code")
_ALWAYS_PLURAL = ("parameters", "terms", "totals", "settings")
_CLAUSE = re.compile(r"\s(?:who|that|which)\s")
_TELLING = re.compile(r"[A-Za-z][a-z]{3,}")
_ATTRIBUTE = re.compile(r"\w+(?: \w+)? (?:number|date|amount|name|code|type|address|total)")
_LONGEST_TERM = 4  # words
_MOST_TERMS = 4  # of a prompt
_CONDITION = re.compile(
    r"\b(?P<table>\w+)\.\[?(?P<column>[\w#]+)\]? (?P<operator>=|<>|>=|<=|>|<|IS NOT|IS) (?P<value>'[^']*'|-?\d+(?:\.\d+)?|NULL)"
)


class Sayings:
    """Words for the objects and columns of a catalogue, with or without a glossary."""

    def __init__(self, glossary: Glossary | None, catalogue: Catalogue) -> None:
        self._of_objects: dict[str, str] = {}
        self._of_columns: dict[tuple[str, str], tuple[str, ...]] = {}
        self._of_words: dict[str, str] = {}
        self._terms: dict[str, Term] = {}
        self._some_rows: dict[str, list[tuple[Pair, tuple[Filter, ...]]]] = defaultdict(list)
        self._described = {english.gloss(c.description) for o in catalogue.objects.values() for c in o.columns} if glossary else set()
        for term in glossary.terms if glossary else ():
            short = [phrase.casefold() for phrase in term.phrases if len(phrase.split()) <= _LONGEST_TERM]
            self._terms.update((form, term) for phrase in short for form in (phrase, english.plural(phrase)))
            self._read(term, catalogue)

    def rows(self, o: Object) -> list[Pair]:
        """(one, several) rows of the object: what its description is headed by, what it says one row is, synonyms of that."""
        word = self._of_objects.get(o.name)
        return list(dict.fromkeys(row_names(o) + ([(word, english.plural(word))] if word else [])))

    def column(self, o: Object, c: Column) -> tuple[str, ...]:
        """The column's words, the fullest first; empty where its description gives none."""
        found = forms(english.gloss(c.description))
        if not found:
            return ()
        others = list(self._of_columns.get((o.name, c.name), ()))
        changed = [re.sub(rf"\b{word}\b", other, found[0]) for word, other in self._of_words.items() if word in found[0].split()]
        return tuple(dict.fromkeys((*found, *(words for words in (*others, *changed) if words not in self._described))))

    def some_rows(self, table: str) -> list[tuple[Pair, tuple[Filter, ...]]]:
        """(what they are called, what holds for them) of the rows of an object that a term with a condition means."""
        return self._some_rows.get(table, [])

    def terms_in(self, text: str, objects: Sequence[str]) -> list[Term]:
        """Terms that the text uses and that mean one of the objects before all others."""
        words = re.findall(r"[\w'-]+", text.casefold())
        runs = (" ".join(words[at : at + n]) for n in range(_LONGEST_TERM, 0, -1) for at in range(len(words) - n + 1))
        found = {term.name: term for run in runs if (term := self._terms.get(run))}
        shown = set(objects)
        return [term for term in found.values() if term.means[0].object in shown][:_MOST_TERMS]

    def _read(self, term: Term, catalogue: Catalogue) -> None:
        meant = term.means[0]
        o = catalogue.objects[meant.object]
        if term.filter and not term.expression:
            self._read_condition(term, o)
        if term.filter or term.expression or len(term.means) != 1:
            return
        column = o.column(meant.column) if meant.column else None
        described = re.findall(r"\w+", ((column.description if column else o.description) or "").casefold())
        if not set(term.name.casefold().split()) <= set(described):
            return
        if column:
            self._of_columns[o.name, column.name] = tuple(word for word in term.phrases[1:] if _ATTRIBUTE.fullmatch(word))
        elif " " not in term.name and len(term.phrases) > 1 and re.fullmatch("[a-z]+[^s]", term.phrases[1]):
            self._of_objects[o.name] = self._of_words[term.name] = term.phrases[1]  # the first synonym is the usual one

    def _read_condition(self, term: Term, o: Object) -> None:
        """A term such as 'void check' names rows of an object whose description speaks of checks."""
        parts = [_CONDITION.fullmatch(part) for part in (term.filter or "").split(" AND ")]
        head = _COMPLEMENT.sub("", term.name).split()[-1]
        if head in re.findall(r"\w+", (o.description or "").casefold()) and not head.endswith("s"):
            found = [Filter(ColumnRef(p["table"], p["column"]), p["operator"], p["value"]) for p in parts if p and p["table"] == o.name]
            if len(found) == len(parts):
                self._some_rows[o.name].append((_pair(term.name), tuple(found)))


def forms(words: str | None) -> tuple[str, ...]:
    """A column's words and shorter ways to say them: 'vendor number' and 'vendor'."""
    if not words:
        return ()
    shorter = [_TAIL.sub("", words)]
    cut = [form.removesuffix(end) for form in shorter for end in _WEAK_ENDS if form.endswith(end)]
    shorter += [form for form in cut if not _OTHER.search(form)]
    return tuple(dict.fromkeys(form for form in (words, *shorter) if len(form) > 2 and not _UNFINISHED.search(form)))


def spelt(name: str) -> str | None:
    """The words of a telling name: 'customer_name' -> 'customer name', 'AuditSLs' -> 'audit SLs'; None for abbreviations."""
    if not _TELLING.search(name.lower()):
        return None
    parts = re.findall(r"[A-Z]{2,}s?(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return " ".join(part if re.fullmatch(r"[A-Z]{2,}s?", part) and not name.isupper() else part.lower() for part in parts)


def row_names(o: Object) -> list[Pair]:
    """What the description is headed by, also without a title such as 'master'; what it says one row is; a telling name."""
    head, row = english.noun(o.description), _ONE.search(o.description or "")
    said = [head, _TITLE.sub("", head) if head else None, row["row"] if row else None]
    if _TELLING.search(o.name):
        rest = o.name.removeprefix(o.module or "")
        said.append(f"{o.module} {english.spaced(rest)}" if o.module and rest != o.name else english.spaced(o.name))
    return list(dict.fromkeys(_pair(words) for words in said if words and not _CLAUSE.search(words)))


def _pair(row: str) -> Pair:
    """The row in both numbers: 'kind of part' -> 'kinds of part'; 'record of money received' where the noun has no plural."""
    core = _COMPLEMENT.sub("", row)
    if core.endswith("s"):
        if " and " in row or (row != core and not core.endswith(_ALWAYS_PLURAL)):
            return f"record of {row}", row
        return _singular(row) if row == core else row, row
    if _UNCOUNTABLE.search(core):
        return f"{row} record" if row == core else f"record of {row}", f"{row} records" if row == core else f"records of {row}"
    both = " or ".join(english.plural(part) for part in core.split(" or "))
    return row, both + row.removeprefix(core)


def _singular(row: str) -> str:
    if row.endswith(_ALWAYS_PLURAL):
        return row
    if row.endswith("ies"):
        return row[:-3] + "y"
    return row.removesuffix("es") if row.endswith(("sses", "xes", "ches", "shes")) else row.removesuffix("s")


def namesakes(objects: Iterable[Object]) -> list[tuple[Pair, tuple[str, ...]]]:
    """((one, several), names) of objects that two or three modules call alike, with the module left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for o in objects:
        called, module = english.noun(o.description), f"{o.module} "
        if o.module and called and called.startswith(module):
            found[called.removeprefix(module)].append(o.name)
    return [(_pair(one), tuple(names)) for one, names in found.items() if len(names) in (2, 3)]
