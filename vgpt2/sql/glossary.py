"""A house's words for its data: terms with their synonyms, and the objects, columns and conditions they stand for.

The glossary is a YAML file beside a catalogue that its users edit:

    modules: {AP: [accounts payable, payables]}      # words of a module, given to its objects
    abbreviations: {inv: invoice}                    # parts of names written out
    background: ['viDim_*']                          # objects that seldom answer a question: ranked last
    terms:
      unpaid vendor invoice:
        synonyms: [open payable]                     # other names of it
        says: [do we still have to pay]              # what people say when they mean it; for finding only, never shown
        means: [APTH.OpenYN, APTD]                   # OBJECT or OBJECT.Column, the best first
        filter: APTH.OpenYN = 'Y'                    # a condition on the first object
        note: shown beside the term
    sayings:                                         # what people say of things that no single term names
      left to pay:
        says: [needs to be paid, cash going out]
        means: [APTH.DueDate, APTD]

A glossary may know more of the database than the catalogue it is loaded with: names listed in `known_names.txt` beside the file are left
out where the catalogue lacks them. Every other name must be in the catalogue.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.ruleset import HOUSE_CODES, house_rules

GLOSSARY_FILE = "glossary.yaml"
KNOWN_NAMES_FILE = "known_names.txt"
SECTIONS = ("modules", "abbreviations", "background", "terms", "sayings")
TERM_KEYS = ("synonyms", "says", "means", "filter", "expression", "note")
SAYING_KEYS = ("says", "means")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser reads ten times as fast; not every build has it


class GlossaryError(ValueError):
    """A glossary with a mistake: the message names file and line."""


@dataclass(frozen=True)
class Meaning:
    object: str
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.object}.{self.column}" if self.column else self.object


@dataclass(frozen=True)
class Term:
    name: str
    means: tuple[Meaning, ...]  # the best first
    phrases: tuple[str, ...] = ()  # the name and its synonyms; none of a saying
    says: tuple[str, ...] = ()  # what people say when they mean it: clauses, verbs, slang
    filter: str | None = None  # a condition that the term implies on its first object
    expression: str | None = None  # how to compute what the term names, from the first object's columns
    note: str | None = None


@dataclass(frozen=True)
class Glossary:
    """What a file says about the objects of one catalogue; `skipped` are the terms of which the catalogue holds no object."""

    terms: tuple[Term, ...] = ()
    sayings: tuple[Term, ...] = ()
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    abbreviations: Mapping[str, str] = field(default_factory=dict)
    background: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def load_glossary(path: str | Path, catalogue: Catalogue) -> Glossary:
    """The glossary of a YAML file, every name in it checked against the catalogue. Raises GlossaryError with file and line."""
    path = Path(path)
    reader = _Reader(path, catalogue, _known_names(path))
    return reader.glossary(_root(path))


def find_glossary(place: str | Path, catalogue: Catalogue) -> Glossary:
    """The glossary in a catalogue's folder, or beside its file; an empty one where there is none."""
    place = Path(place)
    path = (place if place.is_dir() else place.parent) / GLOSSARY_FILE
    return load_glossary(path, catalogue) if path.is_file() else Glossary()


def _known_names(path: Path) -> frozenset[str]:
    names = path.with_name(KNOWN_NAMES_FILE)
    return frozenset(names.read_text(encoding="utf-8").split()) if names.is_file() else frozenset()


def _root(path: Path) -> yaml.MappingNode:
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except UnicodeDecodeError as error:
        raise GlossaryError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise GlossaryError(f"{path}:{line}: not YAML: {getattr(error, 'problem', None) or 'unreadable text'}") from None
    if node is None:
        return yaml.MappingNode("tag:yaml.org,2002:map", [])
    if not isinstance(node, yaml.MappingNode):
        raise GlossaryError(f"{path}:1: a glossary maps the sections {', '.join(SECTIONS)}")
    return node


