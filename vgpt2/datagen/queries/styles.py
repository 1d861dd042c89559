"""How people open and close a request: eight styles of sentences, and slips of the keyboard.

Sentences with an `h` mark are kept for suites. `{}` takes a noun phrase; questions that are whole sentences stand with their endings only.
"""

from __future__ import annotations

import re
from random import Random

# style -> (sentences for training, sentences for suites)
REQUESTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "imperative": (
        ("Show {}.", "List {}.", "Give me {}.", "Return {}.", "Pull {}.", "Fetch {}.", "Write a query for {}.", "Select {}."),
        ("Retrieve {}.", "Produce {}."),
    ),
    "interrogative": (
        ("Can you give me {}?", "Could you write the query for {}?", "What SQL gives me {}?", "How do I get {}?", "May I have {}?"),
        ("Which statement yields {}?", "Would you look up {}?"),
    ),
    "formal": (
        (
            "Please provide {}.",
            "Kindly prepare a query that returns {}.",
            "I would appreciate a query for {}.",
            "What is required is a statement that returns {}.",
            "For our records, please supply {}.",
        ),
        ("You are asked to furnish {}.", "It would be helpful to receive {}."),
    ),
    "terse": (
        ("{}", "{}.", "need {}", "{} pls", "query: {}", "sql: {}"),
        ("want {}", "quick select: {}"),
    ),
    "conversational": (
        (
            "Hey, could you pull this for me: {}?",
            "Can you help? I'm after {}.",
            "I was wondering about {}.",
            "How would I write this for my boss: {}?",
            "Morning! I need {}.",
            "Quick one: I want to see {}.",
        ),
        ("Hi there, any chance of {}?", "Do me a favour and get {}."),
    ),
    "vague": (
        (
            "I think I need something that shows {}.",
            "I guess I want {}.",
            "Not sure how to put this, but I am after {}.",
            "Some kind of overview: {}.",
            "Roughly speaking, {}.",
        ),
        ("If you know what I mean: sort of {}.", "Whatever gets me {}."),
    ),
    "descriptive": (
        (
            "I am putting together a report. It has to show {}.",
            "We are closing the month and the reviewer asked for {}.",
            "For an audit I have to hand over {}.",
            "The meeting is tomorrow, and what I still lack is {}.",
            "I maintain a dashboard whose next tile shows {}.",
            "Somebody called about an old case; to answer I need {}.",
        ),
        ("The controller prepares a letter and relies on {}.", "We are moving offices and must file {}."),
    ),
    "metaphorical": (
        (
            "Shine a light on {}.",
            "Paint me a picture of {}.",
            "Dig up {}.",
            "Boil the data down to {}.",
            "Fish this out of the database: {}.",
            "Lay this on my desk: {}.",
        ),
        ("Open the drawer that holds {}.", "Pull the curtain back from {}."),
    ),
}
STYLES = tuple(REQUESTS)
# around a question that is a sentence already
QUESTION_STYLES: dict[str, tuple[str, ...]] = {
    "interrogative": ("{}?",),
    "conversational": ("Just curious: {}?", "{}? I can't find it on my own.", "Quick question: {}?"),
}
SQL_ONLY = (
    " SQL only.",
    " Only the SQL, please.",
    " Just the query.",
    " Answer with the query alone.",
    " No explanation, only SQL.",
    " Nothing but the SQL.",
)
PLAN_FIRST = (" Plan it first.", " Say briefly how, then the query.", " Outline the query before you write it.")
_WORD = re.compile(r"(?<![{\w])[A-Za-z]{5,}(?![\w}])")


def mistyped(sentence: str, rng: Random) -> str:
    """The sentence with one slip in one of its own words; what stands in for a {slot} comes later and stays right."""
    words = list(_WORD.finditer(sentence))
    if not words:
        return sentence
    word = rng.choice(words)
    at = word.start() + rng.randrange(1, len(word[0]) - 1)
    slip = rng.choice(("swap", "drop", "double"))
    if slip == "swap":
        return sentence[:at] + sentence[at + 1] + sentence[at] + sentence[at + 2 :]
    return sentence[:at] + sentence[at + 1 :] if slip == "drop" else sentence[: at + 1] + sentence[at:]
