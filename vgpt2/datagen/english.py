"""Words for names: what a catalogue's descriptions let us call its objects and columns in a question.

Everything comes from the descriptions; where there is none, there are no words (None) and the caller uses the name itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")

# The head of a description ends where its explanation begins.
_EXPLANATION = re.compile(r"\s*(?:[:,;(]|\bwith\b|\band (?:its|their)\b|\bbefore\b|\blinked\b|\bshared\b).*$")
_COMPLEMENT = re.compile(r"\s(?:of|to|for|by|in|on|at|from|waiting|stocked|assigned|covered|tied|set|touched|see)\s.*$")
_UNCOUNTABLE = {"detail", "history", "master", "log", "control", "data", "summary", "completed"}
_FLAG = re.compile(r"^Y (?:when|while|if) (?P<clause>.+)$")
_HOUSEKEEPING = re.compile(
    r"surrogate|now editing|purge|attached|free-text|group that owns|document name|identity number"
    r"|^(?:data|social) security|^(?:who|where|how|\d+ when) ",
    re.IGNORECASE,
)


def noun(description: str | None) -> str | None:
    """The singular an object is called by: 'AP transaction header: one posted vendor invoice' -> 'AP transaction header'."""
    if not description:
        return None
    plain = re.sub(r"\s*\([^)]*\)", "", description)
    return _EXPLANATION.sub("", plain).strip() or None


def things(description: str | None) -> str | None:
    """Rows of the object, in the plural: 'AP transaction headers', 'EM cost detail records'."""
    head = noun(description)
    if head is None:
        return None
    complement = _COMPLEMENT.search(head)
    core, rest = (head[: complement.start()], head[complement.start() :]) if complement else (head, "")
    last = core.rsplit(" ", 1)[-1]
    if last in _UNCOUNTABLE:
        return f"{core} records{rest}"
    return plural(core) + rest


def plural(words: str) -> str:
    if words.endswith("s"):
        return words
    if words.endswith("y") and words[-2:-1] not in set("aeiou"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("x", "ch", "sh")) else "s")


def gloss(description: str | None) -> str | None:
    """What a column holds, as words that fit after 'the'; None for flags, housekeeping columns and missing descriptions."""
    if not description or _FLAG.match(description) or _HOUSEKEEPING.search(description):
        return None
    plain = re.sub(r"\s*\([^)]*\)", "", description)
    words = re.sub(r"\s*(?:[:;]|,\s*such as\b).*$", "", plain).strip()
    return words if words and "," not in words else None


def flag_clause(description: str | None) -> str | None:
    """What a Y says in a Y/N column: 'Y when reportable on form 1099' -> 'reportable on form 1099'."""
    found = _FLAG.match(description or "")
    return found["clause"] if found and not _HOUSEKEEPING.search(found["clause"]) else None


def is_housekeeping(description: str | None) -> bool:
    return bool(description and _HOUSEKEEPING.search(description))


def listing(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def camel(words: str) -> str:
    """'AP transaction header' -> 'APTransactionHeader'; what somebody would guess who knows only the words."""
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", words))
