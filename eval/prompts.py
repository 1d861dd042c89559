"""The schema that is put before a question: none, what retrieval finds, or exactly what a right answer needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vgpt2.judging import Item
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.glossary import find_glossary
from vgpt2.sql.prompt import question_prompt, schema_prompt
from vgpt2.sql.retrieve import Retriever

WAYS = ("off", "on", "gold")
RETRIEVED_OBJECTS = 10
SCHEMA_TOKENS = 1500
_OBJECT_LINE = re.compile(r"^(\w+)(?= key\(|:|$)", re.MULTILINE)  # as render_compact begins an object


def with_schema(items: Sequence[Item], catalogue: Catalogue, way: str, *, folder: Path) -> tuple[list[Item], dict[str, list[str]]]:
    """The questions as they are asked, and by question the objects that were put before it.

    `folder` is the catalogue's, where a glossary may lie. `off`: as the suite has them. Raises ValueError for questions that bring their
    own schema, since a second one before it would hide what retrieval is worth.
    """
    if way == "off":
        return list(items), {}
    if own := next((item.id for item in items if "\n\n" in item.messages[-1]["content"]), None):
        raise ValueError(
            f"--retrieval {way}: question '{own[:60]}' brings its own schema; use off, or a suite of bare questions such as plain"
        )
    retriever = Retriever(catalogue, find_glossary(folder, catalogue)) if way == "on" else None
    asked, shown = [], {}
    for item in items:
        schema = _retrieved(item, retriever, catalogue) if retriever else _perfect(item, catalogue)
        shown[item.id] = [name for name in dict.fromkeys(_OBJECT_LINE.findall(schema)) if catalogue.has(name)]
        asked.append(_behind(schema, item) if schema else item)
    return asked, shown


def _behind(schema: str, item: Item) -> Item:
    *before, question = item.messages
    return replace(item, messages=[*before, {"role": question["role"], "content": f"{schema}\n\n{question['content']}"}])


def _retrieved(item: Item, retriever: Retriever, catalogue: Catalogue) -> str:
    found = retriever.retrieve(item.messages[-1]["content"], limit=RETRIEVED_OBJECTS)
    return question_prompt(found, catalogue, max_tokens=SCHEMA_TOKENS) if found.names else ""


def _perfect(item: Item, catalogue: Catalogue) -> str:
    """The tables of the gold query with its columns; of a question without one, the object it asks about, where that is real."""
    tables = item.expect.get("tables") or [str(item.expect.get("table") or item.expect.get("name", "")).partition(".")[0]]
    objects = [catalogue.objects[name] for name in tables if catalogue.has(name)]
    if not objects:
        return ""
    names = set(re.findall(r"\w+", str(item.expect.get("sql", ""))))
    wanted = {o.name: tuple(name for name in o.column_names if name in names) for o in objects}
    return schema_prompt(objects, catalogue, wanted=wanted, max_tokens=SCHEMA_TOKENS)
