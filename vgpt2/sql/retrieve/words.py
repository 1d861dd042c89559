"""Words of names and sentences: names split at case and digits, and every word reduced to its stem by SQLite's Porter tokenizer."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence

_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_WORD = re.compile(r"[^\W_]+")
_CACHED = 20_000

# words of a question that say nothing about its data
_SAY_NOTHING = """
a about above across actually after again against ago all along already also always am amount amounts an and another any anybody anyone
anything april are aren around as at august back be because been before being below between big bigger both but by came can cannot come
comes coming could current currently d daily date dates day days december did didn different do does doesn doing don down during each eight
either else ever every everybody everyone everything exactly far february few find first five for four friday from further gave get getting
give gives go goes going gone got had has hasn have haven having he her here high him his how hundred i if in into is isn it its january
july june just keep kind kinds know last least less let lets like list ll long look low m made make makes making many march may me might
monday money month monthly months more most much must my name names need needs neither never new next nine nobody november now number
numbers october of off often old on once one only onto or other our ours out over own part per please put quarter quarters re really
recently s same saturday see september seven several shall she short should show since six so some somebody someone something sort sorts
still such sunday t take takes tell ten than that the their them then there these they thing things this those thousand three through
thursday to today tomorrow too took top total totals tuesday two under until up upon us using various ve very want wants was wasn way we
wednesday week weekly weeks went were weren what when where whether which while who whom whose why will with within without won would year
yearly years yesterday yet you your
"""
STOP_WORDS = frozenset(_SAY_NOTHING.split())


def split_name(name: str, abbreviations: Mapping[str, str]) -> list[str]:
    """Words of a name, lower case, abbreviations written out behind them: 'InvDate' -> ['inv', 'invoice', 'date']."""
    words: list[str] = []
    for part in _PART.findall(name):
        lower = part.lower()
        words.append(lower)
        if lower in abbreviations:
            words += abbreviations[lower].lower().split()
    return words


def words(text: str) -> list[str]:
    """Letters and digits in a row, as they are written: "Smith's JOB-12" -> ['Smith', 's', 'JOB', '12']."""
    return _WORD.findall(text)


class Stemmer:
    """Porter stems, taken from the tokenizer of SQLite's full-text engine, so that they equal those of an index."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute("CREATE VIRTUAL TABLE texts USING fts5(word, tokenize = 'porter unicode61')")
        self._db.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(texts, instance)")
        self._known: dict[str, str] = {}

    def stems(self, found: Sequence[str]) -> list[str]:
        """One stem for each word, in their order."""
        if len(self._known) > _CACHED:
            self._known.clear()
        lower = [word.lower() for word in found]
        unknown = sorted({word for word in lower if word not in self._known})
        if unknown:
            self._learn(unknown)
        return [self._known[word] for word in lower]

    def _learn(self, unknown: Sequence[str]) -> None:
        self._db.execute("DELETE FROM texts")
        self._db.executemany("INSERT INTO texts(rowid, word) VALUES (?, ?)", enumerate(unknown))
        stems = dict(self._db.execute("SELECT doc, term FROM stems WHERE offset = 0"))
        self._known.update((word, stems.get(i, word)) for i, word in enumerate(unknown))
