"""Data files to records: read, mixed, without duplicates, and split so that no prompt lies on both sides.

    records, dropped = read(["data/sft/train.jsonl"], kind="sft")
    train, held_out = split(records, 0.05, seed=0)
    examples, dropped = encode_all(train, stage.encode, tokenizer=tokenizer)

Rows that cannot be used are counted with their reason; mistakes refuse the file and say file:line:field (see data/README.md).
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from vgpt2 import layouts, rowfiles
from vgpt2.dropped import Dropped, Mistakes
from vgpt2.encoding import encode_all
from vgpt2.layouts import FieldError, Kind, Record, Unusable
from vgpt2.registry import Source, sources
from vgpt2.tokenizer import Message

__all__ = ["Dropped", "Record", "encode_all", "read", "split", "split_turns"]


def read(
    names: Sequence[str | Path],
    *,
    kind: Kind,
    registry: Path | None = None,
    weights: Mapping[str, float] = {},
    caps: Mapping[str, int] = {},
    max_rows: int | None = None,
    seed: int = 0,
) -> tuple[list[Record], Dropped]:
    """The usable rows of files or registry names as records of one kind, in file order, and what was dropped.

    `weights` and `caps` of a name take the place of the registry's. `max_rows` reads only the first usable rows, for a trial.
    A DPO file read as KTO rows gives two records a pair.
    Raises ValueError with the first three mistakes and their number, when no row is left, and for KTO rows of one class only.
    """
    dropped, mistakes = Dropped(), Mistakes()
    found: list[Record] = []
    seen: set[bytes] = set()
    for source in sources(names, registry, weights=weights, caps=caps):
        rows = _usable(source, kind, max_rows, seen, dropped, mistakes)
        found += _share(rows, source, seed)
    mistakes.refuse()
    place = ", ".join(map(str, names))[:60]
    if not found:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.counts.items())
        raise ValueError(f"{place}: no usable row; dropped: {reasons or 'none'}; see data/README.md for what a row holds")
    if kind == "kto" and max_rows is None and len({record.label for record in found}) == 1:
        one, other = ("desirable", "undesirable") if found[0].label else ("undesirable", "desirable")
        raise ValueError(f"{place}: all {len(found):,} rows are {one}; KTO needs {other} answers too, so add some")
    return found[:max_rows], dropped


def split(records: Sequence[Record], share: float, *, seed: int) -> tuple[list[Record], list[Record]]:
    """(training, held-out) records in their order; about `share` of them are held out, all rows of a prompt on one side.

    Prompts that differ only in case, white space or Unicode form are the same. Raises ValueError when there is only one prompt.
    """
    if not share:
        return list(records), []
    groups: dict[bytes, list[int]] = {}
    for position, record in enumerate(records):
        groups.setdefault(_digest(_normalised(record.prompt)), []).append(position)
    if len(groups) < 2:
        raise ValueError(f"data.validation: {share} cannot be held out of one prompt; set it to 0, or give a file")
    order = sorted(groups.values())
    Random(f"{seed}/split").shuffle(order)
    wanted = max(1, round(share * len(records)))
    held: set[int] = set()
    for positions in order:
        if len(held) + len(positions) <= wanted:
            held.update(positions)
    if not held:
        held.update(sorted(order, key=len)[0])
    return [r for n, r in enumerate(records) if n not in held], [r for n, r in enumerate(records) if n in held]


def split_turns(records: Sequence[Record]) -> list[Record]:
    """SFT records with one supervised answer each, the last one: for templates that rewrite earlier turns."""
    single = []
    for record in records:
        turns = record.messages
        supervised = [n for n, turn in enumerate(turns) if turn["role"] == "assistant" and turn.get("train", True)]
        for number, n in enumerate(supervised, 1):
            context: list[Message] = [{**turn, "train": False} if turn["role"] == "assistant" else turn for turn in turns[:n]]
            name = record.id if len(supervised) == 1 else f"{record.id}/{number}"
            single.append(replace(record, prompt=context, completion=turns[n]["content"], id=name))
    return single


def _usable(source: Source, kind: Kind, max_rows: int | None, seen: set[bytes], dropped: Dropped, mistakes: Mistakes) -> list[Record]:
    """The records of one file; what is left out goes to `dropped`, what is wrong to `mistakes`."""
    limit = min((n for n in (max_rows, source.cap) if n is not None), default=None)
    found: list[Record] = []
    line, before = 0, mistakes.count
    for line, row in rowfiles.rows(source.path, mistakes):
        where = f"{source.path}:{line}"
        try:
            records = layouts.records(row, kind, source.layout, where)
        except FieldError as error:
            mistakes.add(str(source.path), f"{where}:{error.field}: {error}")
            continue
        except Unusable as reason:
            dropped.add(str(reason), where)
            continue
        for record in records:
            key = _digest(repr((record.prompt, record.completion, record.chosen, record.rejected, record.label)))
            if key in seen:
                dropped.add("duplicate", where)
            else:
                seen.add(key)
                found.append(record)
        if limit is not None and len(found) >= limit:
            return found[:limit]
    if not line and mistakes.count == before:
        mistakes.add(str(source.path), f"{source.path}: holds no row; it needs at least one, see data/README.md")
    return found


def _share(records: list[Record], source: Source, seed: int) -> list[Record]:
    """`records` as often as the source's weight says: whole copies, then a seeded sample for the fraction, in file order."""
    copies, fraction = divmod(source.weight, 1)
    sample = sorted(Random(f"{seed}/mix/{source.name}").sample(range(len(records)), round(fraction * len(records))))
    return records * int(copies) + [records[n] for n in sample]


def _normalised(prompt: Sequence[Message]) -> str:
    said = "\0".join(turn["content"] for turn in prompt if turn["role"] != "system")
    return " ".join(unicodedata.normalize("NFKC", said).casefold().split())


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
