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
    a about above after again all also am an and any are as at be because been before being below between both but by can could did do
    does doing down during each for from further get give had has have having he her here him his how i if in into is it its just let like
    list many me more most much my need now of off on once only or other our ours out over own please same see she should show so some such
    tell than that the their them then there these they this those through to too under until up us using very want was we were what when
    where which while who whom whose why will with within without would you your
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
