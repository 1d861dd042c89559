"""The text of an answer as its tokens come: nothing is told that may still change, and nothing from a stop string on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
UNFINISHED = "\ufffd"  # how a decoder shows the beginning of a character of several tokens


class Transcript:
    """Text of the tokens so far, handed out in pieces that never change.

    Held back are an unfinished character, and an end of the text that may be the beginning of a stop string.
    """

    def __init__(self, decode: Decode, stops: Sequence[str] = ()) -> None:
        self.stopped = False
        self._decode, self._stops = decode, tuple(stops)
        self._ids: list[int] = []  # since a border of characters, one token before it included
        self._told = ""  # the text of those of them that are decoded already
        self._held = ""

    def add(self, token_id: int) -> str:
        """The next piece of text that is certain, '' where there is none; sets `stopped` where a stop string is complete."""
        self._ids.append(token_id)
        text = self._decode(self._ids)
        if text.endswith(UNFINISHED) or not text.startswith(self._told):
            return ""
        self._held += text[len(self._told) :]
        # A decoder may treat the first token apart (SentencePiece drops its blank), so one token before the border stays.
        self._ids = self._ids[-1:]
        self._told = self._decode(self._ids)
        return self._release()

    def rest(self) -> str:
        """What was held back, once no token follows; '' behind a stop string."""
        if self.stopped:
            return ""
        text = self._held + self._decode(self._ids)[len(self._told) :]
        self._held = ""
        return text

    def _release(self) -> str:
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._held[: min(found)]
        kept = max((overlap(self._held, stop) for stop in self._stops), default=0)
        piece, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        return piece


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop)), 0, -1) if text.endswith(stop[:n])), 0)
