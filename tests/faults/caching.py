"""Takes rows from the token cache, building it where need be: caching.py FOLDER [LIMIT_GIB]. Ends with 2 and a line where it is refused."""

import sys

import numpy as np

from vgpt2.config import DataConfig
from vgpt2.dropped import Dropped
from vgpt2.tokencache import Row, Rows, rows

KEY = "c0ffee" * 11


def made() -> list[Row]:
    """Rows of one and two sequences, with and without a label; the last ones are held out."""
    found = []
    for n in range(40):
        sequences = tuple((np.arange(n, n + length, dtype=np.int32), np.arange(length) >= 2) for length in (3 + n % 5, 4)[: 1 + n % 2])
        found.append(Row(f"rows.jsonl:{n + 1}", sequences, tuple(range(len(sequences))), n % 3 == 0 if n % 2 else None))
    return found


def build(train, held_out) -> tuple[int, Dropped]:
    for n, row in enumerate(made()):
        (train if n < 35 else held_out).append(row)
    dropped = Dropped()
    dropped.add("over-long", "rows.jsonl:41")
    return 41, dropped


def take(folder: str, *, key: str = KEY, cache_gib: float = 1.0, build=build, say=print) -> Rows:
    data = DataConfig(train=("rows.jsonl",), cache=folder, cache_gib=cache_gib)
    return rows(data, lambda: key, store=lambda row: row, restore=lambda row: row, build=build, say=say)


if __name__ == "__main__":
    try:
        print(len(take(sys.argv[1]).train))
    except ValueError as refused:
        print(refused, file=sys.stderr)
        sys.exit(2)
