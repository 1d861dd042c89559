"""Which terms of a glossary a question speaks of: their words side by side, or near one another in any order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from vgpt2.sql.glossary import Glossary, Term
from vgpt2.sql.retrieve.words import STOP_WORDS, Stemmer, words

# how many other words may stand among those of a term
_GAP = 3


@dataclass(frozen=True)
class TermHit:
    term: Term
    phrase: str  # what the question holds of it
    start: int  # positions of the words in the question
    end: int
    whole: bool  # side by side, in order
    exact: bool  # in the very words, but for a plural: 'operating' has the stem of 'operator' and another sense

    @property
    def length(self) -> int:
        """Words of the phrase that say something."""
        return sum(word.lower() not in STOP_WORDS for word in words(self.phrase))


@dataclass(frozen=True)
class _Phrase:
    term: Term
    text: str
    stems: tuple[str, ...]
    singulars: tuple[str, ...]
    content: tuple[str, ...]  # the stems that say something


class TermFinder:
    """The phrases of a glossary by their stems."""

    def __init__(self, glossary: Glossary, stemmer: Stemmer) -> None:
        self._stemmer = stemmer
        self._by_stem: dict[str, list[_Phrase]] = defaultdict(list)
        for term in (*glossary.terms, *glossary.sayings):
            for text in (*term.phrases, *term.says):
                phrase = _phrase(term, text, stemmer)
                if phrase.stems:
                    self._by_stem[phrase.content[0] if phrase.content else phrase.stems[0]].append(phrase)

    def find(self, written: Sequence[str]) -> list[TermHit]:
        """One hit for each term that the question's words hold, in their order; the longest phrase of a term counts."""
        stems = self._stemmer.stems(written)
        singulars = [_singular(word) for word in written]
        best: dict[str, TermHit] = {}
        for stem in dict.fromkeys(stems):
            for phrase in self._by_stem.get(stem, ()):
                hit = _whole(phrase, stems, singulars) or _scattered(phrase, stems, singulars)
                if hit and _rank(hit) > _rank(best.get(phrase.term.name)):
                    best[phrase.term.name] = hit
        return sorted(best.values(), key=lambda hit: (hit.start, -hit.end, hit.term.name))


def _phrase(term: Term, text: str, stemmer: Stemmer) -> _Phrase:
    found = words(text)
    stems = tuple(stemmer.stems(found))
    content = tuple(stem for word, stem in zip(found, stems) if word.lower() not in STOP_WORDS)
    return _Phrase(term, text, stems, tuple(map(_singular, found)), content)


def _singular(word: str) -> str:
    """The word without the ending of a plural, or nearly: a comparison needs no more."""
    lower = word.lower()
    return lower[:-1] if len(lower) > 3 and lower.endswith("s") and not lower.endswith("ss") else lower


def _whole(phrase: _Phrase, stems: Sequence[str], singulars: Sequence[str]) -> TermHit | None:
    n = len(phrase.stems)
    found = [start for start in range(len(stems) - n + 1) if tuple(stems[start : start + n]) == phrase.stems]
    exact = [start for start in found if tuple(singulars[start : start + n]) == phrase.singulars]
    if not found:
        return None
    start = (exact or found)[0]
    return TermHit(phrase.term, phrase.text, start, start + n, True, bool(exact))


def _scattered(phrase: _Phrase, stems: Sequence[str], singulars: Sequence[str]) -> TermHit | None:
    """All words that say something, two at least, in a stretch of the question a little longer than the phrase."""
    wanted = set(phrase.content)
    if len(wanted) < 2 or not wanted.issubset(stems):
        return None
    places = [(position, stem) for position, stem in enumerate(stems) if stem in wanted]
    longest = len(phrase.stems) + _GAP
    for i, (start, _) in enumerate(places):
        within = [(position, stem) for position, stem in places[i:] if position < start + longest]
        if {stem for _, stem in within} == wanted:
            end = within[-1][0] + 1
            exact = {singular for stem, singular in zip(phrase.stems, phrase.singulars) if stem in wanted} <= set(singulars[start:end])
            return TermHit(phrase.term, phrase.text, start, end, False, exact)
    return None


def _rank(hit: TermHit | None) -> tuple[int, bool, bool]:
    return (hit.length, hit.whole, hit.exact) if hit else (-1, False, False)
