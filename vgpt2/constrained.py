"""Decoding in which SQL names only tables and qualified columns of the catalogue; prose, comments and ending the SQL stay free.

    constraints = NameConstraints(catalogue, tokenizer)
    Request(prompt, 256, constraint=constraints.of_answer)

A token is tried on the text: the cursor of vgpt2.sql goes on by it and says whether every name so far is real or can become real. It is
allowed only where a way to an end of the answer is known, and the next character of that way is always allowed: so there is no dead end.
Only where the model's own choice is refused are the tokens looked up that spell names from here; these masks are kept by place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.cursor import Schema, UnfinishedAnswer, each
from vgpt2.tokenizer import ChatTokenizer

MASKS = 512  # kept at once: 25 MB of a vocabulary of 49,152
WAYS = 16_384
MOST_REFUSED = 32  # tokens tried one by one at a place; then the way out alone is left


class NameConstraints:
    """What the constraints of all answers share: the catalogue's names and the vocabulary's bytes."""

    def __init__(self, catalogue: Catalogue, tokenizer: ChatTokenizer, *, vocab_size: int | None = None) -> None:
        """`vocab_size` is the model's, where it has more rows than the tokenizer has tokens."""
        self.schema = Schema(catalogue)
        self.eos_ids = frozenset(tokenizer.eos_ids)
        self.spellings = [*tokenizer.token_bytes(), *[b""] * ((vocab_size or 0) - tokenizer.vocab_size)]
        self.ids: dict[bytes, list[int]] = {}
        for token_id, spelling in enumerate(self.spellings):
            self.ids.setdefault(spelling, []).append(token_id)
        # control tokens have no spelling: they stay out of an answer
        self.silent = torch.tensor([not spelling for spelling in self.spellings])
        self.begins_word = torch.tensor([_is_word(spelling[:1]) for spelling in self.spellings])
        self.signs = _signs(self.spellings)
        self.masks: dict[tuple[object, ...], Tensor] = {}
        self.ways: dict[tuple[object, ...], bytes | None] = {}

    def of_answer(self) -> NameConstraint:
        """The constraint of one answer, from its first token."""
        return NameConstraint(self)

    def way_out(self, state: UnfinishedAnswer) -> bytes | None:
        """What leads, byte by byte, to a state in which the answer may end; b'' where it may, None where nothing was found."""
        if state.may_end():
            return b""
        key = state.place if state.is_sure else None  # elsewhere the answer decides what is SQL
        if key is None:
            return self._found_way(state)
        if key not in self.ways:
            if len(self.ways) >= WAYS:
                self.ways.clear()
            self.ways[key] = self._found_way(state)
        return self.ways[key]

    def _found_way(self, state: UnfinishedAnswer) -> bytes | None:
        return next((way for way in state.ways() if self._leads_out(state, way)), None)

    def _leads_out(self, state: UnfinishedAnswer, way: bytes) -> bool:
        found: UnfinishedAnswer | None = state
        for byte in each(way):
            found = found.after(byte) if found is not None and byte in self.ids else None
        return found is not None and found.may_end()


class NameConstraint:
    """The constraint of one answer: its text so far, the cursor of the SQL that it ends in, and a way to its end."""

    def __init__(self, shared: NameConstraints) -> None:
        self._shared = shared
        self._state, self._way = UnfinishedAnswer(shared.schema), b""
        self._tried: dict[int, tuple[UnfinishedAnswer, bytes] | None] = {}

    @property
    def text(self) -> str:
        return self._state.text

    @property
    def promised(self) -> int | None:
        """A token that is always allowed: the next one of a way out; None where the answer may end."""
        return self._shared.ids[self._way[:1]][0] if self._way else None

    def allows(self, token_id: int) -> bool:
        """Whether the answer can go on with the token, or end with it."""
        if token_id in self._shared.eos_ids:
            return not self._way
        if token_id not in self._tried:
            self._tried[token_id] = self._try(self._shared.spellings[token_id])
        return self._tried[token_id] is not None

    def feed(self, token_id: int) -> None:
        assert self.allows(token_id), "a token that the constraint refuses"
        tried = self._tried[token_id]
        assert tried is not None
        (self._state, self._way), self._tried = tried, {}

    def allowed(self) -> Tensor:
        """(V,) bool: tokens that may come; a refused one is told here, others are refused when they are tried."""
        shared, state = self._shared, self._state
        refused = [token_id for token_id, tried in self._tried.items() if tried is None]
        if len(refused) > MOST_REFUSED:
            mask = torch.zeros_like(shared.silent)
        elif state.expects_name:
            mask = self._names().clone()
        else:
            mask = ~shared.silent
            if self._way and state.after(b"\n") is None:
                mask &= shared.begins_word  # a name that must not end here
        mask[refused] = False
        mask[[n for n in shared.eos_ids if n < len(mask)]] = not self._way
        if self._way:
            mask[shared.ids[self._way[:1]]] = True
        return mask

    def _try(self, spelling: bytes) -> tuple[UnfinishedAnswer, bytes] | None:
        """The state behind the spelling, with a way out of it; None where there is none."""
        state = self._state.after(spelling) if spelling else None
        if state is None:
            return None
        if len(spelling) == 1 and spelling == self._way[:1]:
            return state, self._way[1:]  # on the way that was found before, where nothing stands in it
        way = self._shared.way_out(state)
        return None if way is None else (state, way)

    def _names(self) -> Tensor:
        """The tokens that go on with a name, and those that may stand before or behind it."""
        shared, state = self._shared, self._state
        key = state.place
        assert key is not None
        if key not in shared.masks:
            if len(shared.masks) >= MASKS:
                shared.masks.clear()
            mask = torch.zeros_like(shared.silent)
            mask[sorted(set(self._spelling()))] = True
            if state.begun and state.after(b"\n") is not None:
                mask |= ~shared.silent & ~shared.begins_word  # the name is whole
            else:
                mask[sorted(self._signs())] = True
            shared.masks[key] = mask
        return shared.masks[key]

    def _spelling(self) -> Iterator[int]:
        """Tokens that are the beginning of what a name lacks, with a blank before it where one may stand."""
        begun = self._state.begun
        rests = {rest[:end] for rest in self._state.rests() for end in range(1, len(rest) + 1)}
        for beginning in rests:
            yield from self._shared.ids.get(beginning, ())
            if not begun:
                yield from self._shared.ids.get(b" " + beginning, ())

    def _signs(self) -> Iterator[int]:
        shared, state = self._shared, self._state
        for first, token_ids in shared.signs.items():
            if state.after(first) is not None:
                yield from (n for n in token_ids if state.after(shared.spellings[n]) is not None)


def _signs(spellings: Iterable[bytes]) -> dict[bytes, list[int]]:
    """Tokens without a letter by their first byte; marks of a fence depend on what stands before them and are the model's own choice."""
    found: dict[bytes, list[int]] = {}
    for token_id, spelling in enumerate(spellings):
        if spelling and not any(_is_word(byte) or byte in (b"`", b"~") for byte in each(spelling)):
            found.setdefault(spelling[:1], []).append(token_id)
    return found


def _is_word(byte: bytes) -> bool:
    """Whether the byte is part of a name, or of a character that may be."""
    return byte.isalnum() or byte in (b"_", b"@", b"#", b"$") or byte > b"\x7f"
