"""The command `python -m eval.run`: a model answers suites, its answers are judged, a report is written.

    python -m eval.run --checkpoint checkpoints/sft/best --suite demo --catalogue data/catalogues/vista-core --out eval/reports/sft
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgpt2 import __version__

if TYPE_CHECKING:
    from eval.suites import Suite
    from vgpt2.judging import Item
    from vgpt2.loading import Loaded

EXAMPLES = """examples:
  python -m eval.run --checkpoint checkpoints/sft/best --suite demo --catalogue data/catalogues/vista-core --out eval/reports/sft
  python -m eval.run --answers others.jsonl --name others --suite demo --catalogue data/catalogues/vista-core --out eval/reports/others

A second call goes on where an interrupted one stopped; remove the folder to start anew.
"""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}")
ANSWERS, GENERATION = "answers.jsonl", "generation.json"
LINE_EVERY_S, BAR_EVERY_S = 60, 0.5


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
    judged.add_argument("--checkpoint", type=Path, metavar="DIR", help="run, RUN/best, step folder or adapter folder")
    judged.add_argument("--model", type=Path, metavar="DIR", help="Hugging Face model folder")
    judged.add_argument("--answers", type=Path, metavar="FILE", help='judge these, one {"id", "answer"} a line, and load no model')
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="adapter to put on --model")
    parser.add_argument("--suite", action="append", required=True, metavar="FILE|NAME", help="questions; may be given again")
    parser.add_argument("--catalogue", type=Path, required=True, metavar="DIR", help="the database that the questions are about")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for answers and report")
    parser.add_argument("--name", help="the model's name in tables; default that of --out")
    parser.add_argument("--limit", type=_count, metavar="N", help="only N questions, drawn by chance, always the same")
    parser.add_argument("--system", metavar="TEXT", help="system prompt; default that of the run, '' for none")
    parser.add_argument("--max-new-tokens", type=_count, default=128, metavar="N", help="longest answer (default 128)")
    parser.add_argument("--token-budget", type=_count, default=16_384, metavar="N", help="tokens held at once: memory (default 16384)")
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32"), default="auto", help="of weights and arithmetic")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON in place of the table")
    parser.add_argument("--debug", action="store_true", help="tracebacks for mistakes too")
    parser.add_argument("--version", action="version", version=f"vgpt2 {__version__}")
    args = parser.parse_args(argv)
    if args.adapter and not args.model:
        parser.error("--adapter goes onto --model; --checkpoint finds its base by itself")
    args.name = args.name or args.out.name
    if not NAME.fullmatch(args.name):
        parser.error(f"--name {args.name[:40]!r}: allowed are up to 32 letters, digits, blanks and . _ -")
    return args


def run(args: argparse.Namespace) -> None:
    """Answers, verdicts and report of one call; prints the table."""
    from eval import report, scores, suites
    from eval.paired import compare
    from vgpt2.sql.catalogue import load_catalogue

    chosen = suites.load(args.suite)
    items = suites.questions(chosen, args.limit)
    catalogue = load_catalogue(args.catalogue)
    if args.answers:
        answers, generation = read_answers(args.answers), made_by(args.answers)
    else:
        answers, generation = generated(args, chosen, items)
    if missing := [item.id for item in items if item.id not in answers]:
        place = args.answers or args.out / ANSWERS
        raise ValueError(f"{place}: no answer to {len(missing)} of {len(items)} questions, the first is '{missing[0]}'; add them")
    judged = [scores.judged_answer(item, answers[item.id], catalogue) for item in items]
    args.out.mkdir(parents=True, exist_ok=True)
    content = report.build(args.name, chosen, judged, limit=args.limit, catalogue=catalogue.fingerprint, generation=generation)
    comparison = compare([content])
    report.write(content, comparison, args.out)
    if args.json:
        print(json.dumps({key: value for key, value in content.items() if key != "answers"}, indent=1))
    else:
        print(report.table(comparison))
        print(f"report {args.out / 'report.html'}")


def made_by(answers: Path) -> dict[str, Any]:
    """How the answers in a file of ours were made; of other files only the name."""
    record = answers.parent / GENERATION
    if answers.name != ANSWERS or not record.is_file():
        return {"answers": answers.name}
    try:
        return {key: value for key, value in json.loads(record.read_text("utf-8")).items() if key != "suites"}
    except (ValueError, RecursionError, AttributeError):
        raise ValueError(f"{record}: is not a JSON object; restore it, or rename {answers.name} and judge it without") from None


def generated(args: argparse.Namespace, chosen: "Sequence[Suite]", items: "Sequence[Item]") -> tuple[dict[str, str], dict[str, Any]]:
    """Answers by question, those of an interrupted call reused, and the record of how they were made."""
    from vgpt2 import atomic, checkpoint

    source = args.checkpoint or args.model
    checkpoint.resolve(source)  # a wrong folder is answered before torch is imported
    from vgpt2.loading import load

    print(f"loading {source}", file=sys.stderr, flush=True)
    loaded = load(source, adapter=args.adapter, system=args.system, dtype=args.dtype, device=args.device)
    decoding = f"greedy, at most {args.max_new_tokens} new tokens"
    generation = {**loaded.fingerprints, "dtype": loaded.dtype, "decoding": decoding, "vgpt2": __version__}
    record = json.dumps({**generation, "suites": {suite.name: suite.sha256 for suite in chosen}}, indent=1) + "\n"
    args.out.mkdir(parents=True, exist_ok=True)
    path, record_path = args.out / ANSWERS, args.out / GENERATION
    answers: dict[str, str] = {}
    if record_path.is_file() and path.is_file() and record_path.read_text("utf-8") == record:
        answers = read_answers(path, may_be_cut=True)
    elif path.exists():
        path.unlink()
    # whole lines only: a half one from a killed call would join the next
    atomic.write_text(path, "".join(json.dumps({"id": id, "answer": text}, ensure_ascii=False) + "\n" for id, text in answers.items()))
    atomic.write_text(record_path, record)
    todo = [item for item in items if item.id not in answers]
    if len(todo) < len(items):
        print(f"{len(items) - len(todo)} of {len(items)} answers are in {path} already", file=sys.stderr)
    progress = Progress(len(todo))
    with path.open("a", encoding="utf-8") as file:
        for item, text in answer_all(loaded, todo, args, progress):
            answers[item.id] = text
            file.write(json.dumps({"id": item.id, "answer": text}, ensure_ascii=False) + "\n")
            file.flush()
    return answers, generation


def answer_all(
    loaded: "Loaded", items: "Sequence[Item]", args: argparse.Namespace, progress: "Progress"
) -> "Iterator[tuple[Item, str]]":
    """Each question with its greedy answer, as they are finished."""
    from vgpt2.generate import Request, stream

    tokenizer = loaded.tokenizer
    requests = [Request(tokenizer.prompt(item.messages), args.max_new_tokens) for item in items]
    ids: list[list[int]] = [[] for _ in requests]
    for token in stream(loaded.model, requests, eos_ids=tokenizer.eos_ids, token_budget=args.token_budget):
        if token.id is not None:
            ids[token.request].append(token.id)
        progress.note(is_answer=token.finish is not None)
        if token.finish:
            yield items[token.request], tokenizer.decode(ids[token.request])
    progress.end(prompt_tokens=sum(len(request.prompt) for request in requests))


class Progress:
    """Answers and tokens so far, on stderr: a bar on a terminal, a line a minute elsewhere, the cost at the end."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self.total, self.answers, self.tokens = total, 0, 0
        self.began = self.shown = time.monotonic()
        self.cpu = time.process_time()
        watched = sys.stderr.isatty()
        self.bar = tqdm(total=total, desc="answers", unit="answer", dynamic_ncols=True, leave=False) if watched else None

    def note(self, *, is_answer: bool) -> None:
        """One more token, perhaps the last one of an answer."""
        self.tokens += 1
        self.answers += is_answer
        now = time.monotonic()
        if now - self.shown < (BAR_EVERY_S if self.bar else LINE_EVERY_S):
            return
        self.shown = now
        if self.bar:
            self.bar.n = self.answers
            self.bar.set_postfix_str(f"{self.tokens:,} tokens")
        else:
            print(f"answers {self.answers}/{self.total}, {self.tokens:,} tokens", file=sys.stderr, flush=True)

    def end(self, *, prompt_tokens: int) -> None:
        if self.bar:
            self.bar.close()
        wall, cpu = time.monotonic() - self.began, time.process_time() - self.cpu
        cost = f"{prompt_tokens:,} + {self.tokens:,} tokens in {wall:.0f} s, {cpu:.0f} CPU-seconds"
        print(f"{self.total} answers: {cost}", file=sys.stderr)


def read_answers(path: Path, *, may_be_cut: bool = False) -> dict[str, str]:
    """Answers by question from JSON lines; raises ValueError naming file and line, but for a last line that `may_be_cut`."""
    answers: dict[str, str] = {}
    lines = path.read_text("utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Mapping[str, Any] = json.loads(line)
            if not isinstance(row["id"], str) or not isinstance(row["answer"], str):
                raise TypeError
        except (ValueError, RecursionError, KeyError, TypeError):
            if may_be_cut and number == len(lines):
                break
            raise ValueError(f'{path}:{number}: is no answer; a line is {{"id": "...", "answer": "..."}}') from None
        if row["id"] in answers:
            raise ValueError(f"{path}:{number}: a second answer to '{row['id'][:60]}'; keep one")
        answers[row["id"]] = row["answer"]
    return answers


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text[:20]}' is no count; a whole number from 1 is needed")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
