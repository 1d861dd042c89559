"""The commands practice and mine: questions for a model to answer, and preference rows from what it answered."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vgpt2.datagen.commands.progress import each, items
from vgpt2.datagen.commands.sets import add_common, write


def add(commands: Any) -> None:
    practice = commands.add_parser("practice", help="make questions of the training side for a model to answer", allow_abbrev=False)
    practice.add_argument("--out", type=Path, required=True, help="JSON lines file to write, in the layout of a suite")
    practice.add_argument("--size", type=int, required=True, help="questions to make")
    add_common(practice)
    practice.set_defaults(run=run_practice)
    command = commands.add_parser("mine", help="make DPO and KTO rows from a model's own answers", allow_abbrev=False)
    command.add_argument("answers", type=Path, nargs="+", help='a judge\'s answers.jsonl, or rows of {"prompt", "answer", "verdict"}')
    command.add_argument("--questions", type=Path, action="append", default=[], help="practice questions that were answered; repeatable")
    command.add_argument("--suite", type=Path, action="append", default=[], help="suite that was answered: it judges no model afterwards")
    command.add_argument("--out", type=Path, required=True, help="folder to write dpo.jsonl and kto.jsonl into")
    command.add_argument("--gold", action="store_true", help="where the model has no right answer, take the questions' own SQL")
    command.add_argument("--per-question", type=int, default=4, help="wrong answers to a question that are used (default 4)")
    add_common(command)
    command.set_defaults(run=run_mine)


def run_practice(args: argparse.Namespace) -> int:
    from vgpt2.datagen.mining.mine import practice_rows
    from vgpt2.datagen.mistakes import preferences
    from vgpt2.datagen.names.real import load_names
    from vgpt2.sql.glossary import find_glossary

    if args.size < 1:
        raise ValueError(f"--size: {args.size} questions cannot be made; give 1 or more")
    names = load_names(args.catalogue)
    about = {"recipe": "balanced", "size": args.size, "seed": args.seed, "purpose": "practice"}
    glossary = find_glossary(args.catalogue, names.catalogue)
    rows = practice_rows(preferences.pairs(names, **about, progress=each("practice"), glossary=glossary).pairs)
    write(args, args.out, rows, names, {"stage": "practice"})
    print(f"{args.out}: {len(rows):,} questions")
    return 0


def run_mine(args: argparse.Namespace) -> int:
    from vgpt2.datagen.mining import mine
    from vgpt2.datagen.names.real import load_names

    if args.per_question < 1:
        raise ValueError(f"--per-question: {args.per_question} is too few; give 1 or more")
    names = load_names(args.catalogue)
    asked = [mine.questions(path, is_suite=False) for path in args.questions] + [mine.questions(path, is_suite=True) for path in args.suite]
    bar = items("answers")
    mined = mine.mine(args.answers, asked, names, per_question=args.per_question, with_gold=args.gold, progress=bar)
    about = {"mined": {"answers": [path.name for path in args.answers], "questions": [questions.manifest for questions in asked]}}
    print(mine.table(mined))
    sets = {"dpo": mine.dpo_rows(mined.matched.pairs, seed=args.seed), "kto": mine.kto_rows(mined.matched.singles, seed=args.seed)}
    for stage, rows in sets.items():
        out = args.out / f"{stage}.jsonl"
        if rows:
            write(args, out, rows, names, {"stage": stage, **about})
        print(f"{out}: {len(rows):,} rows{'; not audited yet' if rows else ', so none is written'}")
    for questions in asked:
        if questions.is_suite:
            print(f"note: {questions.manifest['leak']}")
    return 0
