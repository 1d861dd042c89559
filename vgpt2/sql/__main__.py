"""python -m vgpt2.sql check FILE|- : findings on SQL, exit 1 where one is an error. python -m vgpt2.sql show APTH : an object's columns."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import vgpt2
from vgpt2.sql.catalogue import Catalogue, Object, load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.descriptions import described_by
from vgpt2.sql.glossary import find_glossary
from vgpt2.sql.prompt import question_prompt
from vgpt2.sql.render import join_lines, render_compact
from vgpt2.sql.retrieve import Found, Retriever
from vgpt2.sql.ruleset import HOUSE_FILE, load_rules

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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vgpt2.sql", description="Check T-SQL against a catalogue, or look an object up.")
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
    for command in (checking, showing, searching):
        command.add_argument("--catalogue", default=BUNDLED, metavar="DIR", help="catalogue folder (default: the bundled one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
