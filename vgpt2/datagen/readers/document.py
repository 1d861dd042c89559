"""What a reader makes of one document: the names in it and where it stands, never its prose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from vgpt2.datagen.names.real import Names
from vgpt2.dropped import Dropped

DocumentKind = Literal["page", "report", "procedure", "form"]


class DocumentError(ValueError):
    """A document that cannot be read at all: the message names file and line."""


@dataclass(frozen=True)
class Document:
    """Facts of one document; which fields are filled depends on its kind."""

    kind: DocumentKind
    name: str  # the object a page is about, or the name of the report, procedure or form
    source: str  # the label under which the rows made from it are counted
    where: str  # 'file:line'
    objects: tuple[str, ...] = ()  # catalogue objects it names, in the order of the text
    columns: tuple[str, ...] = ()  # columns that a page points out
    parameters: tuple[tuple[str, str | None], ...] = ()  # of a procedure: (name with its @, type where the catalogue can tell it)
    fields: tuple[tuple[str, str], ...] = ()  # of a form: (what the screen calls it, column)
    sql: str | None = None  # of a report: the query, without fault and without its comments


@dataclass(frozen=True)
class Reading:
    """What came of some documents, and what was left out for which reason."""

    documents: tuple[Document, ...] = ()
    dropped: Dropped = field(default_factory=Dropped)


Reader = Callable[[Path, Names, str], Reading]  # (folder or file, names, source label)


def named(names: Names, documents: Iterable[Document]) -> Names:
    """The names with those of procedures and forms, so that questions and the audit know them; pages and reports are asked by others."""
    return replace(names, known=names.known | {d.name for d in documents if d.kind in ("procedure", "form")})


def files(path: Path, ending: str) -> list[Path]:
    """The file itself, or the folder's files with that ending, deeper ones too, in the order of their names."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DocumentError(f"{path}: no such file or folder; name a folder of {ending} files")
    return sorted(found for found in path.rglob(f"*{ending}") if found.is_file())


def text_of(path: Path) -> str:
    """The file's text, a byte order mark left out."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DocumentError(f"{path}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def seen_objects(found: Iterable[str], names: Names) -> tuple[str, ...]:
    """The catalogue's objects among some words, each once; a table stands for the view that shows it."""
    views = (names.view_of(word) or word for word in found)
    return tuple(dict.fromkeys(view for view in views if names.catalogue.has(view)))
