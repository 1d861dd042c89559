"""How many of the objects that a question needs retrieval finds, part by part, and what a question costs.

    python benchmarks/retrieval.py [--suite eval/suites/plain.jsonl] [--full DIR] [--json FILE] [--misses]

Recall at k: the share of a question's gold objects among the first k, averaged over the questions; a table and its views count as one.
All at k: the share of questions with every gold object among the first k. Each row of the table adds one part to the row above it.
Only the bundled catalogue describes its objects; its descriptions and glossary are laid over the full one, as `search --knowledge` does.
A question whose gold objects the catalogue lacks is left out and counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from vgpt2.sql.catalogue import Catalogue, load_catalogue  # noqa: E402
from vgpt2.sql.descriptions import described_by  # noqa: E402
from vgpt2.sql.glossary import find_glossary  # noqa: E402
from vgpt2.sql.retrieve import PARTS, Retriever  # noqa: E402

CORE = ROOT / "data" / "catalogues" / "vista-core"
DEPTHS = (5, 10, 20)
LADDER = {
    "names": ("name",),
    "+ modules and columns": ("name", "module", "columns"),
    "+ descriptions": ("name", "module", "columns", "description"),
    "+ glossary": ("name", "module", "columns", "description", "terms"),
    "+ prior": ("name", "module", "columns", "description", "terms", "prior"),
    "+ closure (everything)": PARTS,
}


@dataclass(frozen=True)
class Question:
    text: str
    objects: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=ROOT / "eval" / "suites" / "plain.jsonl")
    parser.add_argument("--full", type=Path, help="folder of the full catalogue; without it the bundled one alone is measured")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--misses", action="store_true", help="print what is not among the first ten")
    options = parser.parse_args()
    questions = read(options.suite)
    core = load_catalogue(CORE)
    catalogues = {"bundled": core} | ({"full": described_by(load_catalogue(options.full), core)} if options.full else {})
    rows = []
    for name, catalogue in catalogues.items():
        asked = [q for q in questions if q.objects and all(catalogue.knows(o) for o in q.objects)]
        if not asked:
            print(f"\n{name}: holds the gold objects of no question")
            continue
        print(f"\n{name}: {catalogue}")
        print(f"{'':24}" + "".join(f"recall@{k:<4}" for k in DEPTHS) + "".join(f"all@{k:<7}" for k in DEPTHS) + "CPU ms  build s")
        for label, parts in LADDER.items():
            row = {"catalogue": name, "parts": label} | measure(catalogue, asked, parts) | {"left_out": len(questions) - len(asked)}
            rows.append(row)
            print(line(row))
        print(f"{'':24}{rows[-1]['questions']} questions, {rows[-1]['left_out']} left out")
        if options.misses:
            show_misses(catalogue, asked)
    if options.json:
        suite = {"file": options.suite.name, "sha256": hashlib.sha256(options.suite.read_bytes()).hexdigest()}
        machine = {"python": platform.python_version(), "machine": platform.machine(), "date": date.today().isoformat()}
        options.json.write_text(json.dumps({"suite": suite} | machine | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> list[Question]:
    """Questions of a suite (the last paragraph of its last user message, expect.tables) or of a plain file (question, objects)."""
    questions = []
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if "messages" in row:
            said = [message["content"] for message in row["messages"] if message["role"] == "user"][-1]
            questions.append(Question(said.strip().split("\n\n")[-1], tuple(row["expect"].get("tables") or row.get("objects") or ())))
        else:
            questions.append(Question(row["question"], tuple(row["objects"])))
    return questions


def retriever(catalogue: Catalogue, parts: Sequence[str]) -> Retriever:
    return Retriever(catalogue, find_glossary(CORE, catalogue), parts=parts)


def measure(catalogue: Catalogue, asked: Sequence[Question], parts: Sequence[str]) -> dict[str, Any]:
    """Recall and all-found shares at each depth, and CPU milliseconds a question."""
    start = time.process_time()
    found_by = retriever(catalogue, parts)
    build_s = time.process_time() - start
    recalls: dict[int, list[float]] = {k: [] for k in DEPTHS}
    spent = 0.0
    for question in asked:
        start = time.process_time()
        names = found_by.retrieve(question.text, limit=max(DEPTHS)).names
        spent += time.process_time() - start
        gold = {found_by.group_of(name) for name in question.objects}
        for k in DEPTHS:
            recalls[k].append(len(gold.intersection(names[:k])) / len(gold))
    n = len(asked)
    return {
        "questions": n,
        **{f"recall@{k}": round(sum(recalls[k]) / n, 4) for k in DEPTHS},
        **{f"all@{k}": round(sum(share == 1 for share in recalls[k]) / n, 4) for k in DEPTHS},
        "cpu_ms": round(1000 * spent / n, 2),
        "build_s": round(build_s, 3),
    }


def line(row: dict[str, Any]) -> str:
    shares = "".join(f"{row[f'{kind}@{k}']:<11.1%}" for kind in ("recall", "all") for k in DEPTHS)
    return f"{row['parts']:24}{shares}{row['cpu_ms']:<8.1f}{row['build_s']:.2f}"


def show_misses(catalogue: Catalogue, questions: Sequence[Question]) -> None:
    found_by = retriever(catalogue, PARTS)
    for question in questions:
        names = found_by.retrieve(question.text, limit=max(DEPTHS)).names
        missing = {found_by.group_of(name) for name in question.objects} - set(names[:10])
        if missing:
            ranks = {name: names.index(name) + 1 if name in names else None for name in sorted(missing)}
            print(f"{question.text}\n    {ranks}; found {', '.join(names[:10])}")


if __name__ == "__main__":
    main()
