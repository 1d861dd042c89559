"""The command mix: what several sets come to in one training config, before anything is trained."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    command = commands.add_parser("mix", help="show what each of several sets gives to a training run", allow_abbrev=False)
    command.add_argument("sets", nargs="+", metavar="SET[=WEIGHT]", help="files or names of the registry, as in data.train")
    command.add_argument("--stage", choices=("sft", "dpo", "kto"), required=True, help="what the rows are read as")
    command.add_argument("--registry", type=Path, default=Path("data/registry.json"), help="named sets (default data/registry.json)")
    command.add_argument("--seed", type=int, default=0, help="the run's seed (default 0)")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from vgpt2.datagen.sets.mixing import mix, table

    names, weights = [], {}
    for text in args.sets:
        name, given, weight = text.partition("=")
        names.append(name)
        if given:
            weights[name] = _weight(name, weight)
    portions, dropped = mix(names, kind=args.stage, registry=args.registry, weights=weights, seed=args.seed)
    print(table(portions))
    print(dropped)
    return 0


def _weight(name: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= 100:
        raise ValueError(f"{name}={text[:20]}: a weight is a number above 0 to 100; 0.5 takes every other row, 2 takes each twice")
    return weight
