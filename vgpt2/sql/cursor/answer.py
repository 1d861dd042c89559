"""The end of an unfinished answer, byte by byte: whether it stands in SQL, and what may follow so that no name there is unreal."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from vgpt2.sql.cursor.ending import Cursor
from vgpt2.sql.cursor.names import Schema
from vgpt2.sql.extract import is_sure, open_sql

_MARKS = ("```", "````", "~~~", "~~~~", "</sql>", "</query>", "</tsql>")
# the end of a text that may become a mark, which closes SQL; the cursor gets to know it when it turns out to be none
_MARK = re.compile(r"(?:(?:\A|(?<=\n))[ \t>]*(?:`+|~+)|<(?:/\w{0,5})?)\Z")
_MAY_BE_A_MARK = re.compile(r"[`~<]")
_MAY_END_SQL = re.compile(r"[`~<>\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # and of a line's end


class UnfinishedAnswer:
    """An answer so far; never changed, since what may follow is tried from it."""

    def __init__(
        self, schema: Schema, text: str = "", held: bytes = b"", start: int | None = None, cursor: Cursor | None = None, fed: int = 0
    ) -> None:
        self._schema = schema
        self.text, self.held = text, held  # held: the bytes of an unfinished character
        self.start, self.cursor = start, cursor
        self.fed = fed  # up to here the cursor knows the text; behind it a mark may have begun
        self.is_sure = start is not None and is_sure(text, start)

    @property
    def expects_name(self) -> bool:
        return self.cursor is not None and self.cursor.expects_name and self.fed == len(self.text)

    @property
    def place(self) -> tuple[object, ...] | None:
        """What decides how a name may go on; None where none is expected."""
        return (*self.cursor.place, self.held) if self.cursor is not None and self.expects_name else None

    @property
    def begun(self) -> bytes:
        """The beginning of the name at the end, with the sign that opened it."""
        begun, sign = self.cursor.pending if self.cursor is not None else ("", "")
        return f"{sign}{begun}".encode() + self.held

    def rests(self) -> Iterator[bytes]:
        """What the names lack that the end of the text can become."""
        if self.cursor is None:
            return
        begun = self.cursor.pending[0].encode() + self.held
        yield from (name[len(begun) :] for name in map(str.encode, self.cursor.going_on()) if name.startswith(begun))

    def after(self, spelling: bytes) -> UnfinishedAnswer | None:
        """The answer with these bytes more; None where its SQL would name what does not exist."""
        whole, held = _whole(self.held + spelling)
        text = self.text + whole
        if self._goes_on(whole):
            start = self.start
        elif len(spelling) > 1 and _MAY_END_SQL.search(whole):  # SQL may end or begin within the token
            return self._byte_by_byte(spelling)
        else:
            start = open_sql(text)
        if start != self.start and self.cursor is not None and not self.cursor.may_end():
            return None  # what it ends in would stay as it is
        if start is None:
            return UnfinishedAnswer(self._schema, text, held)
        mark = _MARK.search(text, max(start, text.rfind("\n") + 1))
        known = mark.start() if mark else len(text)
        if start == self.start and self.cursor is not None:
            cursor, fed = self.cursor.copy(), self.fed
        else:
            cursor, fed = Cursor(self._schema), start
        if known > fed and not cursor.feed(text[fed:known]):
            return None
        found = UnfinishedAnswer(self._schema, text, held, start, cursor, max(fed, known))
        return None if held and found.expects_name and not any(found.rests()) else found

    def _byte_by_byte(self, spelling: bytes) -> UnfinishedAnswer | None:
        found: UnfinishedAnswer | None = self
        for byte in each(spelling):
            found = found and found.after(byte)
        return found

    def _goes_on(self, added: str) -> bool:
        """Whether what is added leaves the SQL where it is, as is seen without a look at the whole answer."""
        return self.is_sure and self.fed == len(self.text) and not _MAY_BE_A_MARK.search(added)

    def may_end(self) -> bool:
        return self.cursor is None or (not self.held and self.fed == len(self.text) and self.cursor.may_end())

    def ways(self) -> Iterator[bytes]:
        """What may lead out: the mark that has begun, as one or as none; the rest of a character; what the cursor knows."""
        if self.cursor is None:
            return
        if begun := self.text[self.fed :].lstrip(" \t>"):
            yield from (mark.removeprefix(begun).encode() for mark in _MARKS if mark.startswith(begun) and mark != begun)
        if begun or self.held:
            yield from (*self.rests(), b" ", b"\n")
            return
        yield from map(str.encode, self.cursor.ways_out())


def _whole(data: bytes) -> tuple[str, bytes]:
    """The text of whole characters, and the bytes of one that is not whole yet."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return decoder.decode(data), decoder.getstate()[0]


def each(spelling: bytes) -> list[bytes]:
    """The bytes of a text, one by one."""
    return [spelling[n : n + 1] for n in range(len(spelling))]
