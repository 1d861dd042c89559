"""Guesses at how an answer goes on: as it went on the last time the same few tokens stood in its prompt or in any answer.

A forward reads every weight whether it computes one token a row or five, so guessed tokens cost little. Each is checked against the
token that the model chooses at its place, and from the first wrong one on they are forgotten: answers are those of one token a step. SQL
copies names from its schema, and answers to questions of one kind are worded alike. Guessing and checking: Leviathan et al. 2023,
arXiv:2211.17192; a look-up stands for their small model, and a guess counts where it is the very token chosen, drawn or likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence

CONTEXTS = (6, 3, 1)  # tokens that must have gone before alike; the longest context is asked first
FIRST_REACH, LONGEST_REACH = 2, 8  # tokens of a guess
PLACES = 1 << 17  # remembered at most: of about a thousand answers


class Continuations:
    """What followed each short run of tokens, the last time it occurred in the sequences that were added."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, ...], tuple[Sequence[int], int]] = {}

    def add(self, sequence: Sequence[int], start: int) -> None:
        """Notes the tokens from `start` on; what is appended to the sequence later can be found through it."""
        for end in range(start, len(sequence)):
            for context in CONTEXTS:
                if context <= end:
                    self._places[tuple(sequence[end - context : end])] = sequence, end
        while len(self._places) > PLACES:
            del self._places[next(iter(self._places))]

    def find(self, sequence: Sequence[int], context: int) -> tuple[Sequence[int], int] | None:
        """Where the last `context` tokens of `sequence` stood before: in which sequence, and the place behind them."""
        return self._places.get(tuple(sequence[-context:])) if len(sequence) >= context else None


class Drafter:
    """Guesses for one row: from its own prompt and answer, else from the answers of all rows."""

    def __init__(self, prompt: Sequence[int], answers: Continuations) -> None:
        self._text = list(prompt)
        self._own, self._all = Continuations(), answers
        self._own.add(self._text, 0)
        self._reach = FIRST_REACH

    def take(self, token_id: int) -> None:
        """The answer's next token."""
        self._text.append(token_id)
        for known in (self._own, self._all):
            known.add(self._text, len(self._text) - 1)

    def guess(self, most: int) -> list[int]:
        """At most `most` tokens; none where the present end of the answer has never occurred."""
        for context in CONTEXTS:
            for known in (self._own, self._all):
                if place := known.find(self._text, context):
                    sequence, start = place
                    return list(sequence[start : start + min(most, self._reach)])
        return []

    def learn(self, right: int) -> None:
        """How many tokens of the last guess were right: the next one may reach further than that, but not far."""
        self._reach = min(2 * right + FIRST_REACH, LONGEST_REACH)
