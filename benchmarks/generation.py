"""Decoding speed and memory on a CPU against transformers' generate: the same weights, prompts and greedy settings, batches of 8.

    python benchmarks/generation.py --model DIR --suite eval/suites/probe.jsonl

DIR is a Hugging Face folder, as the embedded model's or what `vgpt2.export --merge` writes. Prompts: one in so many of the suite's
questions behind the system prompt. transformers gets them sorted by length and padded on the left; here they pass through as many rows
as transformers has. An answer ends with the model's end token, or after --new tokens. Rate: tokens of answers a second of process time,
prefill included. Each case runs in its own process, cases take turns.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

CASES = tuple(f"{side}-{dtype}" for dtype in ("float32", "bfloat16") for side in ("ours", "transformers"))
ROWS = 8


def prompts(model: Path, suite: Path, count: int) -> tuple[list[list[int]], tuple[int, ...]]:
    """Ids of the prompts, and the ids that end an answer."""
    from vgpt2.config import DEFAULT_SYSTEM
    from vgpt2.tokenizer import ChatTokenizer

    tokenizer = ChatTokenizer.load(model, system=DEFAULT_SYSTEM)
    questions = [json.loads(line)["messages"] for line in suite.read_text("utf-8").splitlines()]
    asked = [tokenizer.prompt(messages) for messages in questions[:: max(len(questions) // count, 1)][:count]]
    return asked, tuple(tokenizer.eos_ids)


def ours(folder: Path, asked: list[list[int]], ends: tuple[int, ...], dtype: Any, new: int) -> tuple[list[list[int]], float]:
    """Answers and CPU-seconds, without loading."""
    from vgpt2.generate import generate
    from vgpt2.loading import load

    model = load(folder, dtype=str(dtype).removeprefix("torch."), device="cpu").model
    budget = ROWS * (max(map(len, asked)) + new)
    generate(model, asked[:ROWS], max_new_tokens=2, eos_ids=ends, token_budget=budget)
    began = time.process_time()
    return generate(model, asked, max_new_tokens=new, eos_ids=ends, token_budget=budget), time.process_time() - began


def theirs(folder: Path, asked: list[list[int]], ends: tuple[int, ...], dtype: Any, new: int) -> tuple[list[list[int]], float]:
    """The same by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()
    order = sorted(range(len(asked)), key=lambda n: -len(asked[n]))

    def answer(batch: list[int], count: int) -> list[list[int]]:
        width = max(len(asked[n]) for n in batch)
        ids = torch.tensor([[0] * (width - len(asked[n])) + asked[n] for n in batch])
        mask = torch.tensor([[0] * (width - len(asked[n])) + [1] * len(asked[n]) for n in batch])
        options = {"do_sample": False, "eos_token_id": list(ends), "pad_token_id": ends[0], "max_new_tokens": count}
        answers = model.generate(ids, attention_mask=mask, **options)[:, width:].tolist()
        return [answer[: min((answer.index(end) for end in ends if end in answer), default=count)] for answer in answers]

    answer(order[:ROWS], 2)
    found: dict[int, list[int]] = {}
    began = time.process_time()
    for start in range(0, len(order), ROWS):
        batch = order[start : start + ROWS]
        found.update(zip(batch, answer(batch, new)))
    return [found[n] for n in range(len(asked))], time.process_time() - began


def run_case(case: str, args: argparse.Namespace) -> dict[str, Any]:
    import resource

    import torch

    torch.set_num_threads(args.threads)
    asked, ends = prompts(args.model, args.suite, args.prompts)
    side, dtype = case.split("-")
    answers, cpu_s = (ours if side == "ours" else theirs)(args.model, asked, ends, getattr(torch, dtype), args.new)
    return {
        "tokens_per_cpu_s": round(sum(map(len, answers)) / cpu_s, 2),
        "cpu_s": round(cpu_s, 2),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "prompt_tokens": sum(map(len, asked)),
        "answer_tokens": sum(map(len, answers)),
        "answers": [hashlib.sha256(json.dumps(answer).encode()).hexdigest()[:12] for answer in answers],
    }


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every case in a process of its own, in turns: A B C A B C."""
    results = []
    for turn in range(args.rounds):
        for case in args.cases:
            numbers = ("prompts", "new", "threads")
            options = [word for name in numbers for word in (f"--{name}", str(getattr(args, name)))]
            command = [sys.executable, __file__, "--case", case, "--model", str(args.model), "--suite", str(args.suite), *options]
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(args.threads)}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                sys.exit(f"{case}: exit {done.returncode}\n{done.stderr[-2000:]}")
            results.append({"case": case, "round": turn, **json.loads(done.stdout.splitlines()[-1])})
    return results


def table(results: list[dict[str, Any]]) -> str:
    """One line a case: median rate with its range, ratio of ours to theirs, memory, answers in common."""
    lines = [f"{'case':22} {'tok/CPU-s':>10} {'range':>15} {'ours is':>8} {'peak RSS':>10} {'same answers':>13}"]
    for case in dict.fromkeys(result["case"] for result in results):
        own = [r for r in results if r["case"] == case]
        mine = [r for r in results if r["case"] == f"ours-{case.split('-')[1]}"]
        rates = [r["tokens_per_cpu_s"] for r in own]
        ratio = statistics.median(r["tokens_per_cpu_s"] for r in mine) / statistics.median(rates) if mine else 1.0
        same = sum(a == b for a, b in zip(own[0]["answers"], mine[0]["answers"])) if mine else 0
        spread = f"{min(rates):.1f}-{max(rates):.1f}"
        count = len(own[0]["answers"])
        memory = f"{own[0]['peak_rss_mib']} MiB"
        lines.append(f"{case:22} {statistics.median(rates):10.1f} {spread:>15} {ratio:7.2f}x {memory:>10} {same:>8} of {count}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR")
    parser.add_argument("--suite", type=Path, required=True, metavar="FILE")
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--new", type=int, default=64, help="tokens of an answer at most")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES))
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if args.case:
        print(json.dumps(run_case(args.case, args)))
        return
    results = measure(args)
    print(table(results))
    if args.out:
        versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
        about = {"date": str(date.today()), "python": platform.python_version(), "machine": platform.machine(), **versions}
        settings = {"model": args.model.name, "suite": args.suite.stem, "rows": ROWS}
        settings |= {name: getattr(args, name) for name in ("prompts", "new", "threads")}
        args.out.write_text(json.dumps({"about": about, "settings": settings, "results": results}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
