"""Training data and suites from a database catalogue, and the audit that every set must pass.

python -m vgpt2.datagen sft --catalogue data/catalogues/vista-core --out data/demo/sft.jsonl --size 720 --seed 1
python -m vgpt2.datagen audit data/demo/sft.jsonl --catalogue data/catalogues/vista-core --suite eval/suites/demo.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

STAGES = ("sft", "dpo", "kto")
SUITE_NAME, SUITE_VERSION = "demo", 1  # raise the version whenever the suite's rows change


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        if args.command == "audit":
            return _audit(args)
        return _suite(args) if args.command == "suite" else _generate(args)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vgpt2.datagen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for stage in STAGES:
        command = commands.add_parser(stage, help=f"make a {stage.upper()} set", allow_abbrev=False)
        command.add_argument("--out", type=Path, required=True, help="JSON lines file to write; its manifest is put beside it")
        command.add_argument("--size", type=int, required=True, help="questions to make; an SFT row is a chat of several")
        if stage == "sft":
            command.add_argument(
                "--recipe", choices=("thin", "wide"), default="thin", help="few kinds of question (default), or all of them"
            )
        _common(command)
    suite = commands.add_parser("suite", help="make the held-out questions that judge a model", allow_abbrev=False)
    suite.add_argument("--out", type=Path, required=True, help=f"folder to write {SUITE_NAME}.jsonl into")
    _common(suite)
    audit = commands.add_parser("audit", help="check sets against the catalogue; exit code 3 if one fails", allow_abbrev=False)
    audit.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSON lines of SFT, DPO or KTO rows")
    audit.add_argument("--catalogue", type=Path, required=True, help="folder of the catalogue")
    audit.add_argument("--suite", type=Path, action="append", default=[], help="suite that the sets must share nothing with; repeatable")
    audit.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json, to count tokens instead of estimating")
    audit.add_argument("--json", type=Path, help="write the result here as JSON too")
    return parser


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--catalogue", type=Path, required=True, help="folder of the catalogue")
    command.add_argument("--seed", type=int, default=1, help="the same seed gives the same bytes (default 1)")


def _generate(args: argparse.Namespace) -> int:
    from vgpt2.datagen import recipes, records
    from vgpt2.datagen.names import load_names

    if args.size < 1:
        raise ValueError(f"--size: {args.size} rows cannot be made; give 1 or more")
    names = load_names(args.catalogue)
    if args.command == "sft":
        chats = recipes.sft_chats(names, recipe=args.recipe, size=args.size, seed=args.seed, progress=_progress("sft"))
        rows = records.sft_rows(chats)
    else:
        side = recipes.preference_side(names)
        groups = recipes.pair_questions(names, size=args.size, seed=args.seed, purpose=args.command, progress=_progress(args.command))
        make = records.dpo_rows if args.command == "dpo" else records.kto_rows
        rows = make(groups, side, seed=args.seed)
    if not rows:
        raise ValueError(f"{args.catalogue}: its {len(names.catalogue)} objects give no question; they need keys and descriptions")
    _write(args, args.out, rows, names.catalogue.fingerprint, {"stage": args.command, "wanted": args.size})
    print(f"{args.out}: {len(rows)} rows for {args.size} questions; not audited yet")
    return 0


def _suite(args: argparse.Namespace) -> int:
    from vgpt2.datagen import recipes, records
    from vgpt2.datagen.names import load_names

    names = load_names(args.catalogue)
    rows = records.suite_rows(recipes.suite_questions(names, seed=args.seed, progress=_progress("suite")))
    out = args.out / f"{SUITE_NAME}.jsonl"
    _write(args, out, rows, names.catalogue.fingerprint, {"stage": "suite", "suite": SUITE_NAME, "version": SUITE_VERSION})
    print(f"{out}: {len(rows)} questions, version {SUITE_VERSION}")
    return 0


def _write(args: argparse.Namespace, out: Path, rows: list[dict[str, object]], fingerprint: str, about: dict[str, object]) -> None:
    from vgpt2.datagen import records

    options = [f"--catalogue {args.catalogue.resolve().name}", f"--out {args.out.resolve().name}"]
    options += [f"--{name} {vars(args)[name]}" for name in ("size", "recipe") if name in args]
    command = " ".join(["python -m vgpt2.datagen", args.command, *options, f"--seed {args.seed}"])
    out.parent.mkdir(parents=True, exist_ok=True)
    records.write(out, rows, {**about, "command": command, "seed": args.seed, "catalogue": fingerprint})


def _audit(args: argparse.Namespace) -> int:
    from vgpt2.datagen.audit import audit
    from vgpt2.datagen.report import render, summary

    result = audit(args.files, catalogue=args.catalogue, suites=args.suite, tokenizer=args.tokenizer)
    print(render(result))
    if args.json:
        args.json.write_text(json.dumps(summary(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if result.passed else 3


def _progress(label: str) -> Callable[[Iterable[int]], Iterable[int]]:
    """A bar on stderr while a kind is drawn, on a terminal only."""
    from tqdm import tqdm

    return lambda rows: tqdm(rows, desc=label, unit="row", leave=False, disable=None)


if __name__ == "__main__":
    sys.exit(main())
