"""The command audit: sets held against the catalogue, as a table, JSON and a page; and a cleaned copy."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vgpt2.datagen.commands.progress import bar

GATE_SAID_NO = 3
_KINDS_SHOWN = 12


def add(commands: Any) -> None:
    command = commands.add_parser("audit", help="check sets against the catalogue; exit code 3 if one fails", allow_abbrev=False)
    command.add_argument("files", nargs="+", metavar="FILE", help="SFT, DPO or KTO rows in any layout, or a name of the registry")
    command.add_argument("--catalogue", type=Path, required=True, help="folder of the catalogue, or its one file")
    command.add_argument("--suite", type=Path, action="append", default=[], help="suite that the sets must share nothing with; repeatable")
    command.add_argument("--documents", type=Path, nargs="+", default=[], metavar="DIR", help="folders whose procedures and forms are real")
    command.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json, to count tokens instead of estimating")
    command.add_argument("--max-length", type=int, default=4096, help="tokens above which a row counts as over-long (default 4096)")
    command.add_argument("--registry", type=Path, default=Path("data/registry.json"), help="named sets (default data/registry.json)")
    command.add_argument("--workers", type=int, help="processes; default: by the size of the file and the cores")
    command.add_argument("--json", type=Path, help="write the result here as JSON too")
    command.add_argument("--html", type=Path, help="write the result here as a page too")
    command.add_argument("--fix", type=Path, metavar="OUT", help="write a copy with certain repairs and without rows that misname things")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from vgpt2 import atomic
    from vgpt2.datagen.audit.gate import audit
    from vgpt2.datagen.audit.report import render, summary

    if args.max_length < 1 or (args.workers or 0) < 0:
        raise ValueError(f"--max-length {args.max_length}, --workers {args.workers}: must be 1 or more, and 0 or more")
    if args.fix:
        return _fix(args)
    result = audit(
        args.files,
        catalogue=args.catalogue,
        suites=args.suite,
        documents=args.documents,
        tokenizer=args.tokenizer,
        limit=args.max_length,
        registry=args.registry,
        workers=args.workers,
        progress=bar,
    )
    print(render(result))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        data = json.dumps(summary(result), indent=1, ensure_ascii=False) + "\n"
        atomic.write_bytes(args.json, data.encode("utf-8", "backslashreplace"))
    if args.html:
        from vgpt2.datagen.audit import page

        args.html.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(args.html, page.render(result))
        print(f"page: {args.html}", file=sys.stderr)
    return 0 if result.passed else GATE_SAID_NO


def _fix(args: argparse.Namespace) -> int:
    from vgpt2.datagen.audit.examine import Examiner
    from vgpt2.datagen.audit.fix import fix
    from vgpt2.datagen.audit.rules import Context
    from vgpt2.datagen.names.real import load_names
    from vgpt2.datagen.sets.records import manifest_path, write_manifest
    from vgpt2.registry import sources

    if len(args.files) != 1:
        raise ValueError(f"--fix: {len(args.files)} files are given; it cleans one file at a time")
    source = sources(args.files, args.registry)[0]
    if args.fix.exists() and args.fix.samefile(source.path):
        raise ValueError(f"--fix: {args.fix} is the file itself; give another name, the original stays as it is")
    names = load_names(args.catalogue)
    args.fix.parent.mkdir(parents=True, exist_ok=True)
    manifest_path(args.fix).unlink(missing_ok=True)
    done = fix(Examiner(source.path, source.layout, Context(names), None), args.fix, workers=args.workers, progress=bar)
    about = {"command": f"python -m vgpt2.datagen audit {source.path.name} --fix {args.fix.name}", "catalogue": names.catalogue.fingerprint}
    counts = {"rows": done.kept, "repairs": done.repairs.counts, "dropped": done.dropped.counts}
    write_manifest(args.fix, {**about, "sha256": done.sha256, **counts, "audit": None})
    print(f"{args.fix}: {done.kept:,} of {done.rows:,} rows kept, {done.repairs.total:,} repairs")
    print(done.repairs.table("repairs", most=_KINDS_SHOWN))
    print(done.dropped.table("dropped rows", most=_KINDS_SHOWN))
    print(f"next: python -m vgpt2.datagen audit {args.fix} --catalogue {args.catalogue}")
    return 0
