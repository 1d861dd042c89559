"""The commands sft, dpo and kto: a training set with its manifest, and what became of its quotas."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgpt2.datagen.commands.progress import bar, each

if TYPE_CHECKING:
    from vgpt2.datagen.names.real import Names
    from vgpt2.datagen.sets.production import Planned
    from vgpt2.datagen.sets.records import Row

    Made = tuple[Iterable[Row], Sequence[Planned], dict[str, Any]]  # rows, what became of the quotas, more for the manifest

FORETOLD_ROWS = 1000  # up to so many, a set is held against the audit's rules when it is made
STAGES = ("sft", "dpo", "kto")


def add(commands: Any) -> None:
    for stage in STAGES:
        command = commands.add_parser(stage, help=f"make a {stage.upper()} set", allow_abbrev=False)
        command.add_argument("--out", type=Path, required=True, help="JSON lines file to write; its manifest is put beside it")
        command.add_argument("--size", type=int, required=True, help="questions to make; an SFT row is a chat of several")
        command.add_argument("--plan", action="store_true", help="print what became of each category's quota")
        if stage != "sft":
            recipes = ("thin", "v3", "balanced")
            command.add_argument(
                "--recipe", choices=recipes, default="thin", help="mistakes of the wrong answers (default thin: few kinds)"
            )
            command.add_argument("--suite", type=Path, action="append", default=[], help="suite whose names it must not use; repeatable")
        if stage == "sft":
            command.add_argument(
                "--recipe", choices=("thin", "wide"), default="thin", help="few kinds of question (default), or all of them"
            )
            command.add_argument("--shares", type=Path, help="YAML file of the wide recipe's shares (default configs/datagen/wide.yaml)")
            command.add_argument("--documents", type=Path, nargs="+", default=[], metavar="DIR", help="folders of documentation")
            command.add_argument("--workers", type=int, default=0, help="processes; the rows are the same for any number (default 0)")
        add_common(command)
        command.set_defaults(run=run)


def add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--catalogue", type=Path, required=True, help="folder of the catalogue, or its one file")
    command.add_argument("--seed", type=int, default=1, help="the same seed gives the same bytes (default 1)")


def run(args: argparse.Namespace) -> int:
    from vgpt2.datagen.names.real import load_names
    from vgpt2.datagen.sets.production import plan_table

    if args.size < 1:
        raise ValueError(f"--size: {args.size} rows cannot be made; give 1 or more")
    names = load_names(args.catalogue)
    make = _pairs if args.command != "sft" else _wide if args.recipe == "wide" else _thin
    rows, plan, about = make(args, names)
    about |= {"stage": args.command, "wanted": args.size, "plan": [asdict(line) for line in plan]}
    count = write(args, args.out, rows, names, about)
    if not count:
        raise ValueError(f"{args.catalogue}: its {len(names.catalogue)} objects give no question; they need keys and descriptions")
    if args.plan:
        print(plan_table(plan))
    for line in _foretold(args, count):
        print(line, file=sys.stderr)
    print(f"{args.out}: {count:,} rows for {args.size:,} questions; not audited yet")
    return 0


def write(args: argparse.Namespace, out: Path, rows: Iterable[Row], names: Names, about: dict[str, Any]) -> int:
    """The rows and their manifest, with the command that makes them again; how many rows there were."""
    from vgpt2.datagen.sets import records
    from vgpt2.preflight import sha256_of
    from vgpt2.sql.glossary import GLOSSARY_FILE

    options = [f"--catalogue {args.catalogue.resolve().name}", f"--out {args.out.resolve().name}"]
    options += [f"--{name} {vars(args)[name]}" for name in ("size", "recipe") if name in args]
    options += [f"--{name} {_file_names(given)}" for name in ("shares", "documents", "suite") if (given := vars(args).get(name))]
    named = [Path(args.name).name] if "name" in args else []
    command = " ".join(["python -m vgpt2.datagen", args.command, *named, *options, f"--seed {args.seed}"])
    out.parent.mkdir(parents=True, exist_ok=True)
    glossary = (args.catalogue if args.catalogue.is_dir() else args.catalogue.parent) / GLOSSARY_FILE
    known = {"catalogue": names.catalogue.fingerprint, "glossary": sha256_of(glossary) if glossary.is_file() else None}
    return records.write(out, rows, {**about, "command": command, "seed": args.seed, **known})


def _foretold(args: argparse.Namespace, rows: int) -> list[str]:
    """What the audit will not accept of a small set: few rows are uneven by chance, and a small catalogue repeats itself."""
    from vgpt2.datagen.audit.gate import judge

    if rows > FORETOLD_ROWS:
        return []
    (file,) = judge([args.out], catalogue=args.catalogue, documents=vars(args).get("documents", ()), workers=0).files
    failed = {rule: outcome.failures for rule, outcome in file.outcomes.items() if outcome.failures}
    lines = [f"note: the audit will refuse this set: {rule}: {failures[0]}" for rule, failures in failed.items()]
    return [*lines, "note: a larger --size or another --seed mends what is uneven, a smaller one what repeats itself"] if lines else []


def _file_names(given: Path | Sequence[Path]) -> str:
    """Names without their folders, which are the machine's own."""
    return " ".join(path.resolve().name for path in ([given] if isinstance(given, Path) else given))


