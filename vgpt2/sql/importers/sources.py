"""Which importer reads a source: a folder of scripts, one file of any kind, or a live server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vgpt2 import atomic
from vgpt2.sql.importers import exports, scripts, server, sqlite
from vgpt2.sql.importers.drafts import Drafts, Progress
from vgpt2.sql.importers.files import SCRIPT_ENDINGS

SERVER = "sqlserver"  # the word that stands for a live server in place of a path
CONNECTION_VARIABLE = "VGPT2_SQLSERVER"
_MAX_CONNECTION_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Options:
    """What some kinds of source need besides their place."""

    keys: Path | None = None  # of an export
    foreign_keys: Path | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    connection_variable: str = CONNECTION_VARIABLE
    connection_file: Path | None = None


def read_source(source: str, options: Options, progress: Progress = list) -> Drafts:
    """Drafts of what `source` leads to. Raises ValueError where nothing there can be read."""
    if source == SERVER:
        return server.read_server(_connection_string(options))
    path = Path(source)
    if not path.exists():
        raise ValueError(f"{source}: no such file or folder; give scripts, an SQLite file, an export, or the word {SERVER}")
    path = path.resolve()
    if path.is_dir():
        return scripts.read_folder(path, progress)
    with atomic.open_regular(path) as file:
        is_sqlite = file.read(len(sqlite.MAGIC)) == sqlite.MAGIC
    if is_sqlite:
        return sqlite.read_database(path)
    if path.suffix.lower() in exports.ENDINGS:
        return exports.read_export(path, keys=options.keys, foreign_keys=options.foreign_keys, fields=options.fields)
    if path.suffix.lower() in SCRIPT_ENDINGS:
        return scripts.read_file(path)
    known = ", ".join([*exports.ENDINGS, *sorted(SCRIPT_ENDINGS)])
    raise ValueError(f"{source}: neither an SQLite database nor a file of a known kind; the name must end in {known}")


def _connection_string(options: Options) -> str:
    if options.connection_file is not None:
        return atomic.read_small(options.connection_file, _MAX_CONNECTION_BYTES).decode("utf-8", errors="replace").strip()
    found = os.environ.get(options.connection_variable, "").strip()
    if not found:
        name = options.connection_variable
        raise ValueError(f"environment variable {name} is not set; put the ODBC connection string there, or name a --connection-file")
    return found
