"""The command `python -m eval.run`: a model answers suites, its answers are judged, a report is written.

python -m eval.run --checkpoint checkpoints/sft/best --suite demo --catalogue data/catalogues/vista-core --out eval/reports/sft
"""

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgpt2 import __version__

if TYPE_CHECKING:
    from eval.answers import Answer, Decoding
    from eval.judged import Judged
    from eval.suites import Suite
    from vgpt2.datagen.names.real import Names
    from vgpt2.judging import Item
    from vgpt2.sql.catalogue import Catalogue

EXAMPLES = """examples:
  python -m eval.run --checkpoint checkpoints/sft/best --suite demo --catalogue data/catalogues/vista-core --out eval/reports/sft
  python -m eval.run --model MODEL --suite plain --retrieval on --catalogue data/catalogues/vista-core --out eval/reports/plain
  python -m eval.run --answers others.jsonl --name others --suite demo --catalogue data/catalogues/vista-core --out eval/reports/others

A second call goes on where an interrupted one stopped; remove the folder to start anew.
Old answers are judged again with --answers OUT/answers.jsonl.
"""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}")
ANSWERS, GENERATION = "answers.jsonl", "generation.json"
QUICK_QUESTIONS = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 something to mend, 130 interrupted and resumable."""
    args = parse(argv)
    try:
        run(args)
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; the answers so far are in {args.out / ANSWERS}, the same command goes on", file=sys.stderr)
        return 130
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m eval.run",
        description="Let a model answer suites of questions and judge its answers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument(
        "--checkpoint", metavar="DIR", help="run, RUN/best, step, adapter or model folder, or a hub name in the local cache"
    )
    judged.add_argument("--model", metavar="DIR", help="Hugging Face model folder")
    judged.add_argument("--answers", type=Path, metavar="FILE", help='judge these, one {"id", "answer"} a line, and load no model')
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="adapter to put on --model")
    parser.add_argument(
        "--base", metavar="DIR|none", help="report on the base model, for its row; default: an adapter's base answers too, into OUT/base"
    )
    parser.add_argument("--suite", action="append", required=True, metavar="FILE|NAME", help="questions; may be given again")
    parser.add_argument("--catalogue", type=Path, required=True, metavar="DIR", help="the database that the questions are about")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for answers and report")
    parser.add_argument("--name", help="the model's name in tables; default that of --out")
    parser.add_argument(
        "--retrieval", choices=("off", "on", "gold"), default="off", help="schema put before questions: none, found, perfect"
    )
    parser.add_argument("--constrained", action="store_true", help="let SQL name only tables and qualified columns of the catalogue")
    parser.add_argument("--limit", type=_count, metavar="N", help="only N questions, drawn by chance, always the same")
    parser.add_argument("--quick", action="store_const", const=QUICK_QUESTIONS, dest="limit", help=f"the same as --limit {QUICK_QUESTIONS}")
    parser.add_argument("--samples", type=_count, default=1, metavar="K", help="answers drawn to each question: pass@k and all of k")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="of drawing; default 0, the likeliest token")
    parser.add_argument("--system", metavar="TEXT", help="system prompt; default that of the run, '' for none")
    parser.add_argument("--max-new-tokens", type=_count, default=128, metavar="N", help="longest answer (default 128)")
    parser.add_argument("--token-budget", type=_count, default=16_384, metavar="N", help="tokens held at once: memory (default 16384)")
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32", "nf4"), default="auto", help="of the weights")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="also write eval/* scalars there, at --step")
    parser.add_argument("--step", type=int, default=0, metavar="N", help="training step of the scalars (default 0)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON in place of the table")
    parser.add_argument("--debug", action="store_true", help="tracebacks for mistakes too")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    args = parser.parse_args(argv)
    if args.adapter and not args.model:
        parser.error("--adapter goes onto --model; --checkpoint finds its base by itself")
    if not 0 <= args.temperature <= 10 or (args.samples > 1 and not args.temperature and not args.answers):
        parser.error("--samples needs --temperature above 0 (at most 10): greedy answers are all the same")
    args.name = args.name or args.out.name
    args.call = called(sys.argv[1:] if argv is None else argv)
    if not NAME.fullmatch(args.name):
        parser.error(f"--name {args.name[:40]!r}: allowed are up to 32 letters, digits, blanks and . _ -")
    return args


def called(argv: Sequence[str]) -> dict[str, str]:
    """Date and command for the foot of a report; of absolute paths the last part alone, since a report goes to others."""
    said = [Path(part).name if Path(part).is_absolute() else part for part in argv]
    return {"date": time.strftime("%Y-%m-%d"), "command": shlex.join(["python", "-m", "eval.run", *said])}


def run(args: argparse.Namespace) -> None:
    """Answers, verdicts and report of one call; prints the table and what follows from it."""
    from eval import decision, report
    from eval.judged import from_json
    from eval.paired import compare, has_adapter, may_be_base

    given = report.read(Path(args.base)) if args.base not in (None, "none") else None  # a wrong folder is told before answers are made
    content = judged(args)
    if given and not may_be_base(given, content):
        raise ValueError(f"--base {args.base}: judged another model than the one under the adapter; leave --base out, or give its report")
    base = base_report(args) if args.base is None and has_adapter(content) else given
    comparison = compare([base, content] if base else [content])
    report.write(content, comparison, args.out)
    if args.tensorboard:
        from vgpt2.metrics import write_scalars

        write_scalars(args.tensorboard, args.step, {f"eval/{name}": value for name, value in content["rates"].items()})
    if args.json:
        print(json.dumps({key: value for key, value in content.items() if key not in ("answers", "cost")}, indent=1))
        return
    print(report.table(comparison))
    for line in report.further_lines(content):
        print(line)
    print(decision.conclusion([from_json(row) for row in content["answers"]]))
    print(f"report {args.out / 'report.html'}")


def judged(args: argparse.Namespace) -> dict[str, Any]:
    """The content of the report on one model: its answers, made or read, with their verdicts."""
    from eval import answers as answer_files
    from eval import prompts, report, suites
    from vgpt2.datagen.names.real import load_names

    chosen = suites.load(args.suite)
    names = load_names(args.catalogue)
    items, shown = prompts.with_schema(suites.questions(chosen, args.limit), names.catalogue, args.retrieval, folder=args.catalogue)
    if args.answers:
        answers, generation = answer_files.read(args.answers), made_by(args.answers)
    else:
        answers, generation = generated(args, chosen, items, names.catalogue)
    by_question = answer_files.by_question(answers)
    if missing := [item.id for item in items if item.id not in by_question]:
        place = args.answers or args.out / ANSWERS
        raise ValueError(f"{place}: no answer to {len(missing)} of {len(items)} questions, the first is '{missing[0]}'; add them")
    samples = judge_all(names, items, by_question, shown)
    args.out.mkdir(parents=True, exist_ok=True)
    setting = report.Setting(args.name, args.limit, args.retrieval, names.catalogue.fingerprint, prompts_hash(items), generation)
    return report.build(setting, chosen, samples, [answer for item in items for answer in by_question[item.id]], call=args.call)


def base_report(args: argparse.Namespace) -> dict[str, Any] | None:
    """The report on the model under the judged adapter, asked the same in the same way; written into OUT/base.

    None for answers that were read and have none of their base beside them.
    """
    from eval import report
    from eval.paired import compare

    source = base_source(args)
    if source is None:
        return None
    print("the base model answers too, for its row; --base none leaves it out", file=sys.stderr)
    place = {"out": args.out / report.BASE, "name": report.BASE}
    own = argparse.Namespace(**{**vars(args), "checkpoint": None, "adapter": None, **source, **place})
    content = judged(own)
    report.write(content, compare([content]), own.out)
    return content


def base_source(args: argparse.Namespace) -> dict[str, Any] | None:
    """Where the base's answers come from, as arguments: its folder with prompt and quantisation of the adapter's run, or a file."""
    from eval.report import BASE

    if args.answers:
        beside = args.answers.parent / BASE / ANSWERS
        return {"answers": beside} if beside.is_file() else None
    from vgpt2 import checkpoint, loading
    from vgpt2.hub import folder_of

    adapter = checkpoint.resolve(args.adapter or folder_of(args.checkpoint))
    system = loading.system_of(adapter) if args.system is None else args.system
    dtype = loading.quantization_of(adapter) or args.dtype if args.dtype == "auto" else args.dtype
    return {"model": args.model or str(loading.base_of(adapter)), "system": system, "dtype": dtype}


def judge_all(
    names: "Names", items: "Sequence[Item]", answers: "dict[str, list[Answer]]", shown: dict[str, list[str]]
) -> "list[list[Judged]]":
    """The verdicts on all answers to each question, in the order of the questions."""
    from eval.judged import Judge
    from eval.progress import Progress

    with Judge(names) as judge:
        if not judge.executes:
            print('queries are compared, not run: install what runs them with pip install -e ".[eval]"', file=sys.stderr)
        progress = Progress(sum(len(answers[item.id]) for item in items), "judged")
        found = []
        for item in items:
            found.append([judge(item, a.answer, shown=shown.get(item.id), confidence=a.confidence) for a in answers[item.id]])
            for _ in answers[item.id]:
                progress.note(is_answer=True)
        progress.close()
    return found


def prompts_hash(items: "Sequence[Item]") -> str:
    """sha256 over all that is asked, schema included."""
    import hashlib

    return hashlib.sha256(json.dumps([[item.id, item.messages] for item in items]).encode()).hexdigest()


def made_by(answers: Path) -> dict[str, Any]:
    """How the answers in a file of ours were made; of other files only the name."""
    record = answers.parent / GENERATION
    if answers.name != ANSWERS or not record.is_file():
        return {"answers": answers.name}
    try:
        return {key: value for key, value in json.loads(record.read_text("utf-8")).items() if key not in ("suites", "prompts")}
    except (ValueError, RecursionError, AttributeError):
        raise ValueError(f"{record}: is not a JSON object; restore it, or rename {answers.name} and judge it without") from None


def generated(
    args: argparse.Namespace, chosen: "Sequence[Suite]", items: "Sequence[Item]", catalogue: "Catalogue"
) -> "tuple[list[Answer], dict[str, Any]]":
    """Answers to all questions, those of an interrupted call reused, and the record of how they were made."""
    from eval import answers as answer_files
    from vgpt2 import atomic, checkpoint
    from vgpt2.hub import folder_of

    source = folder_of(args.checkpoint or args.model)
    checkpoint.resolve(source)  # a wrong folder is answered before torch is imported
    from vgpt2.loading import load

    print(f"loading {args.checkpoint or args.model}", file=sys.stderr, flush=True)
    loaded = load(source, adapter=args.adapter, system=args.system, dtype=args.dtype, device=args.device)
    names = catalogue if args.constrained else None
    decoding = answer_files.Decoding(args.max_new_tokens, args.token_budget, args.samples, args.temperature, names)
    generation = {**loaded.fingerprints, "dtype": loaded.dtype, "decoding": str(decoding), "vgpt2": __version__}
    about = {"suites": {suite.name: suite.sha256 for suite in chosen}, "prompts": args.retrieval}
    record = json.dumps({**generation, **about}, indent=1) + "\n"
    args.out.mkdir(parents=True, exist_ok=True)
    path, record_path = args.out / ANSWERS, args.out / GENERATION
    done: list[Answer] = []
    if record_path.is_file() and path.is_file() and record_path.read_text("utf-8") == record:
        done = answer_files.read(path, may_be_cut=True)
    elif path.exists():
        path.unlink()
    # whole lines only: a half one from a killed call would join the next
    atomic.write_text(path, "".join(map(answer_files.line, done)))
    atomic.write_text(record_path, record)
    return [*done, *_append(path, loaded, items, decoding, done)], generation


def _append(path: Path, loaded: Any, items: "Sequence[Item]", decoding: "Decoding", done: "Sequence[Answer]") -> "list[Answer]":
    """Makes the answers that are missing, each written as soon as it is finished."""
    from eval import answers as answer_files
    from eval.progress import Progress

    total = len(items) * decoding.samples
    if done:
        print(f"{len(done)} of {total} answers are in {path} already", file=sys.stderr)
    progress = Progress(total - len(done), "answers")
    made = []
    with path.open("a", encoding="utf-8") as file:
        for answer in answer_files.made(loaded, items, decoding, progress, done=done):
            made.append(answer)
            file.write(answer_files.line(answer))
            file.flush()
    progress.end(prompt_tokens=sum(len(loaded.tokenizer.prompt(item.messages)) for item in items))
    return made


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text[:20]}' is no count; a whole number from 1 is needed")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