def _wide(args: argparse.Namespace, names: Names) -> Made:
    """The wide recipe, category by category, in as many processes as are asked for."""
    from vgpt2.datagen.readers import read_documents, said, sources_in
    from vgpt2.datagen.readers.document import named
    from vgpt2.datagen.sets import wide
    from vgpt2.datagen.sets.production import Workshop, produce
    from vgpt2.preflight import sha256_of
    from vgpt2.sql.glossary import find_glossary

    shares = args.shares or wide.DEFAULT_FILE
    config = wide.load_wide(shares)
    readings = [read_documents(sources_in(folder), names) for folder in args.documents]
    for reading in readings:
        print("\n".join(said(reading)), file=sys.stderr)
    documents = tuple(document for reading in readings for document in reading.documents)
    world = wide.make_world(named(names, documents), config, find_glossary(args.catalogue, names.catalogue), documents)
    workshop = Workshop(world, wide.makers)
    product = produce(workshop, wide.quotas(config, args.size), seed=f"{args.seed}/sft", workers=args.workers, progress=bar)
    facts = json.dumps([asdict(replace(document, where="")) for document in documents]).encode()
    about = {
        "shares": {"file": shares.name, "sha256": sha256_of(shares)},
        "documents": {"count": len(documents), "sha256": hashlib.sha256(facts).hexdigest()},
    }
    return product.numbered("sft"), product.plan, about


def _thin(args: argparse.Namespace, names: Names) -> Made:
    from vgpt2.datagen.questions import recipes
    from vgpt2.datagen.sets import records
    from vgpt2.datagen.sets.production import Planned

    chats = recipes.sft_chats(names, size=args.size, seed=args.seed, progress=each("sft"))
    actual = Counter(question.kind for chat in chats for question in chat)
    quotas = recipes.apportioned(recipes.THIN_SHARES, args.size)
    return records.sft_rows(chats), [Planned(kind, quota, actual[kind], actual[kind]) for kind, quota in quotas.items()], {}


def _pairs(args: argparse.Namespace, names: Names) -> Made:
    from vgpt2.datagen.audit.gate import suite_rows
    from vgpt2.datagen.audit.rules import held_out
    from vgpt2.datagen.mistakes import preferences
    from vgpt2.datagen.sets import records
    from vgpt2.datagen.sets.production import Planned
    from vgpt2.sql.glossary import find_glossary

    avoid = held_out([row for suite in args.suite for row in suite_rows(suite)]).names
    glossary = find_glossary(args.catalogue, names.catalogue)
    about = {"recipe": args.recipe, "size": args.size, "seed": args.seed, "purpose": args.command}
    made = preferences.pairs(names, **about, progress=each(args.command), glossary=glossary, avoid=avoid)
    make = records.dpo_rows if args.command == "dpo" else records.kto_rows
    counts = Counter(pair.theme for pair in made.pairs)
    plan = [Planned(theme, quota, quota - made.short.get(theme, 0), counts[theme]) for theme, quota in made.wanted.items()]
    return make(made.pairs, seed=args.seed), plan, {}
