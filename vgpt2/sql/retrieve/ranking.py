"""The objects worth showing for a question, best first, each with its reason: names it mentions, glossary, text, and what joins them.

retriever = Retriever(catalogue, glossary)
retriever.retrieve("vendor invoices on hold", limit=10)
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from threading import Lock
from typing import Literal, get_args

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.glossary import Glossary
from vgpt2.sql.retrieve.approved import Approved
from vgpt2.sql.retrieve.graph import KeyGraph
from vgpt2.sql.retrieve.index import FIELDS, Group, Index
from vgpt2.sql.retrieve.terms import TermFinder, TermHit
from vgpt2.sql.retrieve.words import STOP_WORDS, Stemmer, split_name, words
from vgpt2.sql.schema import Object

Why = Literal["literal", "approved", "glossary", "text", "closure"]  # a hit of several kinds bears the first of them
PARTS = (*FIELDS, "prior", "closure")
_LONGEST_QUESTION = 300  # words; what a longer text asks, it asks in its beginning


@dataclass(frozen=True)
class Tuning:
    """What each kind of evidence is worth; a BM25 score counts relative to the question's best."""

    literal: float = 20.0
    another_case: float = 10.0
    approved: float = 2.0
    term: float = 1.0
    scattered: float = 0.6  # share of a term whose words do not stand side by side
    inflected: float = 0.6  # share of a term of whose words only the stems are in the question
    inner: float = 0.35  # share of a term inside a longer one
    later: float = 0.75  # each further meaning of a term counts this much of the one before
    text: float = 1.2
    parents: float = 0.04  # for each doubling of the keys that point at an object
    core: float = 0.1  # an object that somebody described
    background: float = -0.8
    module: float = 0.5  # an object of the module that all of the best hits belong to
    joined: float = 0.3  # for each of the best hits that a key joins to the object
    near: int = 5  # the best hits, for these two
    link: float = 0.5  # share that an object on the way between two hits takes of the weaker
    searched: int = 60  # objects that the text search puts forward
    linked: int = 6  # hits between which ways are sought
    longest_way: int = 3  # keys


@dataclass(frozen=True)
class Hit:
    name: str
    why: Why
    score: float
    columns: tuple[str, ...] = ()  # those that the question speaks of, best first
    note: str | None = None


