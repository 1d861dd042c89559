"""System procedures that state facts: user-defined types, extended properties, and scripts inside strings. COMMENT ON, too."""

from __future__ import annotations

from dataclasses import dataclass, field

from vgpt2.sql.importers.types import UserType, facts_of
from vgpt2.sql.lexer import END, GO, NUMBER, QUOTED, STRING, VARIABLE, WORD
from vgpt2.sql.parser import lenient_stream
from vgpt2.sql.parser.expressions import name
from vgpt2.sql.parser.stream import ParseError, Stream
from vgpt2.sql.parser.tables import column_type, text_of
from vgpt2.sql.parser.words import STATEMENTS

_PROPERTY = ("name", "value", "level0type", "level0name", "level1type", "level1name", "level2type", "level2name")
PROCEDURES: dict[str, tuple[str, ...]] = {
    "sp_addextendedproperty": _PROPERTY,
    "sp_updateextendedproperty": _PROPERTY,
    "sp_addtype": ("typename", "phystype", "nulltype"),
    "sp_executesql": ("statement",),
}
_DESCRIPTION = "ms_description"


@dataclass(slots=True)
class Called:
    """What one call states."""

    types: list[UserType] = field(default_factory=list)
    descriptions: dict[tuple[str, str | None], str] = field(default_factory=dict)  # (object, column or None)
    script: str | None = None


def read(s: Stream) -> Called:
    """call := [EXEC|EXECUTE [@result =]] name [argument {, argument}]; a procedure of no interest is read up to its name"""
    s.accept("EXEC", "EXECUTE")
    if s.tok.kind is VARIABLE and s.peek().key == "=":
        s.take()
        s.take()
    if not s.at_name():
        return Called()
    procedure = name(s).last.lower()
    parameters = PROCEDURES.get(procedure)
    if parameters is None:
        return Called()
    given = _arguments(s, parameters)
    if procedure == "sp_addtype":
        return Called(types=_user_type(given))
    if procedure == "sp_executesql":
        return Called(script=given.get("statement"))
    return Called(descriptions=_description(given))


def comment_on(s: Stream) -> dict[tuple[str, str | None], str]:
    """comment_on := COMMENT ON TABLE|VIEW|COLUMN name IS string"""
    s.take()
    s.take()
    kind = s.take().key
    if kind not in ("TABLE", "VIEW", "COLUMN") or not s.at_name():
        return {}
    path = name(s)
    if not s.accept("IS") or not s.at_string():
        return {}
    text = text_of(s.take())
    if kind != "COLUMN":
        return {(path.last, None): text}
    return {(path.parts[-2], path.last): text} if len(path.parts) > 1 else {}


def _arguments(s: Stream, parameters: tuple[str, ...]) -> dict[str, str]:
    """Texts by parameter, by name or by position; what is no plain word or string is left out."""
    given: dict[str, str] = {}
    for position in range(len(parameters) + 4):
        parameter = parameters[position] if position < len(parameters) else ""
        if s.tok.kind is VARIABLE and s.peek().key == "=":
            parameter = s.take().text[1:].lower()
            s.take()
        token = s.tok
        if token.kind in (END, GO) or token.key in STATEMENTS:
            break
        if token.kind in (STRING, WORD, QUOTED, NUMBER):
            given[parameter] = text_of(token) if token.kind is STRING else token.name
        s.take()
        if not s.accept(","):
            break
    return given


def _user_type(given: dict[str, str]) -> list[UserType]:
    """`sp_addtype 'bDesc', 'varchar(30)', 'NULL'`"""
    if "typename" not in given:
        return []
    try:
        written = column_type(lenient_stream(given.get("phystype", "")))
    except ParseError:
        written = None
    if written is None:
        return []
    nullable = {"null": True, "not null": False, "nonull": False}.get(given.get("nulltype", "").strip().lower())
    return [UserType(given["typename"], facts_of(written), nullable)]


def _description(given: dict[str, str]) -> dict[tuple[str, str | None], str]:
    """MS_Description of a table, a view or a column of one."""
    is_about_object = given.get("level1type", "").upper() in ("TABLE", "VIEW")
    level2 = given.get("level2type", "").upper()
    if given.get("name", "").lower() != _DESCRIPTION or not is_about_object or level2 not in ("", "NULL", "COLUMN"):
        return {}
    text = " ".join(given.get("value", "").split())
    column = given.get("level2name") if level2 == "COLUMN" else None
    return {(given.get("level1name", ""), column): text} if text else {}
