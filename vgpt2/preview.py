"""What a row looks like to the model: its text with the supervised tokens marked, for `python -m vgpt2.train --preview N`."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from vgpt2.tokenizer import ChatTokenizer

# marks as well as colour: the meaning survives a pipe, and an eye that sees no green
START, END = "⟦", "⟧"
GREEN, PLAIN = "\x1b[32m", "\x1b[0m"
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed: data must not steer the terminal


def render(example: Any, tokenizer: ChatTokenizer, *, colour: bool) -> str:
    """A stage's example as text: one conversation, or each of its `answers`; a reason (str) for a row that is dropped."""
    if isinstance(example, str):
        return f"dropped: {example}"
    sequences = getattr(example, "answers", (example,))
    texts = []
    for number, sequence in enumerate(sequences, 1):
        supervised = int(sum(sequence.completion_mask))
        of = f", {number} of {len(sequences)}" if len(sequences) > 1 else ""
        head = f"{example.where}{of}: {len(sequence.input_ids)} tokens, {supervised} supervised, {sequence.markers} control strings as text"
        texts.append(f"{head}\n{mark(sequence.input_ids, sequence.completion_mask, tokenizer, colour=colour)}")
    return "\n".join(texts)


def mark(ids: Sequence[int], completion_mask: Sequence[bool], tokenizer: ChatTokenizer, *, colour: bool) -> str:
    """The decoded tokens, control tokens included, with every supervised run between ⟦ and ⟧, and green where asked for."""
    start, end = (GREEN + START, END + PLAIN) if colour else (START, END)
    parts = []
    for is_supervised, run in groupby(zip(ids, completion_mask), key=lambda pair: bool(pair[1])):
        text = UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", tokenizer.decode([int(token) for token, _ in run], controls=True))
        parts.append(f"{start}{text}{end}" if is_supervised else text)
    return "".join(parts)
