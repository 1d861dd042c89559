"""How long the data factory takes and how much memory, from a catalogue to an audited set.

    python benchmarks/factory.py [--size 100000] [--workers 2] [--keep DIR] [--json FILE]

Claim: 100,000 questions of the wide recipe, made and audited against every suite, in under ten minutes on two cores and in under 4 GB.
Each step is our own command in a process of its own. CPU seconds are those of the process and its workers; memory is the sum of their
resident sets (shared pages counted in each), looked at ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
SUITES = ("demo", "hard", "plain", "probe", "validation")


@dataclass(frozen=True)
class Step:
    name: str
    wall_s: float
    cpu_s: float
    peak_bytes: int
    exit_code: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, default=ROOT / "data" / "catalogues" / "vista-core")
    parser.add_argument("--size", type=int, default=100_000, help="questions (default 100,000)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tokenizer", type=Path, help="count tokens with this folder's tokenizer.json")
    parser.add_argument("--keep", type=Path, help="folder for the set, its manifest and the audit's page")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        out = folder / "sft.jsonl"
        steps = [run("generate", generation(options, out))]
        if steps[0].exit_code:
            sys.exit(steps[0].exit_code)
        steps.append(run("audit", audit(options, out)))
        manifest = json.loads(out.with_name(out.name + ".manifest.json").read_text("utf-8"))
        size = out.stat().st_size
    report(steps, manifest, size, options)


def generation(options: argparse.Namespace, out: Path) -> list[str]:
    shares, documents = ROOT / "configs" / "datagen" / "wide.yaml", ROOT / "data" / "samples" / "documents"
    arguments = ["sft", "--recipe", "wide", "--shares", shares, "--documents", documents, "--size", options.size, "--plan"]
    return [*map(str, arguments), "--catalogue", str(options.catalogue), "--out", str(out), "--workers", str(options.workers)]


def audit(options: argparse.Namespace, out: Path) -> list[str]:
    arguments = ["audit", out, "--catalogue", options.catalogue, "--documents", ROOT / "data" / "samples" / "documents"]
    for suite in SUITES:
        arguments += ["--suite", ROOT / "eval" / "suites" / f"{suite}.jsonl"]
    if options.tokenizer:
        arguments += ["--tokenizer", options.tokenizer]
    files = ["--html", out.with_suffix(".html"), "--json", out.with_suffix(".audit.json")]
    return [*map(str, [*arguments, *files]), "--workers", str(options.workers)]


def run(name: str, arguments: list[str]) -> Step:
    """One of our commands, with what it took."""
    before, start = os.times(), time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen([sys.executable, "-m", "vgpt2.datagen", *arguments], cwd=ROOT, env=environment)
    watch = Watch(process.pid)
    code = process.wait()
    peak = watch.end()
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Step(name, time.perf_counter() - start, cpu_s, peak, code)


class Watch:
    """The largest sum of resident sets of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._ended = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._peak

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            total = 0
            try:
                root = psutil.Process(self._pid)
                for process in (root, *root.children(recursive=True)):
                    total += process.memory_info().rss
            except psutil.Error:
                continue
            self._peak = max(self._peak, total)


def report(steps: list[Step], manifest: dict[str, Any], size: int, options: argparse.Namespace) -> None:
    rows, questions = manifest["rows"], manifest["questions"]
    print(f"\n{questions:,} questions in {rows:,} rows, {size / 2**20:.0f} MiB; {options.workers} workers; {manifest['sha256'][:12]}")
    print(f"{'step':<12}{'wall s':>10}{'CPU s':>10}{'CPU ms a row':>14}{'peak GiB':>10}{'exit':>6}")
    for step in steps:
        spent = f"{step.wall_s:10.1f}{step.cpu_s:10.1f}{1000 * step.cpu_s / rows:14.2f}"
        print(f"{step.name:<12}{spent}{step.peak_bytes / 2**30:10.2f}{step.exit_code:6}")
    print(f"{'both':<12}{sum(s.wall_s for s in steps):10.1f}{sum(s.cpu_s for s in steps):10.1f}")
    if options.json:
        machine = {"processor": platform.processor(), "cores": os.cpu_count(), "python": platform.python_version()}
        figures = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "rows": rows, "questions": questions, "bytes": size}
        about = {"sha256": manifest["sha256"], "workers": options.workers, "audit": manifest["audit"], "plan": manifest["plan"]}
        text = json.dumps({**figures, **about, "steps": [asdict(step) for step in steps]}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
