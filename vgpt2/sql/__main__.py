"""python -m vgpt2.sql check FILE|- : findings on SQL, exit 1 where one is an error.

python -m vgpt2.sql show APTH : an object's columns. python -m vgpt2.sql search "vendor invoices on hold" : the objects a question is about.
python -m vgpt2.sql import scripts/ --out data/catalogues/mine : a catalogue from scripts, a database or an export.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

import vgpt2
from vgpt2.sql.catalogue import Catalogue, Object, load_catalogue, save_catalogue
from vgpt2.sql.catalogue_files import SINGLE_FILES
from vgpt2.sql.checker import check
from vgpt2.sql.descriptions import described_by
from vgpt2.sql.glossary import find_glossary
from vgpt2.sql.importers import report, sources
from vgpt2.sql.importers.assemble import MODULE_RULES, assemble
from vgpt2.sql.importers.rows import FIELDS
from vgpt2.sql.prompt import question_prompt
from vgpt2.sql.render import join_lines, render_compact
from vgpt2.sql.retrieve import Found, Retriever
from vgpt2.sql.ruleset import HOUSE_FILE, load_rules

_AS_WRITTEN = argparse.RawDescriptionHelpFormatter
BUNDLED = Path(__file__).resolve().parents[2] / "data" / "catalogues" / "vista-core"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 no error in the SQL, 1 errors found, 2 the command itself cannot be carried out."""
    options = _parser().parse_args(arguments)
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        return int(options.run(options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def check_files(options: argparse.Namespace) -> int:
    """`check`: one line a finding, `file:line:column code message (suggestion)`, or JSON."""
    catalogue, rules = load_catalogue(options.catalogue), load_rules(options.rules)
    rows = []
    for name in options.files:
        rows += [(name, finding) for finding in check(_read(name), catalogue, rules)]
    if options.json:
        print(json.dumps([{"file": name, **asdict(finding)} for name, finding in rows], indent=1))
    else:
        for name, finding in rows:
            print(f"{name}:{finding}")
    return int(any(finding.severity == "error" for _, finding in rows))


def show(options: argparse.Namespace) -> int:
    """`show`: an object with its key, columns and the joins that leave it."""
    catalogue = load_catalogue(options.catalogue)
    found = [_object(name, catalogue) for name in options.names]
    print(render_compact(found))
    for o in found:
        related = {key.to_object for key in catalogue.parents(o.name)} | {key.from_object for key in catalogue.children(o.name)}
        for other in sorted(related - {o.name}):
            print("\n".join(join_lines(catalogue, [o, catalogue.objects[other]])))
    return 0


def search(options: argparse.Namespace) -> int:
    """`search`: the objects worth showing for a question, best first, with the reason for each; or the schema prompt made of them."""
    catalogue = load_catalogue(options.catalogue)
    if options.knowledge:
        catalogue = described_by(catalogue, load_catalogue(options.knowledge))
    glossary = find_glossary(options.knowledge or options.catalogue, catalogue)
    found = Retriever(catalogue, glossary).retrieve(" ".join(options.question), limit=options.limit)
    if options.schema:
        print(question_prompt(found, catalogue, max_tokens=options.max_tokens))
    elif options.json:
        rows = [asdict(hit) | {"description": catalogue.objects[hit.name].description} for hit in found.hits]
        print(json.dumps({"objects": rows, "terms": [hit.term.name for hit in found.terms]}, indent=1))
    else:
        print(_table(found, catalogue))
    return 0


def import_(options: argparse.Namespace) -> int:
    """`import`: a catalogue from what describes a database, with a table of what was found and what could not be read.

    python -m vgpt2.sql import scripts/ --modules names --out data/catalogues/mine
    python -m vgpt2.sql import columns.csv --foreign-keys keys.csv --field TABLE_NAME=tbl --out mine.yaml

    SOURCE is a folder of SQL Server scripts, a script of CREATE TABLE statements, an SQLite database, a JSON or CSV export of
    INFORMATION_SCHEMA's columns, or the word sqlserver for the server that the connection string leads to. Nothing is executed.
    """
    out = Path(options.out)
    if out.suffix.lower() not in SINGLE_FILES and out.exists() and not (out / "objects.json").exists():
        raise ValueError(f"--out {out}: holds something else than a catalogue; name a new folder, or a file that ends in .yaml or .json")
    given = sources.Options(options.keys, options.foreign_keys, dict(options.field), options.connection_env, options.connection_file)
    drafts = sources.read_source(options.source, given, lambda paths: tqdm(paths, desc="import", unit="file", leave=False, disable=None))
    catalogue = assemble(drafts, modules=options.modules, infer=options.infer)
    if options.descriptions:
        catalogue = described_by(catalogue, load_catalogue(options.descriptions))
    if not len(catalogue):
        raise ValueError(f"{options.source}: states no table and no view; give the scripts or the export of a database")
    save_catalogue(catalogue, out, head=f"made by: python -m vgpt2.sql import {_command(options)}")
    print(json.dumps(report.as_json(catalogue, drafts), indent=1) if options.json else report.render(catalogue, drafts))
    return 0


def _command(options: argparse.Namespace) -> str:
    """The arguments that made a catalogue, as they may stand in it: a path from the root is cut to its name."""
    arguments = [options.source, "--out", options.out, *(["--descriptions", options.descriptions] if options.descriptions else [])]
    typed = [Path(argument).name if Path(argument).is_absolute() else Path(argument).as_posix() for argument in arguments]
    typed += ["--modules", options.modules] if options.modules != "none" else []
    return " ".join([*typed, *([] if options.infer else ["--no-inference"])])


def _table(found: Found, catalogue: Catalogue) -> str:
    if not found.hits:
        return "no object fits; use the words of the data, or add a term to the glossary"
    width = max(len("object"), *(len(hit.name) for hit in found.hits))
    lines = [f"rank  {'object':<{width}}  why       description"]
    for rank, hit in enumerate(found.hits, 1):
        said = catalogue.objects[hit.name].description or ""
        lines.append(f"{rank:>4}  {hit.name:<{width}}  {hit.why:<8}  {said}{f' ({hit.note})' if hit.note else ''}".rstrip())
    return "\n".join(lines)


def _object(name: str, catalogue: Catalogue) -> Object:
    found = catalogue.get(name)
    if found is None:
        near = ", ".join(catalogue.nearest(name)) or "none is near"
        raise ValueError(f"there is no table or view '{name}' in the catalogue; nearest: {near}")
    return found


def _read(name: str) -> str:
    """The text of a file, UTF-8 or UTF-16 with its mark, as SQL Server's tools write it; '-' is the standard input."""
    raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return raw.decode(encoding, errors="replace")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give a whole number of at least 1")
    return int(text)


def _field(text: str) -> tuple[str, str]:
    ours, sign, theirs = text.partition("=")
    if not sign or not theirs or ours.upper() not in FIELDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=THEIRS; NAME is one of {', '.join(FIELDS)}")
    return ours.upper(), theirs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vgpt2.sql", description="Check T-SQL, look objects up, make catalogues.")
    parser.add_argument("--version", action="version", version=f"vgpt2 {vgpt2.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    checking = commands.add_parser("check", help="findings on SQL files", description=check_files.__doc__)
    checking.add_argument("files", nargs="+", metavar="FILE", help="SQL file, or - for the standard input")
    checking.add_argument("--rules", default=HOUSE_FILE, metavar="FILE", help="rule set (default: the one that comes along)")
    checking.add_argument("--json", action="store_true", help="print a JSON list instead of lines")
    checking.set_defaults(run=check_files)
    showing = commands.add_parser("show", help="an object's columns, key and joins", description=show.__doc__)
    showing.add_argument("names", nargs="+", metavar="NAME", help="table or view, in exact case")
    showing.set_defaults(run=show)
    searching = commands.add_parser("search", help="the objects that a question is about", description=search.__doc__)
    searching.add_argument("question", nargs="+", metavar="QUESTION", help='such as "vendor invoices on hold"')
    searching.add_argument("--knowledge", metavar="DIR", help="folder with glossary and descriptions (default: the catalogue's own)")
    searching.add_argument("--limit", type=_count, default=10, metavar="N", help="objects at most (default 10)")
    searching.add_argument("--json", action="store_true", help="print JSON instead of a table")
    searching.add_argument("--schema", action="store_true", help="print the schema prompt instead of a table")
    searching.add_argument("--max-tokens", type=_count, default=3000, metavar="N", help="budget of the schema prompt (default 3000)")
    searching.set_defaults(run=search)
    importing = commands.add_parser(
        "import", help="a catalogue from scripts, a database or an export", description=inspect.getdoc(import_), formatter_class=_AS_WRITTEN
    )
    importing.add_argument("source", metavar="SOURCE", help="folder, file, or the word sqlserver")
    importing.add_argument("--out", required=True, metavar="DIR|FILE", help="catalogue to write: a folder, or a .yaml or .json file")
    importing.add_argument("--descriptions", metavar="CATALOGUE", help="take the descriptions that the source lacks from this one")
    importing.add_argument(
        "--modules", choices=MODULE_RULES, default="none", help="an object's module: the first two capitals of its name, or its schema"
    )
    importing.add_argument("--no-inference", dest="infer", action="store_false", help="keep to the foreign keys that are stated")
    importing.add_argument("--keys", type=Path, metavar="FILE", help="primary and unique keys of an export")
    importing.add_argument("--foreign-keys", type=Path, metavar="FILE", help="foreign keys of an export")
    importing.add_argument("--field", type=_field, action="append", default=[], metavar="NAME=THEIRS", help="a field's name in the export")
    importing.add_argument(
        "--connection-env",
        default=sources.CONNECTION_VARIABLE,
        metavar="VARIABLE",
        help="environment variable with the ODBC connection string (default: %(default)s)",
    )
    importing.add_argument("--connection-file", type=Path, metavar="FILE", help="file with the connection string instead")
    importing.add_argument("--json", action="store_true", help="print JSON with everything that could not be read")
    importing.set_defaults(run=import_)
    for command in (checking, showing, searching):
        command.add_argument("--catalogue", default=BUNDLED, metavar="DIR", help="catalogue folder (default: the bundled one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
