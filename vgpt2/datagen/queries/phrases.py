"""The grammar of what is wanted: noun phrases and direct questions that say the plan of each kind.

Slots are filled by `wording`: {shown} and {bare} columns (with and without an article), {rows} with their owner if it stands there,
{where} {sort} {having} {within} suffixes that may be empty, and the parts that only some kinds have. Only append: a phrase's number is part
of a template's id, in data and in suites. The second tuple of each kind is kept for suites.
"""

from __future__ import annotations

NOUN_PHRASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "list": (
        (
            "{shown} of {rows}{where}{sort}",
            "{rows}{where} with {bare}{sort}",
            "{shown} from {rows}{where}{sort}",
            "{shown} as found in {rows}{where}{sort}",
            "{rows}{where}: {bare}{sort}",
        ),
        ("{rows}{where}, each with {bare}{sort}",),
    ),
    "lookup": (
        (
            "{shown} of {rows}{where} with {others}{sort}",
            "{rows}{where} with {bare} and {others}{sort}",
            "{shown} of {rows}{where}, and {others}{sort}",
            "{rows}{where}: {bare}, plus {others}{sort}",
            "{shown} from {rows}{where} next to {others}{sort}",
        ),
        ("{rows}{where}, shown as {bare}, completed by {others}{sort}",),
    ),
    "lines": (
        (
            "{shown} of {rows}{where} with {others}{sort}",
            "{rows}{where} line by line: {bare} and {others}{sort}",
            "{rows}{where} with their lines, showing {bare} and {others}{sort}",
            "every line of {rows}{where}: {bare}, then {others}{sort}",
        ),
        ("{rows}{where} together with what they consist of: {bare}, {others}{sort}",),
    ),
    "exists": (
        (
            "{shown} of {rows}{where} {test}",
            "{rows} {test}{where}, with {bare}",
            "{shown} for those {rows}{where} {test}",
            "all {rows}{where} {test}: {bare}",
        ),
        ("{bare} wherever {rows} are found {test}{where}",),
    ),
    "missing": (
        (
            "{shown} of {rows}{where} {test}",
            "{rows} {test}{where}, with {bare}",
            "{shown} for those {rows}{where} {test}",
            "all {rows}{where} {test}: {bare}",
        ),
        ("{bare} wherever {rows} are found {test}{where}",),
    ),
    "distinct": (
        (
            "the different values of {bare} in {rows}{where}{sort}",
            "every distinct {bare} of {rows}{where}{sort}",
            "{shown} of {rows}{where} without repeats{sort}",
            "a list of {shown} that occurs in {rows}{where}, each once{sort}",
        ),
        ("{bare} in {rows}{where}, duplicates removed{sort}",),
    ),
    "top": (
        (
            "the {n} {rows}{where} with the {extreme} {by}, showing {shown}",
            "{shown} of the {n} {rows}{where} that have the {extreme} {by}",
            "the first {n} {rows}{where} by {extreme} {by}, with {bare}",
            "{n} {rows}{where}, {extreme} {by} first: {bare}",
        ),
        ("{bare} for no more than {n} {rows}{where}, starting at the {extreme} {by}",),
    ),
    "days": (
        (
            "{shown} of {rows}{where} with {days}",
            "{days} for {rows}{where}, beside {bare}",
            "{rows}{where} with {bare} and {days}",
            "{rows}{where}: {bare}, and how long it is in days, that is {days}",
        ),
        ("{days}, as counted for {rows}{where}, after {bare}",),
    ),
    "count": (
        (
            "the number of {counted}{where}",
            "a count of {counted}{where}",
            "how many {counted} there are{where}",
            "one figure: {counted}{where}, counted",
        ),
        ("the size of the set of {counted}{where}",),
    ),
    "total": (
        (
            "{measure} of {rows}{where}",
            "{measure} over all {rows}{where}",
            "{measure} across {rows}{where}",
            "a single figure for {rows}{where}: {measure}",
        ),
        ("{measure} taken from {rows}{where} as a whole",),
    ),
    "by": (
        (
            "{measured} per {per}{where}{sort}",
            "{measured}{where}, broken down by {per}{sort}",
            "{measured}{where} for each {per}{sort}",
            "{measured}{where}, listed by {per}{sort}",
        ),
        ("{measured}{where}, one line for every {per}{sort}",),
    ),
    "having": (
        (
            "{measured} per {per}{where}, only where we find {having}",
            "{measured}{where} for each {per} with {having}",
            "every {per} that has {having}, with {measured}{where}",
            "{measured}{where} by {per}, leaving out every one without {having}",
        ),
        ("{measured}{where}, per {per}, provided we find {having}",),
    ),
    "ranking": (
        (
            "the {n} values of {per} with the {extreme} {short}, that is {measured}{where}",
            "{measured} per {per}{where}, only the {n} {extreme}",
            "the {top} {n} by {per}: {measured}{where}",
            "{measured}{where} for each {per}, {extreme} first, cut off after {n}",
        ),
        ("a podium of {n}, by {per}: {measured}{where}, {extreme} first",),
    ),
    "latest": (
        (
            "{shown} of the {nth}{where} for each {per}, going by {by}",
            "per {per} the {nth}{where} by {by}, with {bare}",
            "the {nth}{where} per {per} according to {by}, showing {shown}",
            "the {nth} by {by} per {per}{where}: {bare}",
        ),
        ("{bare} of nothing but the {nth}{where} by {by}, per {per}",),
    ),
    "running": (
        (
            "a running total of {amount} over {rows}{where}, in order of {by}{within}, beside {shown}",
            "{amount} of {rows}{where} accumulated by {by}{within}, with {bare}",
            "the running sum of {amount} of {rows}{where} as {by} advances{within}, next to {shown}",
            "{rows}{where} in order of {by}{within}: {bare}, and {amount} summed up so far",
        ),
        ("{amount} of {rows}{where} piling up by {by}{within}, after {bare}",),
    ),
    "totals": (
        (
            "{shown} of {rows}{where} with {details}",
            "{rows}{where} with {bare} and {details}",
            "{rows}{where}: {bare} plus {details}",
            "{shown} for {rows}{where}, and for each of them {details}",
        ),
        ("{rows}{where}, row by row {bare} and then {details}",),
    ),
}
# whole sentences without their question mark
QUESTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "list": (
        (
            "what do we have on record for {shown} of {rows}{where}{sort}",
            "which {bare} do we find in {rows}{where}{sort}",
        ),
        ("{rows}{where}: what {bare}",),
    ),
    "lookup": (
        ("what do we have on record for {shown} of {rows}{where}, along with {others}{sort}",),
        ("{rows}{where}: what {bare}, and what {others}",),
    ),
    "lines": (
        ("what do we have on record for {shown} of {rows}{where}, along with {others}{sort}",),
        ("{rows}{where}: what {bare}, and what {others}",),
    ),
    "exists": (
        ("which {rows} are there {test}{where}, and with what {bare}",),
        ("{rows}{where} {test}: which, and what {bare}",),
    ),
    "missing": (
        ("which {rows} are there {test}{where}, and with what {bare}",),
        ("{rows}{where} {test}: which, and what {bare}",),
    ),
    "distinct": (
        (
            "which {bare} occurs in {rows}{where}{sort}",
            "what different values does {bare} take in {rows}{where}{sort}",
        ),
        ("{bare} in {rows}{where}: which",),
    ),
    "top": (
        ("which {n} {rows}{where} have the {extreme} {by}, and what {bare}",),
        ("what {bare} have the {n} {rows}{where} of the {extreme} {by}",),
    ),
    "days": (
        ("how many days are {days} for {rows}{where}, with {bare}",),
        ("for {rows}{where}, what are {bare} and {days}",),
    ),
    "count": (
        (
            "how many {counted} are there{where}",
            "how many {counted} do we have{where}",
        ),
        ("what is the number of {counted}{where}",),
    ),
    "total": (
        (
            "what is {measure} of {rows}{where}",
            "what does {measure} of {rows}{where} come to",
        ),
        ("{rows}{where}: what is {measure}",),
    ),
    "by": (
        (
            "what is {measured} per {per}{where}{sort}",
            "how does {measured}{where} break down by {per}{sort}",
        ),
        ("per {per}, what is {measured}{where}",),
    ),
    "having": (
        ("which {per} has {having}, and what is {measured}{where}",),
        ("where do we find {having} per {per}, given {measured}{where}",),
    ),
    "ranking": (
        ("which {n} values of {per} have the {extreme} {short}, looking at {measured}{where}",),
        ("what is the {top} {n} by {per} of {measured}{where}",),
    ),
    "latest": (
        ("what {is} the {nth}{where} for each {per} by {by}, with {bare}",),
        ("per {per}, which {is} the {nth}{where} by {by}, and what {bare}",),
    ),
    "running": (
        ("how does {amount} of {rows}{where} add up in order of {by}{within}, with {bare}",),
        ("by {by}{within}, what has {amount} of {rows}{where} come to so far, with {bare}",),
    ),
    "totals": (
        ("what do we have on record for {shown} of {rows}{where}, and for each of them what is {details}",),
        ("for {rows}{where}: what {bare}, and what is {details}",),
    ),
}


def noun_phrases(kind: str, *, held_out: bool) -> list[tuple[str, str]]:
    """(number, phrase) of one side of the line."""
    return _numbered(NOUN_PHRASES[kind][held_out], "h" if held_out else "p")


def questions(kind: str, *, held_out: bool) -> list[tuple[str, str]]:
    return _numbered(QUESTIONS[kind][held_out], "g" if held_out else "q")


def _numbered(phrases: tuple[str, ...], mark: str) -> list[tuple[str, str]]:
    return [(f"{mark}{number}", phrase) for number, phrase in enumerate(phrases, 1)]
