"""How much the SQL checker finds, how often it is wrong and how fast it is, on texts made from a catalogue.

    python benchmarks/checker.py [--catalogue DIR] [--texts 300] [--json FILE]

Clean texts: house-style queries (every finding is a mistake) and valid T-SQL of every clause (every finding of syntax or names is one).
Broken texts: house-style queries with one known fault each; found means that a finding of the fault's own code is reported.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from sql_breaks import BREAKS  # noqa: E402
from sql_texts import MUTATIONS, house_query  # noqa: E402
from sql_views import valid_text  # noqa: E402

from vgpt2.sql.catalogue import Catalogue, load_catalogue  # noqa: E402
from vgpt2.sql.checker import check  # noqa: E402
from vgpt2.sql.ruleset import HOUSE_CODES, house_rules  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", default=ROOT / "data" / "catalogues" / "vista-core")
    parser.add_argument("--texts", type=int, default=300, help="texts per row (default 300)")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--misses", action="store_true", help="print the first text that went wrong in each row")
    options = parser.parse_args()
    catalogue = load_catalogue(options.catalogue)
    rows = []
    for name, good, texts in measured(catalogue, options.texts):
        n, hits, miss = count(texts, good)
        rows.append({"row": name, "n": n, "share": hits / n if n else None})
        print(f"{name:48} {hits:5}/{n:<5} {hits / n:7.2%}" if n else f"{name:48}     0")
        if options.misses and miss:
            print(f"    {miss!r}")
    speed = views_per_second(catalogue, options.texts)
    rate = f"{speed['texts_per_s']:8.0f}   {speed['kb_per_s']:.0f} KB/s, {speed['mean_chars']:.0f} characters each"
    print(f"{'valid texts a second (one core)':48} {rate}")
    for name, milliseconds in worst_cases(catalogue):
        print(f"{name:48} {milliseconds:8.0f} ms")
    if options.json:
        options.json.write_text(
            json.dumps({"machine": platform.processor(), "python": platform.python_version(), "rows": rows, "speed": speed}, indent=1)
        )


def measured(catalogue: Catalogue, n: int) -> Iterator[tuple[str, Callable[[str], bool], Iterator[str]]]:
    """(row, what counts as right, texts) for every row of the table."""
    names_only = house_rules().without(*HOUSE_CODES)
    yield "clean house-style query: no finding", lambda sql: not check(sql, catalogue), (house(catalogue, i).text() for i in range(n))
    yield (
        "valid T-SQL: no finding of syntax or names",
        lambda sql: not check(sql, catalogue, names_only),
        (valid(catalogue, i) for i in range(n)),
    )
    for name, (mutate, codes) in MUTATIONS.items():
        texts = (text for i in range(n) if (text := mutate(random.Random(i), catalogue, house(catalogue, i))) is not None)
        yield name, lambda sql, codes=codes: any(f.code in codes for f in check(sql, catalogue)), texts  # type: ignore[misc]
    for name, breaks in BREAKS.items():
        texts = (text for i in range(n) if (text := breaks(random.Random(i), source(catalogue, i))) is not None)
        yield f"syntax: {name}", lambda sql: any(f.severity == "error" for f in check(sql, catalogue, names_only)), texts


def house(catalogue: Catalogue, seed: int):  # type: ignore[no-untyped-def]
    return house_query(random.Random(f"house/{seed}"), catalogue)


def valid(catalogue: Catalogue, seed: int) -> str:
    return valid_text(random.Random(f"valid/{seed}"), catalogue)


def source(catalogue: Catalogue, seed: int) -> str:
    """A text to break: a house-style query, every third time one of the longer valid texts."""
    return valid(catalogue, seed) if seed % 3 == 0 else house(catalogue, seed).text()


def count(texts: Iterator[str], is_right: Callable[[str], bool]) -> tuple[int, int, str | None]:
    n = hits = 0
    miss = None
    for sql in texts:
        n += 1
        if is_right(sql):
            hits += 1
        else:
            miss = miss or sql
    return n, hits, miss


def views_per_second(catalogue: Catalogue, n: int) -> dict[str, float]:
    texts = [valid(catalogue, i) for i in range(n)]
    check(texts[0], catalogue)
    start = time.perf_counter()
    for sql in texts:
        check(sql, catalogue)
    seconds = time.perf_counter() - start
    characters = sum(map(len, texts))
    return {"texts_per_s": n / seconds, "kb_per_s": characters / seconds / 1000, "mean_chars": characters / n}


def worst_cases(catalogue: Catalogue) -> Iterator[tuple[str, float]]:
    """Milliseconds for texts made to be slow, each about 100 KB."""
    for name, sql in {
        "hostile: 30,000 summands": "SELECT " + " + ".join(["a"] * 24_000),
        "hostile: 5,000 joins": "SELECT 1 FROM APTH " + "JOIN APTL ON 1=1 " * 5_000,
        "hostile: 5,000 unknown columns": "SELECT " + ", ".join(f"c{i}" for i in range(12_000)) + " FROM APTH",
        "hostile: 2,000 unknown tables": "SELECT 1 FROM " + ", ".join(f"Fake{i:05}" for i in range(9_000)),
        "hostile: broken statements": "SELECT a FROM T WHERE;" * 4_500,
        "hostile: deep nesting": "(" * 99_000,
        "hostile: 9,000 CTEs": "WITH " + ", ".join(f"c{i} AS (SELECT 1 x)" for i in range(4_200)) + " SELECT x FROM c1",
        "hostile: 1 MB": "SELECT 1, " * 100_000,
    }.items():
        start = time.perf_counter()
        check(sql[:100_000] if name != "hostile: 1 MB" else sql, catalogue)
        yield name, (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
