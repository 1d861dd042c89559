"""The sentences of knowledge questions by kind, for training and for suites, from the text files beside.

A file holds blocks: the kind's name, its training sentences one a line, '--' and the held-out ones, for some '--' and training's follow-ups
that say 'it' of an object named before; `\\n` is a line break.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from vgpt2.datagen.language.phrasings import Template

FOLDER = Path(__file__).with_name("texts")


@cache
def templates(*, held_out: bool) -> dict[str, tuple[Template, ...]]:
    """Templates by kind; ids as in `phrasings`: kind, 't' or 'h', number."""
    return {kind: _numbered(kind, "h" if held_out else "t", parts[held_out]) for kind, parts in _blocks().items()}


@cache
def follow_ups(kind: str) -> tuple[Template, ...]:
    """Sentences with which a chat goes on about the object it is about; none for most kinds."""
    parts = _blocks()[kind]
    return _numbered(kind, "f", parts[2]) if len(parts) > 2 else ()


def _numbered(kind: str, mark: str, lines: list[str]) -> tuple[Template, ...]:
    return tuple(Template(f"{kind}-{mark}{number:02d}", text) for number, text in enumerate(lines, 1))


@cache
def _blocks() -> dict[str, list[list[str]]]:
    """Sentences by kind: training, held out, follow-ups."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for block in path.read_text(encoding="utf-8").split("\n\n"):
            kind, *lines = [line.replace("\\n", "\n") for line in block.strip().splitlines() if not line.startswith("#")] or [""]
            if kind:
                found[kind] = [part.split("\0") for part in "\0".join(lines).split("\0--\0")]
    return found
