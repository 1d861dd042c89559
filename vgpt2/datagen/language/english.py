"""Words for names: what a catalogue's descriptions let us call its objects and columns in a question.

Everything comes from the descriptions; where there is none, there are no words (None) and the caller uses the name itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from vgpt2.sql.parser.words import RESERVED
from vgpt2.sql.schema import Column, Object

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")

# The head of a description ends where its explanation begins.
_EXPLANATION = re.compile(r"(?:[:,;(]|\bwith\b|\band (?:its|their)\b|\bbefore\b|\blinked\b|\bshared\b).*$")
_COMPLEMENT = re.compile(
    r"\s(?:of|to|for|by|in|on|at|from|waiting|stocked|assigned|covered|tied|set|touched|see|that|who|which|used|received)\s.*$"
)
_TIED = re.compile(r"\s(?:of|for|in|on|to|from|by|with|within|that|which|when|as|per|at|until|since|after|before)\s.*$")
_UNCOUNTABLE = {"detail", "history", "master", "log", "control", "data", "summary", "completed"}
_FLAG = re.compile(r"^Y (?:when|while|if) (?P<clause>.+)$")
_HOUSEKEEPING = re.compile(
    r"surrogate|now editing|purge|attached|free-text|group that owns|document name|identity number"
    r"|^(?:data|social) security|^(?:who|where|how|\d+ when) |^(?:race|gender) code$|^birth date$",
    re.IGNORECASE,
)


def noun(description: str | None) -> str | None:
    """The singular an object is called by: 'AP transaction header: one posted vendor invoice' -> 'AP transaction header'."""
    if not description:
        return None
    return _EXPLANATION.sub("", without_brackets(description)).strip() or None


def without_brackets(text: str) -> str:
    """The text without what stands in brackets, single blanks between its words."""
    return " ".join(re.sub(r"\([^()]*\)", " ", text).split())


def things(description: str | None) -> str | None:
    """Rows of the object, in the plural: 'AP transaction headers', 'EM cost detail records'."""
    head, core = noun(description), kernel(description)
    if head is None or core is None:
        return None
    rest = head.removeprefix(core)
    last = core.rsplit(" ", 1)[-1]
    if last in _UNCOUNTABLE:
        return f"{core} records{rest}"
    return plural(core) + rest


def kernel(description: str | None) -> str | None:
    """The noun without what hangs on it: 'IN material stocked at a location' -> 'IN material'."""
    head = noun(description)
    return _COMPLEMENT.sub("", head) if head else None


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
    words = re.sub(r"(?:[:;]|,\s*such as\b).*$", "", without_brackets(description)).strip()
    return words if words and "," not in words else None


def split_head(words: str) -> tuple[str, str]:
    """A column's words as what they are of and what hangs on it: 'vendor when sent to AP' -> ('vendor', ' when sent to AP')."""
    head = _TIED.sub("", words)
    return head, words.removeprefix(head)


def is_plural(words: str) -> bool:
    """Whether the words take a verb in the plural: 'debits of the month', not 'statement status'."""
    head = split_head(words)[0]
    return head.endswith("s") and not head.endswith(("ss", "us", "is"))


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


def spaced(name: str) -> str:
    """'VendorGroup' -> 'vendor group'; for columns whose description gives no words."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)).lower() or name


def abbreviates(part: str, word: str) -> bool:
    """Whether a part of a name may stand for the word: its letters occur there in order, the first one first, as in hrs, qty, acct."""
    letters = iter(word)
    return part[:1] == word[:1] and all(letter in letters for letter in part)


def distinct_glosses(table: Object) -> dict[str, str]:
    """Words by column, for the columns whose words no other column of the object shares; key, company and oddly named columns left out."""
    counts = Counter(gloss(c.description) for c in table.columns)
    words = {c.name: gloss(c.description) for c in table.columns if not is_key(table, c) and is_plain(c.name)}
    return {name: said for name, said in words.items() if said and counts[said] == 1}


def askable(table: Object) -> dict[str, str]:
    """Columns a question may ask for, with what to call them: by their words, or all by name where hardly any has words."""
    words = distinct_glosses(table)
    if len(words) >= 5:
        return words
    plain = (c for c in table.columns if is_plain(c.name) and not is_key(table, c) and not is_housekeeping(c.description))
    telling = (c for c in plain if c.length != -1 and c.type != "uniqueidentifier" and (c.name,) not in table.unique_keys)
    return {c.name: words.get(c.name, c.name) for c in telling}


def is_key(table: Object, column: Column) -> bool:
    """Whether the column is part of the object's key or says whose row it is: such columns are always shown."""
    return column.name in table.business_key or column.name == table.company_column


def is_plain(name: str) -> bool:
    """Whether SQL takes the name as it is; Receiver#, Order and 'Form Type' are left to those who write brackets."""
    return bool(re.fullmatch(r"[A-Za-z_]\w*", name)) and name.upper() not in RESERVED
