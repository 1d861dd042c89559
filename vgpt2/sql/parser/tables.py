"""What stands inside CREATE TABLE and ALTER TABLE: columns with their types and options, and the keys of the table.

Options that state no fact of a catalogue (CHECK, COLLATE, storage) are passed over, whatever their words.
"""

from __future__ import annotations

from collections.abc import Callable

from vgpt2.sql.lexer import BROKEN, END, GO, NUMBER, QUOTED, STRING, VARIABLE, WORD, Token
from vgpt2.sql.parser import calls
from vgpt2.sql.parser.expressions import name
from vgpt2.sql.parser.nodes import Name, TypeName
from vgpt2.sql.parser.statement_nodes import ColumnDefinition, KeyDefinition, TableDefinition
from vgpt2.sql.parser.stream import Stream
from vgpt2.sql.parser.words import STATEMENTS

Ends = Callable[[Stream], bool]

_CONSTRAINTS = frozenset(("CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "DEFAULT", "INDEX"))
_KEY_WORDS = frozenset(("KEY", "INDEX"))
_OPTIONS = frozenset(
    (
        *("CONSTRAINT", "NOT", "NULL", "IDENTITY", "PRIMARY", "UNIQUE", "FOREIGN", "REFERENCES", "CHECK", "DEFAULT", "COLLATE", "AS"),
        *("GENERATED", "AUTO_INCREMENT", "AUTOINCREMENT", "COMMENT", "ON", "ROWGUIDCOL", "SPARSE", "FILESTREAM", "MASKED", "HIDDEN"),
    )
)
_IDENTITIES = frozenset(("IDENTITY", "AUTO_INCREMENT", "AUTOINCREMENT"))
_SERIAL_TYPES = frozenset(("serial", "bigserial", "smallserial"))
_TABLE_OPTIONS_END = frozenset(("CREATE", "ALTER", "INSERT", "DROP", "EXEC", "EXECUTE", "SET", "USE", "GRANT"))


def table_body(s: Stream, path: Name) -> TableDefinition:
    """table_body := ( element {, element} ) {storage clause}"""
    table = TableDefinition(path.pos, path)
    s.expect("(")
    while not s.at(")"):
        element(s, table, _ends_element)
        if not s.accept(","):
            break
    s.expect(")")
    while s.at("ON", "TEXTIMAGE_ON") and s.at_name(1):
        s.take()
        s.take()
        if s.at("("):
            s.skip_parentheses()
    if s.lenient:
        table.comment = _table_comment(s)
    return table


def altered(s: Stream, table: TableDefinition) -> None:
    """altered := [ADD [COLUMN]] element | ALTER|MODIFY [COLUMN] column | DROP [COLUMN|CONSTRAINT] name; ADD may enclose several in ( )"""
    if s.accept("ALTER", "MODIFY"):
        s.accept("COLUMN")
        changed = TableDefinition(table.pos, table.name)
        element(s, changed, _ends_alteration)
        table.changes += changed.columns
        return
    if s.accept("DROP"):
        kind = s.accept("COLUMN", "CONSTRAINT", "INDEX", "FOREIGN", "PRIMARY")
        if (kind is None or kind.key == "COLUMN") and _at_column(s):
            table.drops.append(s.take().name)
        while not _ends_alteration(s):
            _pass_over(s)
        return
    if s.accept("ADD"):
        s.accept("COLUMN")
    if s.at("("):
        s.take()
        element(s, table, _ends_element)
        while s.accept(","):
            element(s, table, _ends_element)
        s.expect(")")
    else:
        element(s, table, _ends_alteration)


def element(s: Stream, table: TableDefinition, ends: Ends) -> None:
    """element := constraint | name [type] {option} | name AS expression {option}; what it states is added to `table`"""
    if _at_constraint(s):
        _constraint(s, table)
        while not ends(s):
            _pass_over(s)
        return
    token = column_name(s)
    column = ColumnDefinition(token.pos, token.name)
    table.columns.append(column)
    if not s.at("AS"):
        column.type = column_type(s)
        column.identity = column.type is not None and s.lenient and column.type.name in _SERIAL_TYPES
    while not ends(s):
        _option(s, table, column)


def column_name(s: Stream) -> Token:
    """A name; in other databases' definitions also a word that T-SQL reserves."""
    return s.take() if _at_column(s) else s.name("a column")


def key_columns(s: Stream) -> list[str]:
    """key_columns := ( name [( length )] [ASC|DESC] {, ...} ); none where one of them is an expression, which no column stands for"""
    s.expect("(")
    names = []
    is_plain = True
    while True:
        is_plain &= _at_column(s) and not (s.peek().key == "(" and s.peek(2).kind is not NUMBER)
        if _at_column(s):
            names.append(s.take().name)
        while not s.at(",", ")"):
            _pass_over(s)
        if not s.accept(","):
            break
    s.expect(")")
    return names if is_plain else []


def clustering(s: Stream) -> bool | None:
    """clustering := [CLUSTERED|NONCLUSTERED]"""
    word = s.accept("CLUSTERED", "NONCLUSTERED")
    return None if word is None else word.key == "CLUSTERED"


def _at_column(s: Stream) -> bool:
    return s.at_name() or (s.lenient and s.tok.kind is WORD)


def _at_constraint(s: Stream) -> bool:
    key, second = s.tok.key, s.peek()
    if key in _CONSTRAINTS or (key == "PERIOD" and second.key == "FOR"):
        return True
    if not s.lenient:
        return False
    if key in ("FULLTEXT", "SPATIAL"):
        return second.key in _KEY_WORDS
    # `KEY name (column)` is an index, `key text(10)` a column
    return (key == "KEY" and s.peek(2).key == "(" and s.peek(3).kind is not NUMBER) or (key == "EXCLUDE" and second.key in ("USING", "("))


def _constraint(s: Stream, table: TableDefinition) -> None:
    """constraint := [CONSTRAINT name] ( PRIMARY KEY | UNIQUE | FOREIGN KEY ... REFERENCES ... | anything else, unread )"""
    if s.accept("CONSTRAINT") and not s.at("PRIMARY", "UNIQUE", "FOREIGN", "CHECK"):
        column_name(s)
    first = s.tok
    if s.accept_words("PRIMARY", "KEY"):
        _listed_key(s, table, first, "PRIMARY KEY")
    elif s.accept("UNIQUE"):
        s.accept(*_KEY_WORDS)
        _listed_key(s, table, first, "UNIQUE")
    elif s.accept_words("FOREIGN", "KEY"):
        if not s.at("("):
            column_name(s)
        columns = key_columns(s)
        s.expect("REFERENCES")
        _references(s, table, first, columns)


def _listed_key(s: Stream, table: TableDefinition, first: Token, kind: str) -> None:
    """A key over listed columns. Without a list, as in UNIQUE at a column of ALTER TABLE, nothing is added."""
    is_clustered = clustering(s)
    while s.lenient and not s.at("(", ",", ")", ";") and s.tok.kind not in (END, GO, BROKEN):  # an index name, USING BTREE
        s.take()
    if s.at("(") and (columns := key_columns(s)):
        table.keys.append(KeyDefinition(first.pos, kind, columns, is_clustered))


def _references(s: Stream, table: TableDefinition, first: Token, columns: list[str]) -> None:
    """references := name [( column {, column} )] { ON DELETE|UPDATE action }, the REFERENCES being read"""
    parent = name(s) if not (s.lenient and s.tok.kind is WORD and not s.at_name()) else _reserved_name(s)
    parent_columns = key_columns(s) if s.at("(") else []
    table.keys.append(KeyDefinition(first.pos, "FOREIGN KEY", columns, None, parent, parent_columns))
    while s.at("ON") and s.peek().key in ("DELETE", "UPDATE"):
        s.take()
        s.take()
        if not s.accept_words("SET", "NULL") and not s.accept_words("SET", "DEFAULT") and not s.accept_words("NO", "ACTION"):
            s.take()


def _reserved_name(s: Stream) -> Name:
    token = s.take()
    return Name(token.pos, (token.name,), (token.pos,))


def column_type(s: Stream) -> TypeName | None:
    """column_type := type; in other databases also {word} [( anything )] {word}, or nothing"""
    if not s.lenient:
        return calls.type_name(s)
    first = s.tok
    words: list[str] = []
    arguments: list[str] = []
    while s.tok.kind in (WORD, QUOTED) and s.tok.key not in _OPTIONS and not (words and s.at_words("CHARACTER", "SET")):
        if s.tok.text == "[]" or s.peek().key == ".":  # an array, or the schema of a type
            s.take()
            s.accept(".")
            continue
        words.append(s.take().name)
        if s.at("("):
            arguments = _type_arguments(s)
    return TypeName(first.pos, " ".join(words), tuple(arguments)) if words else None


def _type_arguments(s: Stream) -> list[str]:
    arguments = []
    s.expect("(")
    while not s.at(")"):
        if s.at("("):
            s.skip_parentheses()
            continue
        token = s.take()
        if token.kind in (END, BROKEN):
            s.fail("expected )", token)
        if token.key != ",":
            arguments.append(token.text)
    s.take()
    return arguments


def _option(s: Stream, table: TableDefinition, column: ColumnDefinition) -> None:
    """option := [NOT] NULL | IDENTITY | PRIMARY KEY | UNIQUE | REFERENCES ... | DEFAULT value | COMMENT string | anything else, unread"""
    first = s.tok
    if s.accept("CONSTRAINT"):
        column_name(s)
    elif s.accept_words("NOT", "NULL"):
        column.nullable = False
    elif s.accept("NULL"):
        column.nullable = True
    elif first.key in _IDENTITIES:
        s.take()
        column.identity = True
    elif s.accept_words("PRIMARY", "KEY"):
        table.keys.append(KeyDefinition(first.pos, "PRIMARY KEY", [column.name], clustering(s)))
    elif s.accept("UNIQUE"):
        s.accept("KEY")
        table.keys.append(KeyDefinition(first.pos, "UNIQUE", [column.name], clustering(s)))
    elif s.accept_words("FOREIGN", "KEY", "REFERENCES") or s.accept("REFERENCES"):
        _references(s, table, first, [column.name])
    elif s.accept_words("BY", "DEFAULT") or s.accept_words("NOT", "FOR"):
        s.accept("REPLICATION")
    elif s.accept("DEFAULT"):
        _default(s)
    elif s.lenient and s.at("COMMENT") and s.peek().kind is STRING:
        s.take()
        column.comment = text_of(s.take())
    else:
        _pass_over(s)


def _default(s: Stream) -> None:
    """default := {sign} ( ( anything ) | value [( arguments )] )"""
    while s.accept("+", "-"):
        pass
    if not s.at("("):
        s.take()
        while s.accept("."):
            s.take()
    if s.at("("):
        s.skip_parentheses()


def _pass_over(s: Stream) -> None:
    """One token, or a balanced parenthesis, that states nothing of interest."""
    if s.tok.kind in (END, GO, BROKEN):
        s.fail("expected )")
    if s.at("("):
        s.skip_parentheses()
    else:
        s.take()


def _ends_element(s: Stream) -> bool:
    return s.at(",", ")")


def _ends_alteration(s: Stream) -> bool:
    """Whether the cursor is behind one element of ALTER TABLE, which no parenthesis closes."""
    if s.at("WITH"):
        return s.peek().key not in ("VALUES", "(", "FILLFACTOR")
    return s.tok.kind in (END, GO) or s.at(",", ";", "END", "ELSE") or s.tok.key in STATEMENTS


def _table_comment(s: Stream) -> str | None:
    """The text of COMMENT [=] among the options behind a table; the other options are read and left."""
    comment = None
    while s.tok.kind in (WORD, QUOTED, NUMBER, STRING, VARIABLE) or s.at("=", ",", "("):
        if s.tok.key in _TABLE_OPTIONS_END or s.at_words("COMMENT", "ON"):
            break
        if s.accept("COMMENT"):
            s.accept("=")
            comment = text_of(s.take()) if s.at_string() else None
        else:
            _pass_over(s)
    return comment


def text_of(token: Token) -> str:
    """What a string literal says."""
    return token.text[token.text.index("'") + 1 : -1].replace("''", "'")
