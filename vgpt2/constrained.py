"""Decoding in which SQL names only tables and qualified columns of the catalogue; prose, comments and ending the SQL stay free.

    constraints = NameConstraints(catalogue, tokenizer)
    Request(prompt, 256, constraint=constraints.of_answer)

A token is tried on the text: the cursor of vgpt2.sql goes on by it and says whether every name so far is real or can become real. Only
where the model's own choice is refused are the tokens looked up that spell names from here; these masks are kept by place and beginning.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.cursor import Cursor, Schema
from vgpt2.sql.extract import open_sql
from vgpt2.tokenizer import ChatTokenizer

MASKS = 512  # kept at once: 25 MB of a vocabulary of 49,152


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
        # marks of a fence depend on what stands before them on the line, and are left to the model's own choice
        self.signs = [n for n, spelling in enumerate(self.spellings) if spelling and not any(map(_is_no_sign, _each(spelling)))]
        self.masks: dict[tuple[object, ...], Tensor] = {}

    def of_answer(self) -> NameConstraint:
        """The constraint of one answer, from its first token."""
        return NameConstraint(self)


class NameConstraint:
    """The constraint of one answer: its text so far, and the cursor of the SQL that it ends in."""

    def __init__(self, shared: NameConstraints) -> None:
        self._shared = shared
        self._state = _State("", b"", None, None)
        self._tried: dict[int, _State | None] = {}

    def allows(self, token_id: int) -> bool:
        """Whether the answer can go on with the token, or end with it."""
        if token_id in self._shared.eos_ids:
            cursor = self._state.cursor
            return cursor is None or cursor.may_end()
        if token_id not in self._tried:
            spelling = self._shared.spellings[token_id]
            self._tried[token_id] = self._state.after(spelling, self._shared.schema) if spelling else None
        return self._tried[token_id] is not None

    def feed(self, token_id: int) -> None:
        assert self.allows(token_id), "a token that the constraint refuses"
        state = self._tried[token_id]
        assert state is not None
        self._state, self._tried = state, {}

    def allowed(self) -> Tensor:
        """(V,) bool: tokens that may come; a refused one is told here, others are refused when they are tried."""
        cursor = self._state.cursor
        if cursor is not None and cursor.expects_name and not cursor.is_commenting:
            mask = self._names(cursor).clone()
        else:
            mask = ~self._shared.silent
            if cursor is not None and self._state.after(b"\n", self._shared.schema) is None:
                mask &= self._shared.begins_word  # a name that must not end here
        mask[[n for n in self._shared.eos_ids if n < len(mask)]] = cursor is None or cursor.may_end()
        refused = [token_id for token_id, state in self._tried.items() if state is None]
        mask[refused] = False
        return mask

    def _names(self, cursor: Cursor) -> Tensor:
        """The tokens that go on with a name, and the signs that may stand before or behind it."""
        shared = self._shared
        prefix, in_brackets = cursor.pending
        key = (cursor.place, self._state.held)
        has_begun = bool(prefix or in_brackets or self._state.held)
        if key not in shared.masks:
            if len(shared.masks) >= MASKS:
                shared.masks.clear()
            begun = prefix.encode() + self._state.held
            spelt = [name.encode() for name in cursor.going_on()]
            ids = set(self._spelling({name[len(begun) :] for name in spelt if name.startswith(begun)}, blank=not has_begun))
            ids.update(n for n in shared.signs if self._state.after(shared.spellings[n], shared.schema) is not None)
            mask = torch.zeros(len(shared.spellings), dtype=torch.bool)
            mask[sorted(ids)] = True
            shared.masks[key] = mask
        return shared.masks[key]

    def _spelling(self, rests: Iterable[bytes], *, blank: bool) -> Iterable[int]:
        """Tokens that are a beginning of one of the rests, with a blank before it where one may stand."""
        for beginning in {rest[:end] for rest in rests for end in range(1, len(rest) + 1)}:
            yield from self._shared.ids.get(beginning, ())
            if blank:
                yield from self._shared.ids.get(b" " + beginning, ())


class _State:
    """An answer so far; never changed, since what may follow is tried from it."""

    def __init__(self, text: str, held: bytes, start: int | None, cursor: Cursor | None) -> None:
        self.text, self.held = text, held  # held: the bytes of an unfinished character
        self.start, self.cursor = start, cursor

    def after(self, spelling: bytes, schema: Schema) -> _State | None:
        """The answer with these bytes more; None where its SQL would name what does not exist."""
        whole, held = _whole(self.held + spelling)
        text = self.text + whole
        start = open_sql(text)
        if start is None:
            return _State(text, held, None, None)
        same = start == self.start and self.cursor is not None
        cursor = self.cursor.copy() if same and self.cursor is not None else Cursor(schema)
        if not cursor.feed(whole if same else text[start:]):
            return None
        if held and cursor.expects_name and not cursor.is_commenting:
            begun = cursor.pending[0].encode() + held
            if not any(name.encode().startswith(begun) for name in cursor.going_on()):
                return None
        return _State(text, held, start, cursor)


def _whole(data: bytes) -> tuple[str, bytes]:
    """The text of whole characters, and the bytes of one that is not whole yet."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return decoder.decode(data), decoder.getstate()[0]


def _each(spelling: bytes) -> Sequence[bytes]:
    return [spelling[n : n + 1] for n in range(len(spelling))]


def _is_no_sign(byte: bytes) -> bool:
    return _is_word(byte) or byte in (b"`", b"~")


def _is_word(byte: bytes) -> bool:
    """Whether the byte is part of a name, or of a character that may be."""
    return byte.isalnum() or byte in (b"_", b"@", b"#", b"$") or byte > b"\x7f"