class _Reader:
    """Nodes of one file to values, with the place of every mistake."""

    def __init__(self, path: Path, catalogue: Catalogue, known: Collection[str]) -> None:
        self._path = path
        self._catalogue = catalogue
        self._known = known
        self._rules = house_rules().without(*HOUSE_CODES)

    def glossary(self, root: yaml.MappingNode) -> Glossary:
        sections = dict(self._entries(root, SECTIONS))
        phrases: dict[str, int] = {}
        terms = [self._term(name, node, phrases) for name, node in self._mapping(sections.get("terms"))]
        sayings = [self._saying(name, node, phrases) for name, node in self._mapping(sections.get("sayings"))]
        return Glossary(
            terms=tuple(term for term in terms if term.means),
            sayings=tuple(saying for saying in sayings if saying.means),
            modules={name: self._texts(node) for name, node in self._mapping(sections.get("modules"))},
            abbreviations={name.lower(): self._text(node) for name, node in self._mapping(sections.get("abbreviations"))},
            background=self._texts(sections.get("background")),
            skipped=tuple(term.name for term in (*terms, *sayings) if not term.means),
        )

    def _term(self, name: str, node: yaml.Node, phrases: dict[str, int]) -> Term:
        entries = dict(self._entries(node, TERM_KEYS))
        named = (name, *self._texts(entries.get("synonyms")))
        says = self._texts(entries.get("says"))
        self._only_here(node, (*named, *says), phrases)
        means = self._means(name, node, entries)
        conditions = {key: self._condition(key, entries.get(key), means[0]) for key in ("filter", "expression")}
        note = self._text(entries["note"]) if "note" in entries else None
        present = tuple(meaning for meaning in means if meaning)
        return Term(name, present, named, says, conditions["filter"], conditions["expression"], note)

    def _saying(self, name: str, node: yaml.Node, phrases: dict[str, int]) -> Term:
        entries = dict(self._entries(node, SAYING_KEYS))
        says = self._texts(entries.get("says"))
        self._only_here(node, says, phrases)
        return Term(name, tuple(meaning for meaning in self._means(name, node, entries) if meaning), says=says)

    def _only_here(self, node: yaml.Node, said: tuple[str, ...], phrases: dict[str, int]) -> None:
        """Refuses a phrase that another term holds; `phrases` has the line of each so far."""
        for phrase in said:
            folded = " ".join(phrase.lower().split())
            if folded in phrases:
                raise self._error(node, f"'{phrase}' stands in line {phrases[folded]} too; keep one of them")
            phrases[folded] = _line(node)

    def _means(self, name: str, node: yaml.Node, entries: Mapping[str, yaml.Node]) -> list[Meaning | None]:
        """What a term stands for, None for each real object that the catalogue lacks."""
        written = self._texts(entries.get("means"))
        if not written:
            raise self._error(node, f"'{name}' has no 'means'; list the objects or columns it stands for")
        return [self._meaning(entries["means"], text) for text in written]

    def _meaning(self, node: yaml.Node, text: str) -> Meaning | None:
        """The object or column that the text names; None where the catalogue lacks a real object."""
        name, _, column = text.partition(".")
        o = self._catalogue.get(name)
        if o is None:
            if name in self._known or self._catalogue.knows(name):
                return None
            near = ", ".join(self._catalogue.nearest(name, 1)) or "none is near"
            raise self._error(node, f"there is no table or view '{name}' in the catalogue; nearest: {near}")
        if column and not o.has(column):
            near = ", ".join(difflib.get_close_matches(column, o.column_names, 1)) or "none is near"
            raise self._error(node, f"'{name}' has no column '{column}'; nearest: {near}")
        return Meaning(name, column or None)

    def _condition(self, key: str, node: yaml.Node | None, first: Meaning | None) -> str | None:
        """A condition or expression on the first object, proved by the checker."""
        if node is None or first is None:
            return None
        text = self._text(node)
        sql = f"SELECT 1 AS x FROM [{first.object}] WHERE " + (text if key == "filter" else f"({text}) IS NOT NULL")
        found = next((f for f in check(sql, self._catalogue, self._rules) if f.severity == "error"), None)
        if found is not None:
            raise self._error(node, f"{key} '{text[:60]}' does not hold on '{first.object}': {found.message}")
        return text

    def _mapping(self, node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
        if node is not None:
            yield from self._entries(node, None)

    def _entries(self, node: yaml.Node, allowed: Collection[str] | None) -> Iterator[tuple[str, yaml.Node]]:
        """Key and value of a mapping, each key text, once, and one of `allowed`."""
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, "a mapping of keys to values belongs here")
        seen: set[str] = set()
        for key_node, value in node.value:
            key = self._text(key_node)
            if key in seen:
                raise self._error(key_node, f"key '{key}' is given twice; keep one of them")
            if allowed is not None and key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1)
                cure = f"did you mean '{near[0]}'?" if near else f"allowed are {', '.join(allowed)}"
                raise self._error(key_node, f"unknown key '{key}'; {cure}")
            seen.add(key)
            yield key, value

    def _texts(self, node: yaml.Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, "a list of texts belongs here, such as [first, second]")
        return tuple(self._text(item) for item in node.value)

    def _text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self._error(node, "a text belongs here")
        return str(node.value).strip()

    def _error(self, node: yaml.Node, message: str) -> GlossaryError:
        return GlossaryError(f"{self._path}:{_line(node)}: {message}")


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1
