"""data/registry.json: named data sets with their columns and tags, in the shape of LLaMA-Factory's dataset_info.json.

A name in a config is looked up here first; every other name is a path.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vgpt2.layouts import COLUMNS, ROLES, Layout

# dataset_info.json's name of a column -> ours
COLUMN_KEYS = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "kto_tag": "label",
    **{name: name for name in ("history", "messages", "system", "chosen", "rejected")},
}
TAG_KEYS = ("role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag")
FORMATTINGS = ("alpaca", "sharegpt", "openai")
KEYS: dict[str, type | tuple[type, ...]] = {
    "file_name": str,
    "formatting": str,
    "ranking": bool,
    "columns": dict,
    "tags": dict,
    "num_samples": int,
    "weight": (int, float),
}


@dataclass(frozen=True)
class Source:
    """A file to read, how its rows are named, and its share in a mix."""

    name: str
    path: Path
    layout: Layout = field(default_factory=Layout)
    cap: int | None = None  # rows at most, before the weight
    weight: float = 1.0  # 0.5: every other row, 2: every row twice


def sources(
    names: Sequence[str | Path], registry: Path | None, *, weights: Mapping[str, float] = {}, caps: Mapping[str, int] = {}
) -> list[Source]:
    """The source of every name, in order; file names of the registry are relative to its folder.

    `weights` and `caps` by name take the place of the registry's.
    Raises ValueError for a name that is neither in the registry nor a file, and for what an entry says wrongly.
    """
    stray = next((name for name in (*weights, *caps) if name not in map(str, names)), None)
    if stray is not None:
        known = ", ".join(map(str, names))[:80]
        raise ValueError(f"{stray}: has a weight or a cap and is none of the sets {known}; name it there too, or take it out")
    entries = _entries(registry) if registry is not None and registry.is_file() else {}
    found = []
    for name in map(str, names):
        if name in entries:
            assert registry is not None
            found.append(_source(name, entries[name], registry))
        elif not Path(name).exists():
            near = difflib.get_close_matches(name, entries, n=3)
            hint = f"did you mean {', '.join(near)}" if near else "give a .jsonl, .json or .parquet file"
            raise ValueError(f"{name}: no such file, and no name in {registry or 'a registry'}; {hint}")
        else:
            found.append(Source(name, Path(name)))
    return [replace(s, weight=weights.get(s.name, s.weight), cap=caps.get(s.name, s.cap)) for s in found]


def _entries(registry: Path) -> dict[str, Any]:
    try:
        entries = json.loads(registry.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{registry}:{error.lineno}: not JSON, {error.msg.lower()} at column {error.colno}; mend it") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{registry}: not JSON in UTF-8; mend it, see data/README.md") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{registry}: is a {type(entries).__name__}; it must be an object of named sets")
    return entries


def _source(name: str, entry: object, registry: Path) -> Source:
    place = f"{registry}:{name}"
    if not isinstance(entry, dict) or "file_name" not in entry:
        raise ValueError(f"{place}: has no 'file_name'; only local files are read")
    for key, value in entry.items():
        if key not in KEYS:
            raise ValueError(f"{place}: unknown key '{key}'; keys are {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]) or (isinstance(value, bool) and key != "ranking"):
            raise ValueError(f"{place}: '{key}' is {str(value)[:20]!r}, of the wrong type; see data/README.md")
    formatting, cap, weight = entry.get("formatting", "alpaca"), entry.get("num_samples"), float(entry.get("weight", 1))
    if formatting not in FORMATTINGS:
        raise ValueError(f"{place}: formatting is {formatting!r}; it is one of {', '.join(FORMATTINGS)}")
    if not 0 < weight <= 100 or (cap is not None and cap < 1):
        raise ValueError(f"{place}: weight is {weight:g} and num_samples {cap}; weight is above 0 to 100, num_samples 1 or more")
    layout = _layout(entry.get("columns", {}), entry.get("tags", {}), place)
    return Source(name, registry.parent / entry["file_name"], layout, cap, weight)


def _layout(columns: Mapping[str, Any], tags: Mapping[str, Any], place: str) -> Layout:
    for what, given, known in (("column", columns, COLUMN_KEYS), ("tag", tags, TAG_KEYS)):
        for key, value in given.items():
            if key not in known or not isinstance(value, str):
                raise ValueError(f"{place}: {what} '{key}' is not one we read as text; {what}s are {', '.join(known)}")
    named = {COLUMN_KEYS[key]: (name,) for key, name in columns.items()}
    roles = {str(tags[f"{role}_tag"]).lower(): role for role in ("system", "user", "assistant") if f"{role}_tag" in tags}
    default = Layout()
    return Layout(
        columns=COLUMNS | named,
        role_tags=(tags["role_tag"],) if "role_tag" in tags else default.role_tags,
        content_tags=(tags["content_tag"],) if "content_tag" in tags else default.content_tags,
        roles=ROLES | roles,
    )