@dataclass(frozen=True)
class Found:
    """What was found for a question: objects, best first, and the terms of the glossary that it speaks of; sayings are none."""

    hits: tuple[Hit, ...]
    terms: tuple[TermHit, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(hit.name for hit in self.hits)

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """Columns by object, as the schema prompt takes them."""
        return {hit.name: hit.columns for hit in self.hits}


@dataclass
class _Evidence:
    score: float = 0.0
    why: Why = "closure"
    columns: list[str] = field(default_factory=list)
    note: str | None = None

    def add(self, worth: float, why: Why) -> None:
        self.score += worth
        self.why = min(self.why, why, key=get_args(Why).index)


class Retriever:
    """Everything that is computed once for a catalogue; questions may come from several threads."""

    def __init__(
        self,
        catalogue: Catalogue,
        glossary: Glossary | None = None,
        approved: Sequence[Approved] = (),
        *,
        parts: Sequence[str] = PARTS,
        tuning: Tuning | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._glossary = glossary or Glossary()
        self._parts = frozenset(parts)
        self._tuning = tuning or Tuning()
        self._lock = Lock()
        self._stemmer = Stemmer()
        self._index = Index(catalogue, self._glossary, [part for part in FIELDS if part in self._parts])
        self._group_of = _groups_by_name(catalogue, self._index.groups)
        self._lower = {name.lower(): name for name in reversed(self._group_of)}
        self._graph = KeyGraph(catalogue, self._group_of)
        self._terms = TermFinder(self._glossary if "terms" in self._parts else Glossary(), self._stemmer)
        self._prior = {group.name: self._prior_of(group.members) for group in self._index.groups} if "prior" in self._parts else {}
        self._ordinary = frozenset(self._stemmer.stems(self._small_words()))
        self._approved = [(frozenset(self._content(words(row.question))), row) for row in approved]

    def retrieve(self, question: str, *, limit: int) -> Found:
        """At most `limit` objects and the glossary's terms in the question; the same question gives the same answer."""
        with self._lock:
            written = words(question)[:_LONGEST_QUESTION]
            terms = self._terms.find(written)
            found: dict[str, _Evidence] = defaultdict(_Evidence)
            self._add_names(found, written)
            content = frozenset(self._content(written))
            self._add_approved(found, content)
            self._add_terms(found, terms)
            self._add_text(found, written)
            for name, evidence in found.items():
                evidence.score += self._prior.get(name, 0.0)
            if "closure" in self._parts:
                self._add_nearness(found)
                self._add_ways(found)
            ranked = sorted(found.items(), key=lambda item: (-item[1].score, item[0]))[:limit]
            hits = tuple(Hit(name, e.why, round(e.score, 4), self._columns(name, e.columns, content), e.note) for name, e in ranked)
            return Found(hits, tuple(hit for hit in terms if hit.term.phrases and hit.whole and not _is_inner(hit, terms)))

    def group_of(self, name: str) -> str:
        """The object that stands for `name` in answers: bAPTH -> APTH."""
        return self._group_of.get(name, name)

    def _add_names(self, found: dict[str, _Evidence], written: Sequence[str]) -> None:
        """Objects whose name the question holds: in exact case, or in another with a note."""
        for word in dict.fromkeys(written):
            name = word if word in self._group_of else self._in_another_case(word)
            if name is None:
                continue
            evidence = found[self._group_of[name]]
            evidence.add(self._tuning.literal if name == word else self._tuning.another_case, "literal")
            if name != word:
                evidence.note = f"written '{word}'; the name is {name}"
            elif name != self._group_of[name]:
                evidence.note = f"stands for {name}"

    def _add_approved(self, found: dict[str, _Evidence], content: frozenset[str]) -> None:
        """Objects of the approved question that shares most words (Jaccard) with this one, if it is half of them."""
        shared = [(len(content & other) / len(content | other), i) for i, (other, _) in enumerate(self._approved) if content & other]
        best = max(shared, key=lambda pair: (pair[0], -pair[1]), default=(0.0, 0))
        if best[0] >= 0.5:
            row = self._approved[best[1]][1]
            for name in row.objects:
                if name in self._group_of:
                    found[self._group_of[name]].add(self._tuning.approved * best[0], "approved")

    def _add_terms(self, found: dict[str, _Evidence], hits: Sequence[TermHit]) -> None:
        """What the terms stand for. An object is worth its best term, and a little more for each further one."""
        worths: dict[str, list[float]] = defaultdict(list)
        for hit in hits:
            worth = self._worth(hit, hits)
            meant = dict.fromkeys(self._group_of[meaning.object] for meaning in hit.term.means)
            for position, name in enumerate(meant):
                worths[name].append(worth * self._tuning.later**position)
            for meaning in hit.term.means:
                if meaning.column:
                    found[self._group_of[meaning.object]].columns.append(meaning.column)
        for name, all_of_them in worths.items():
            ranked = sorted(all_of_them, reverse=True)
            found[name].add(sum(worth / 2**i for i, worth in enumerate(ranked)), "glossary")

    def _worth(self, hit: TermHit, hits: Sequence[TermHit]) -> float:
        """A longer phrase says more; less if its words are scattered or stand inside a longer one."""
        worth = self._tuning.term * (0.6 + 0.4 * min(hit.length, 3))
        if not hit.whole:
            worth *= self._tuning.scattered
        if not hit.exact:
            worth *= self._tuning.inflected
        if _is_inner(hit, hits):
            worth *= self._tuning.inner
        return worth

    def _add_text(self, found: dict[str, _Evidence], written: Sequence[str]) -> None:
        content = list(dict.fromkeys(word.lower() for word in written if word.lower() not in STOP_WORDS))
        rows = self._index.search(content, self._tuning.searched)
        for name, score in rows:
            found[name].add(self._tuning.text * score / max(rows[0][1], 1e-9), "text")

    def _add_nearness(self, found: dict[str, _Evidence]) -> None:
        """What is of the same module as the best hits, or joined to them, is worth more: 'department' beside wages is payroll's."""
        best = self._best(found, self._tuning.near)
        total = sum(max(found[name].score, 0.0) for name in best) or 1.0
        share: dict[str | None, float] = defaultdict(float)
        for name in best:
            share[self._catalogue.objects[name].module] += max(found[name].score, 0.0) / total
        for name, evidence in found.items():
            evidence.score += self._tuning.module * share[self._catalogue.objects[name].module]
            evidence.score += self._tuning.joined * sum(self._graph.joins(name, other) for other in best) / len(best)

    def _best(self, found: dict[str, _Evidence], n: int) -> list[str]:
        return sorted(found, key=lambda name: (-found[name].score, name))[:n]

    def _add_ways(self, found: dict[str, _Evidence]) -> None:
        """Objects on the shortest way of foreign keys from each of the best hits to one before it."""
        best = self._best(found, self._tuning.linked)
        for i, name in enumerate(best[1:], 1):
            way = self._graph.path(name, set(best[:i]), longest=self._tuning.longest_way)
            for between in way[1:-1]:
                weaker = min(found[way[0]].score, found[way[-1]].score)
                if between not in found or found[between].score < weaker * self._tuning.link:
                    found[between].score = weaker * self._tuning.link

    def _prior_of(self, members: Sequence[str]) -> float:
        """What an object is worth before any question: how many others point at it, whether it is described, whether it is background."""
        worth = self._tuning.parents * math.log2(1 + self._graph.in_degree(members[0]))
        if any(self._catalogue.objects[name].description for name in members):
            worth += self._tuning.core
        if any(fnmatchcase(members[0], pattern) for pattern in self._glossary.background):
            worth += self._tuning.background
        return worth

    def _columns(self, name: str, meant: Sequence[str], content: frozenset[str]) -> tuple[str, ...]:
        """Columns that the glossary means, then those that share words with the question, most of them first."""
        o = self._catalogue.objects[name]
        shared = Counter({column: n for column, stems in self._column_stems(o).items() if (n := len(stems & content))})
        ranked = sorted(shared, key=lambda column: (-shared[column], o.column_names.index(column)))
        return tuple(dict.fromkeys([*(column for column in meant if o.has(column)), *ranked]))

    def _column_stems(self, o: Object) -> dict[str, frozenset[str]]:
        texts = {c.name: split_name(c.name, self._glossary.abbreviations) + words(c.description or "") for c in o.columns}
        return {column: frozenset(self._stemmer.stems(text)) for column, text in texts.items()}

    def _content(self, written: Sequence[str]) -> list[str]:
        """Stems of the words that say something."""
        return self._stemmer.stems([word for word in written if word.lower() not in STOP_WORDS])

    def _in_another_case(self, word: str) -> str | None:
        """The name that the word is in another case, unless descriptions and terms use the word: `companies` mentions no `Companies`."""
        if word.lower() in STOP_WORDS or self._stemmer.stems([word])[0] in self._ordinary:
            return None
        return self._lower.get(word.lower())

    def _small_words(self) -> list[str]:
        """Words that descriptions, terms and modules write in small letters."""
        texts = [o.description or "" for o in self._catalogue.objects.values()]
        texts += [phrase for term in (*self._glossary.terms, *self._glossary.sayings) for phrase in (*term.phrases, *term.says)]
        texts += [phrase for module in self._glossary.modules.values() for phrase in module]
        return sorted({word for text in texts for word in words(text) if word.islower()})


def _groups_by_name(catalogue: Catalogue, groups: Iterable[Group]) -> dict[str, str]:
    """The object that stands for each name, also for the tables that only a view of the catalogue shows."""
    by_name = {name: group.name for group in groups for name in group.members}
    bases = {o.base_table: by_name[o.name] for o in catalogue.objects.values() if o.base_table}
    return {**bases, **by_name}


def _is_inner(hit: TermHit, hits: Iterable[TermHit]) -> bool:
    """Whether a longer phrase holds the place of this one."""
    return any(other.start <= hit.start and hit.end <= other.end and other.length > hit.length and other.whole for other in hits)
