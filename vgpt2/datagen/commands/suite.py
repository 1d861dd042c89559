"""The command suite: held-out questions that judge a model, drawn from a catalogue or written by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vgpt2.datagen.commands.progress import each
from vgpt2.datagen.commands.sets import add_common, write

DEFAULT = "demo"


def add(commands: Any) -> None:
    command = commands.add_parser("suite", help="make the held-out questions that judge a model", allow_abbrev=False)
    command.add_argument("name", nargs="?", default=DEFAULT, help=f"{DEFAULT} (default), or a YAML file of questions written by hand")
    command.add_argument("--out", type=Path, required=True, help="folder to write NAME.jsonl into")
    add_common(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from vgpt2.datagen.names.real import load_names
    from vgpt2.datagen.suites import by_name

    names = load_names(args.catalogue)
    made = by_name.make(args.name, names, seed=args.seed, progress=each("suite"))
    out = args.out / f"{made.name}.jsonl"
    write(args, out, made.rows, names, {"stage": "suite", "suite": made.name, "version": made.version, **made.about})
    print(f"{out}: {len(made.rows)} questions, version {made.version}")
    return 0
