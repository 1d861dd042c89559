"""Claims that prose makes about names: that one exists, that one does not, that one is to be used instead.

Names are found first and each becomes a mark; the rules are sentence patterns over marks, so that the 'no' of
NOLOCK or 'in Viewpoint' never counts as a refusal. Questions and conditions claim nothing. What a claim is worth is decided
elsewhere, by looking the name up.

    claims("There is no table named APTX; use APTH instead.")    # not_exists APTX, use_instead APTH
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vgpt2.sql.claim_rules import NAMED, NOUN, RULES, ClaimKind, Rule
from vgpt2.sql.fences import prose


@dataclass(frozen=True, slots=True)
class Claim:
    kind: ClaimKind
    name: str  # as written, without quotes: 'APTH', 'InvNum', 'APTH.InvNum'
    of: str | None = None  # the object whose column it is, where the sentence says so


def claims(answer: str, about: str | None = None) -> list[Claim]:
    """Claims of the prose in the answer (SQL blocks are no prose), in their order, each once.

    `about` is the name that was asked about: a sole yes or no then claims that it exists or does not.
    """
    text = _plain(answer)
    found = [claim for sentence in _sentences(text) for claim in _sentence_claims(sentence)]
    if about and not any(c.kind != "use_instead" for c in found) and (verdict := re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)):
        found.insert(0, Claim("exists" if verdict[1].lower() == "yes" else "not_exists", about))
    return list(dict.fromkeys(found))


MAX_SENTENCE = 500  # characters; the patterns take quadratic time, and prose has no longer sentences
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]*_`]{0,9}\s+|\n+")
_CLAUSE = re.compile(
    r";|\s[-–—]+\s|—|(?<!table )(?<!view )\bbut\b|\bwhile\b|\bwhereas\b|\bhowever\b|\balthough\b|\bthough\b|\bbecause\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|whether|unless|in case|assuming|suppose|provided)\b[^,;]*", re.IGNORECASE)
_DENIAL = re.compile(r"\b(?:not true|untrue|not correct|incorrect|wrong|false|a mistake|a myth)\s+(?:that|to say)\b", re.IGNORECASE)
_ASKS = re.compile(
    r"\W*(?:do|does|did|is|are|was|were|can|could|would|should|will|has|have|what|which|where|who|why|how|if)\b", re.IGNORECASE
)
_QUESTION_OFFER = re.compile(r"\b(?:mean|meant|perhaps|maybe|try|looking for|want)\b", re.IGNORECASE)


def _plain(answer: str) -> str:
    """Prose with straight quotes, without emphasis, list bullets and the signs that mark names here."""
    text = prose(answer).translate(str.maketrans("’‘“”´⟦⟧⟨⟩", "''\"\"'()()"))
    text = re.sub(r"^[ \t]*(?:[-*+•]|\d+[.)]|#+)[ \t]+", "", text, flags=re.MULTILINE)
    return re.sub(r"\*\*|__(?=\w)|(?<=\w)__|\*(?=\S)|(?<=\S)\*", "", text)


def _sentences(text: str) -> Iterator[str]:
    """Sentences without outer blanks; what is longer than a sentence can be comes in pieces."""
    for sentence in _SENTENCE.split(text):
        sentence = sentence.strip()
        for start in range(0, len(sentence), MAX_SENTENCE):
            yield sentence[start : start + MAX_SENTENCE]


def _sentence_claims(sentence: str) -> Iterator[Claim]:
    """Claims of one sentence, in the order of their names."""
    if sentence.rstrip("\"')` ").endswith("?"):
        stated, semicolon, asked = sentence.rpartition(";")
        if semicolon and not _ASKS.match(stated):
            yield from _sentence_claims(stated)
            sentence = asked
        if not _QUESTION_OFFER.search(sentence):
            return
        rules: tuple[Rule, ...] = tuple(rule for rule in RULES if rule.kind == "use_instead")
    else:
        rules = RULES
    for clause in _CLAUSE.split(_CONDITION.sub(" ", sentence)):
        marked = _Marked(clause)
        if not marked.names:
            continue
        denial = _DENIAL.search(marked.text)
        for rule in rules:
            marked.apply(rule)
        for _, kind, name, of in sorted(marked.found, key=lambda found: found[0]):
            if denial and kind != "use_instead":
                kind = "exists" if kind == "not_exists" else "not_exists"
            yield Claim(kind, name, of)


_NAME = r"#{0,2}[A-Za-z_][\w#$]*(?:\.[A-Za-z_#][\w#$]*)*"
_QUOTED_NAME = re.compile(rf"""`({_NAME})`|"({_NAME})[.,]?"|(?<!\w)'({_NAME})[.,]?'(?!\w)|\[({_NAME})\]""")
_BARE_NAME = re.compile(rf"(?<![\w@.⟦])({_NAME})(?![\w⟧])(?!\()")
_VERB_OF_BEING = (
    r"(?:really |actually |simply |also |just |indeed )*"
    r"(?:do(?:es)?(?: not|n't)|exists?\b|is(?: not|n't)|is (?:a|an|the|real|in|un)|can(?:not|'t) be|was not)"
)
_WEAK_PLACES = (
    re.compile(rf"\b{NOUN} {NAMED} ({_NAME})"),
    re.compile(r"\b(?:table|view|column|object|field)s? ([A-Z]\w*(?:\.\w+)*)"),
    re.compile(r"(?:^\W*|\b(?:the|no|an?|any|real|such|for|and|or|use|Yes,|No,) )([A-Z]\w*)(?= (?:table|view|column|object|field)s?\b)"),
    re.compile(rf"^\W*(?:(?:yes|no|sorry|unfortunately|actually|correct|indeed)[,.:!]?\s+)?({_NAME})(?= {_VERB_OF_BEING})", re.IGNORECASE),
    re.compile(r"\b(?:exists?|existing|named|called) ([A-Z][a-z]\w*)"),
    re.compile(r"\b([A-Z][a-z]\w*)(?= (?:does not|doesn't) exist\b)"),
)
_ENGLISH = """
    a an and any are as at be both but by can cannot column columns company could data database did do does each either entity every
    everything field fields for from has have he here how i if in into is it its join joins maybe me my name names neither no none nor
    not nothing object objects of on one only or our perhaps please query record row she so some something sorry such sure table tables
    than that the their them then there these they this those to use using view views vista viewpoint was we were what when where which
    who why will with without would yes you your schema catalogue catalog module unfortunately actually instead indeed correct right
    also however note answer sql server microsoft unknown invalid fake invented existing real nonexistent wrong missing
