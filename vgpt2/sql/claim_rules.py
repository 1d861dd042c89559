"""Sentence patterns of claims about names. A name stands as ⟦n⟧ in the text that they read; see claims.py.

A pattern is a regular expression in which {WORD} stands for a part of speech of `_GRAMMAR`. Rules are tried in order, and a name
that one of them has used is out of reach for the later ones: offers first, then denials, then plain existence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

ClaimKind = Literal["exists", "not_exists", "use_instead"]

NOUN = (
    "(?:(?:base |database |SQL |Vista |Viewpoint |reporting )*"
    "(?:(?:table|view|column|object|field) names?|tables?|views?|columns?|objects?|fields?|names?|entity|entities|attributes?))"
)
NAMED = "(?:named|called|by the name(?: of)?|with the name|of the name|known as)"

_GRAMMAR = {
    "N": r"⟦\d+⟧",
    "ITEM": r"(?:(?:the|a|an|any|also|both|either|its|your|views?|tables?|columns?|object) )*+{N}(?: {NOUN})?(?: \([^)]*\))?",
    "LIST": r"(?P<names>{ITEM}(?:(?:\s*,\s*(?:and |or |nor )?| and | or | nor | ?/ ?| & ){ITEM})*+)",
    "NOUN": NOUN,
    "NOUNS": r"{NOUN}(?:(?: or | and |/){NOUN})*",
    "NAMED": NAMED,
    "ADV": (
        r"(?:(?:really|actually|simply|also|just|indeed|certainly|definitely|in fact|unfortunately|currently|both|all|still|clearly|"
        r"apparently) )*"
    ),
    "DO_NOT": r"(?:(?:do|does|did)(?: not|n't)|never)",
    "CAN_NOT": r"(?:can(?:not| not|'t)|could(?: not|n't)|(?:am|are|is|was) unable to|failed to)",
    "BE_NOT": r"(?:is|are|was|were)(?: not|n't)",
    "PLACE": r"(?: (?:in|on|of|from|for|within|inside) (?:the )?(?:{NOUN} )?(?P<of>{N})(?: {NOUN})?)?",
    "PLACE_AFTER": r"(?: (?:in|on|of|from|for|within|inside) (?:the )?(?:{NOUN} )?(?P<of_after>{N})(?: {NOUN})?)?",
    "STORE": r"(?:catalogue|catalog|schema|database|data model|model|system|list|Vista|Viewpoint|dictionary|metadata|ERP)",
    "FAKE": (
        r"(?:unknown|unreal|fake|invented|made[- ]up|fictitious|fictional|imaginary|missing|absent|non-?existent|bogus|hallucinated|"
        r"undefined|unavailable|unrecogni[sz]ed)"
    ),
    "SLIP": r"(?:typo|invention|hallucination|misspelling|misspelt|misspelled)",
    "HOLDER": r"(?:{STORE}|module|I|we|it|AP|AR|JC|PR|GL|PO|SL|EM|CM|HQ|PM|SM|IN)",
    "HAVE": r"(?:has|have|contains?|includes?|holds?|lists?|offers?|knows?|carry|carries|exposes?|shows?)",
    "SUCH": r"(?:(?:such|real|known|actual|single|other|valid|existing|standard|genuine|proper|similar|matching) )*",
    "USE": (
        r"(?:use|try|query|choose|pick|prefer|see|consider|check|take|read|look (?:at|in|into|to)|refer to|go (?:with|to|for)|switch to|"
        r"turn to|start (?:with|from)|work with|rely on|using|trying|mean|meant|want|wanted|need|needed|looking for|after|perhaps|maybe|"
        r"probably|possibly|likely)"
    ),
    "GOOD": (
        r"(?:nearest|closest|correct|right|real|proper|actual|intended|similar|best|likely|matching|existing|equivalent|official|valid|"
        r"appropriate|relevant|better|usual)"
    ),
    "CHOICE": (
        r"(?:{NOUN}|match(?:es)?|ones?|alternatives?|candidates?|equivalents?|counterparts?|replacements?|choices?|spelling|place|source)"
    ),
}


@dataclass(frozen=True)
class Rule:
    """A pattern with the group `names` and perhaps `of` (or `of_after`), the object whose columns they are."""

    kind: ClaimKind
    pattern: re.Pattern[str]
    of_exists: bool = False  # the sentence claims of the owner, too, that it exists


def _rule(kind: ClaimKind, *pattern: str, of_exists: bool = False) -> Rule:
    text, before = "".join(pattern), ""
    while text != before:
        before = text
        for word, meaning in _GRAMMAR.items():
            text = text.replace(f"{{{word}}}", meaning)
    return Rule(kind, re.compile(text, re.IGNORECASE), of_exists)


_OFFERS = (
    _rule(
        "use_instead",
        r"\binstead of (?:the )?{N}(?: {NOUN})?,? (?:please )?(?:you (?:should|can|could|want to) )?(?:use |try |query"
        r" )?{LIST}",
    ),
    _rule("use_instead", r"\b(?:replace|swap|substitute|change|correct) (?:the )?{N}(?: {NOUN})? (?:with|by|to|for) {LIST}"),
    _rule("use_instead", r"{N} (?:should|must|ought to) (?:be|read) {LIST}"),
    _rule("use_instead", r"{N} ?(?:->|→|=>) ?{LIST}"),
    _rule(
        "use_instead",
        r"(?<!not )(?<!n't )(?<!never )(?<!than )\b(?:{USE}(?: instead)?|use:|try:|instead:) (?:of )?(?:the",
        r" )?(?:{GOOD} )?(?:{NOUNS} )?(?:{NAMED} )?{LIST}",
        r"(?! (?:do|does|is|are|can|could)(?: ?not|n't))",
    ),
    _rule(
        "use_instead",
        r"\b{GOOD}(?: \w+){0,2}? {CHOICE}(?: (?:to|for|in|of|here|there)\b[^:⟦]{0,40}?)?(?: (?:is|are|would be|might"
        r" be|may be|could be))?",
        r"(?: called| named)?:? {LIST}",
    ),
    _rule("use_instead", r"{LIST} instead\b"),
    _rule(
        "use_instead",
        r"{LIST} (?:is|are|would be|may be|might be|could be|seems?) (?:probably |likely |perhaps )*",
        r"(?:the {GOOD} |what |(?:the |an? )?{CHOICE} (?:that )?you |an? (?:better|similar|possible|likely|good) )",
    ),
    _rule("use_instead", r"{LIST} (?:may|might|could|would|should|will|can) (?:be what|help|fit|serve|do|work|suit|be the|answer)"),
)

_DENIALS = (
    _rule("not_exists", r"\bthere (?:is|are)(?: not|n't) {ADV}(?:an? |any )?{SUCH}(?:{NOUNS} )?(?:{NAMED} )?{LIST}{PLACE_AFTER}"),
    _rule(
        "not_exists",
        r"(?:(?P<of>{N})(?: {NOUN})? {HAVE} )?\bno {SUCH}(?:{NOUNS} ?|thing )?(?:as )?:? ?(?:{NAMED} )?{LIST}{PLACE_AFTER}",
    ),
    _rule(
        "not_exists",
        r"\b(?:neither|none of|not one of) {LIST} {ADV}(?:do |does )?(?:exists?|is|are|can be|could"
        r" be|belongs?|appears?)",
    ),
    _rule("not_exists", r"{LIST}{PLACE} {ADV}{DO_NOT} {ADV}(?:exist(?:ed)?|appear|occur|belong|show up|live)\b{PLACE_AFTER}"),
    _rule("not_exists", r"{LIST} {ADV}exists? (?:nowhere|neither|only as|only in your)"),
    _rule(
        "not_exists",
        r"{LIST} {ADV}{BE_NOT} {ADV}(?:an? |any |one of (?:the |its |our )?|among (?:the |its )?)(?!{FAKE})(?:\w+ ){0,2}?{NOUNS}",
        r"(?!,? but|: it is|,? it is){PLACE_AFTER}",
    ),
    _rule(
        "not_exists",
        r"{LIST} {ADV}{BE_NOT}"
        r" {ADV}(?:found|present|available|listed|defined|known|real|valid|there\b|contained|included|recogni[sz]ed|something)",
        r"(?: (?:in|to|by|within|of|on) (?:the )?(?:\w+ )?{STORE})?{PLACE_AFTER}",
    ),
    _rule(
        "not_exists",
        r"{LIST} {ADV}{BE_NOT} {ADV}(?:in|part of|within|on|among|from) (?:the |this |your |our |its )?(?:\w+"
        r" ){0,2}?(?:{STORE}|(?P<of>{N}))",
    ),
    _rule(
        "not_exists",
        r"{LIST} {ADV}(?:is|are|was|were|seems?|looks?|appears?(?: to be)?) {ADV}(?:an? |the |simply"
        r" )?(?:{FAKE}|nowhere|no {SUCH}{NOUNS}|{SLIP})",
    ),
    _rule("not_exists", r"{LIST} {CAN_NOT} be (?:found|located|seen|identified|recogni[sz]ed){PLACE_AFTER}"),
    _rule(
        "not_exists",
        r"(?P<of>{N})(?: {NOUN})? {ADV}(?:{DO_NOT}|{CAN_NOT}) {ADV}(?:have|contain|include|hold|list|offer|expose|carry|show|know)",
        r"(?: (?:a|an|any|the))?(?: {SUCH}{NOUNS})?(?: {NAMED})? {LIST}",
    ),
    _rule(
        "not_exists",
        r"\b{HOLDER} {ADV}(?:{DO_NOT}|{CAN_NOT}) {ADV}(?:find|locate|see|know(?:"
        r" of)?|recogni[sz]e|have|identify|contain|include|hold|list)",
        r"(?: (?:a|an|any|the|such))*(?: {SUCH}{NOUNS})?(?: {NAMED})? {LIST}{PLACE_AFTER}",
    ),
    _rule(
        "not_exists",
        r"\b(?:no (?:record|trace|mention|knowledge|sign|evidence)|not aware|unaware|never heard|not heard|nothing)(?: of| about)?",
        r"(?: (?:a|an|any|the))?(?: {SUCH}{NOUNS})?(?: {NAMED})? {LIST}",
    ),
    _rule("not_exists", r"\b(?:{FAKE}|invalid)(?: {NOUNS})?:? {LIST}"),
    _rule("not_exists", r"{LIST}: ?(?:no\b|not found|not real|{FAKE}|invalid|does not exist)"),
    _rule("not_exists", r"{LIST} {DO_NOT}(?=[.,!]|$)"),
)

_ACCEPTANCES = (
    _rule(
        "exists",
        r"(?P<of>{N})(?: {NOUN})? {ADV}(?:does |do )?{HAVE} {ADV}(?:the |a |an |its |both"
        r" )?(?:(?:real|following|key|own) )?(?:{NOUNS} )?(?:{NAMED} )?:? ?{LIST}",
        of_exists=True,
    ),
    _rule("exists", r"{LIST}{PLACE} {ADV}(?:does |do |did )?{ADV}exists?\b{PLACE_AFTER}"),
    _rule("exists", r"{LIST} {ADV}(?:is|are|was|were)(?: not|n't) {ADV}(?:an? )?(?:{FAKE}|{SLIP})"),
    _rule(
        "exists",
        r"{LIST} {ADV}(?:is|are) {ADV}(?:an?\b|the\b|one of|our\b|its\b|real\b|valid\b|there\b|present|available|part"
        r" of|listed|among|defined|",
        r"included|where|known|in\b|on\b|not an? \w+,? but)(?: (?:\w+ ){0,3}?(?:of|in|from|on) (?P<of>{N}))?",
    ),
    _rule(
        "exists",
        r"\bthere (?:is|are|exists?|does exist) {ADV}(?:an? |the |both |one |two |three )?{SUCH}(?:{NOUNS}[,:]? )?(?:{NAMED}"
        r" )?{LIST}{PLACE_AFTER}",
    ),
    _rule(
        "exists",
        r"\b{HOLDER} {ADV}(?:does |do |can )?{ADV}(?:{HAVE}|find|see|recogni[sz]e) {ADV}(?:the |an? |both"
        r" )?{SUCH}(?:{NOUNS} )?(?:{NAMED} )?",
        r"{LIST}{PLACE_AFTER}",
    ),
    _rule("exists", r"^\W*(?:yes|correct|right|indeed|sure|certainly)\b\W*?{LIST}"),
    _rule("exists", r"{LIST}: ?(?:yes\b|real\b|valid\b|exists)"),
    _rule("exists", r"\b(?:real|existing|what exists is|is called|is named)(?: {NOUNS})?:? {LIST}"),
    _rule(
        "exists",
        r"{LIST} {ADV}(?:stores?|holds?|keeps?|records?|contains?|tracks?|has|have|carries|represents?|belongs?|describes?|"
        r"means|lives?|refers? to|gives?)\b",
    ),
)

RULES = (*_OFFERS, *_DENIALS, *_ACCEPTANCES)
