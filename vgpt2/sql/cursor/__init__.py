"""The end of an unfinished SQL text: which names may stand there, by position and by what the text has defined so far.

    cursor = Cursor(Schema(catalogue))
    cursor.feed("SELECT APTH.")       # True: nothing is wrong so far
    cursor.going_on()                 # the columns of APTH
    cursor.feed("Foo ")               # False: APTH has no such column

A statement that the parser refuses has no names that count, so only positions of well-formed T-SQL matter. What is followed: tables after
FROM, JOIN, APPLY and the words that change rows; columns behind a qualifier; aliases, CTEs, derived tables, #temp tables. Where columns
cannot be told, as of a PIVOT, the qualifier takes no dot. Unqualified columns are free.
"""

from vgpt2.sql.cursor.answer import UnfinishedAnswer, each
from vgpt2.sql.cursor.ending import Cursor
from vgpt2.sql.cursor.names import Schema

__all__ = ["Cursor", "Schema", "UnfinishedAnswer", "each"]