"""
_CAPITALS = """
    SQL TSQL NOLOCK WITH SELECT FROM WHERE JOIN INNER LEFT RIGHT OUTER ON AND OR NOT NULL GROUP ORDER BY HAVING UNION ALL TOP IN IS AS
    CASE WHEN THEN ELSE END EXISTS DISTINCT COUNT SUM AVG MIN MAX CTE ERP ID PK FK API CSV JSON XML USA OK READUNCOMMITTED DBA YES NO
    THE TABLE VIEW COLUMN FAQ EFT ACH VAT LIKE BETWEEN INSERT UPDATE DELETE CREATE DROP USE INSTEAD IT DOES EXIST
"""
_NO_NAMES = frozenset(_ENGLISH.split())
_ACRONYMS = frozenset(_CAPITALS.split())


def _looks_like_a_name(word: str) -> bool:
    """Whether a bare word can only be an identifier: APTH, bAPTH, SMWorkOrder, AP_TH, #tmp, APTH.APRef; not AP, SQL or Invoice."""
    if word in _ACRONYMS or len(word) < 3:
        return False
    last = word.rsplit(".", 1)[-1]
    capitals = sum(c.isupper() for c in last)
    return word[0] == "#" or "_" in word or "." in word or (capitals >= 2) or (any(c.isdigit() for c in last) and last[0].isalpha())


class _Marked:
    """A clause in which the n-th name stands as ⟦n⟧, or as ⟨n⟩ once a rule has used it."""

    def __init__(self, clause: str) -> None:
        self.names: list[str] = []
        self.found: list[tuple[int, ClaimKind, str, str | None]] = []
        text = _QUOTED_NAME.sub(lambda m: self._mark(next(filter(None, m.groups()))), clause)
        text = _BARE_NAME.sub(lambda m: self._mark(m[1].rstrip(".")) if _looks_like_a_name(m[1].rstrip(".")) else m[0], text)
        for place in _WEAK_PLACES:
            text = place.sub(self._mark_weak, text)
        self.text = re.sub(r"\s+", " ", text).strip()
        self._places = {index: place for place, index in enumerate(self._indices(self.text))}

    def _mark(self, name: str) -> str:
        self.names.append(name)
        return f"⟦{len(self.names) - 1}⟧"

    def _mark_weak(self, match: re.Match[str]) -> str:
        """Words that are names only by their place: 'the table Invoice', 'Orders does not exist'."""
        if "⟦" in match[1] or match[1].lower() in _NO_NAMES or match[1] in _ACRONYMS:
            return match[0]
        start, end = match.start(1) - match.start(), match.end(1) - match.start()
        return match[0][:start] + self._mark(match[1]) + match[0][end:]

    def apply(self, rule: Rule) -> None:
        """Record what the rule says of the clause, and mark its names as used."""
        for match in rule.pattern.finditer(self.text):
            owners = self._indices((match.groupdict().get("of") or "") + (match.groupdict().get("of_after") or ""))
            for index in self._indices(match["names"]):
                name = self.names[index]
                owner = self.names[owners[0]] if owners else name.rpartition(".")[0].removeprefix("dbo").strip(".") or None
                self.found.append((self._places[index], rule.kind, name, owner))
            if rule.of_exists:
                self.found += [(self._places[index], "exists", self.names[index], None) for index in owners]
        self.text = rule.pattern.sub(lambda m: m[0].replace("⟦", "⟨").replace("⟧", "⟩"), self.text)

    @staticmethod
    def _indices(text: str | None) -> list[int]:
        return [int(n) for n in re.findall(r"⟦(\d+)⟧", text or "")]
