"""Strict YAML and `--set a.b=c` into a config model, with every mistake named by file, line and key at once.

cfg = load(TrainConfig, Path("configs/sft.yaml"), ["optim.lr=1e-4"])
"""

import difflib
import json
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

MAX_ERRORS = 10
MAX_BYTES = 1 << 20
M = TypeVar("M", bound=BaseModel)
Tree = dict[str, Any]


class ConfigError(ValueError):
    """One or more mistakes in a configuration, a line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        shown = list(lines[:MAX_ERRORS])
        if len(lines) > MAX_ERRORS:
            shown.append(f"and {len(lines) - MAX_ERRORS} more")
        super().__init__("\n".join(shown))


def load(model: type[M], path: Path, overrides: Sequence[str] = ()) -> M:
    """The config in `path` with `overrides` on top; raises ConfigError naming every mistake (ten at most)."""
    tree, places = read(path)
    errors = [error for override in overrides for error in _override(tree, places, override)]
    return validated(model, tree, path, places, errors)


def validated(model: type[M], tree: Tree, path: Path, places: dict[str, str] | None = None, errors: Sequence[str] = ()) -> M:
    """The config that a mapping from `path` stands for; raises ConfigError with `errors` and every mistake, by their places in the file."""
    try:
        cfg = model.model_validate(tree)
    except ValidationError as refusal:
        found = [_sentence(model, path, places or {}, dict(error)) for error in refusal.errors()]
        raise ConfigError([*errors, *found]) from None
    if errors:
        raise ConfigError(errors)
    return cfg


def read(path: Path) -> tuple[Tree, dict[str, str]]:
    """The mapping in a YAML file, over the one its `base:` names, and `file:line` of every dotted key."""
    tree, places = _read_one(path)
    name = tree.pop("base", None)
    if name is None:
        return tree, places
    base_path = path.parent / str(name)
    base, base_places = _read_one(base_path)
    if "base" in base:
        raise ConfigError([f"{base_path}: key 'base' stands in a file that is a base itself; only one level is read"])
    return _merge(base, tree), base_places | places


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(dotted key, type, default, description) of every leaf of a config model, in the order of the file."""
    for name, field in model.model_fields.items():
        part = _part(field.annotation)
        if part is not None:
            yield from keys(part, f"{prefix}{name}.")
            continue
        default = "required" if field.is_required() else json.dumps(field.get_default(call_default_factory=True), default=list)
        yield f"{prefix}{name}", _type_name(field.annotation), default, field.description or ""


def flat(tree: Tree, prefix: str = "") -> Tree:
    """A nested mapping as {dotted key: value}."""
    leaves: Tree = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses what YAML would take silently: equal keys, anchors, keys that are no text."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ConfigError([f"{self.name}:{self.peek_event().start_mark.line + 1}: aliases (*name) are not read; write the value out"])
        return super().compose_node(parent, index)


def _read_one(path: Path) -> tuple[Tree, dict[str, str]]:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [other.name for other in path.parent.glob("*.yaml")], n=1)
        raise ConfigError([f"{path}: no such file" + (f"; did you mean {path.parent / near[0]}?" if near else "")])
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError([f"{path}: {path.stat().st_size} bytes; a config has at most {MAX_BYTES}"])
    try:
        text = path.read_text("utf-8")
        node = _compose(text, str(path))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply; a config has three levels"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise ConfigError([f"{path}:{line}: not YAML: {getattr(error, 'problem', None) or 'unreadable text'}"]) from None
    if node is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError([f"{path}:1: a config is a mapping of keys to values"])
    places: dict[str, str] = {}
    errors: list[str] = []
    _walk(node, "", str(path), places, errors)
    if errors:
        raise ConfigError(errors)
    tree: Tree = yaml.SafeLoader("").construct_document(node)
    return tree, places


def _compose(text: str, name: str) -> yaml.Node | None:
    loader = _StrictLoader(text)
    loader.name = name
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _walk(node: yaml.MappingNode, prefix: str, path: str, places: dict[str, str], errors: list[str]) -> None:
    seen: dict[str, tuple[int, str]] = {}
    for key_node, value in node.value:
        line = key_node.start_mark.line + 1
        key = f"{prefix}{key_node.value}"
        shown = value.value if isinstance(value, yaml.ScalarNode) else "..."
        if key in seen:
            first, before = seen[key]
            said = f"key '{key}' is given twice ({before}, then {shown})"
            errors.append(f"{path}:{first} and :{line}: {said}; YAML would silently take {shown}, so keep one")
        seen[key] = (line, shown)
        places[key] = f"{path}:{line}"
        items = enumerate(value.value) if isinstance(value, yaml.SequenceNode) else ()
        groups = [(f"{key}.", value), *((f"{key}.{i}.", item) for i, item in items)]
        for below, group in groups:
            if isinstance(group, yaml.MappingNode):
                _walk(group, below, path, places, errors)


def _override(tree: Tree, places: dict[str, str], text: str) -> list[str]:
    key, sign, value = text.partition("=")
    place = f"--set {text[:80]}"
    if not sign or not key.strip():
        return [f"{place}: not of the form key=value; for example --set optim.lr=1e-4"]
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        return [f"{place}: the value is not YAML; quote it"]
    *parents, leaf = key.strip().split(".")
    branch = tree
    for depth, parent in enumerate(parents):
        below = branch.setdefault(parent, {})
        if below is None:
            below = branch[parent] = {}
        if not isinstance(below, dict):
            return [f"{place}: key '{'.'.join(parents[: depth + 1])}' holds a value, not a group of keys"]
        branch = below
    branch[leaf] = parsed
    places[key.strip()] = place
    return []


def _merge(base: Tree, over: Tree) -> Tree:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _part(annotation: Any) -> type[BaseModel] | None:
    """The config part that an annotation names, also as `Part | None`."""
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return next((kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _type_name(annotation: Any) -> str:
    """`int or null` for `Annotated[int, ...] | None`; a Literal by its values."""
    if annotation is None or annotation is type(None):
        return "null"
    options = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _type_name(options[0])
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(options)
    if typing.get_origin(annotation) is tuple:
        return f"list of {_type_name(options[0])}"
    if typing.get_origin(annotation) is dict:
        return f"mapping of {_type_name(options[0])} to {_type_name(options[1])}"
    return " or ".join(_type_name(option) for option in options) if options else annotation.__name__


def _sentence(model: type[BaseModel], path: Path, places: dict[str, str], error: dict[str, Any]) -> str:
    """`file:line: key 'a.b' is ...; allowed; cure` for one of pydantic's errors."""
    known = [key for key, *_ in keys(model)]
    # pydantic appends the branch of a union to the location: keep what names a key
    parts = [str(part) for part in error["loc"]]
    while len(parts) > 1 and ".".join(parts) not in places and error["type"] != "missing":
        parts.pop()
    key = ".".join(parts)
    place = places.get(key, str(path))
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known, n=1) or [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]][:1]
        return f"{place}: unknown config key '{key}'" + (f"; did you mean '{near[0]}'?" if near else "; --keys lists all")
    if error["type"] == "missing":
        return f"{place}: key '{key}' is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "literal_error":
        near = difflib.get_close_matches(str(error["input"]), error["ctx"]["expected"].replace("'", " ").split(), n=1)
        message += f"; did you mean '{near[0]}'?" if near else ""
    if not key:
        return f"{place}: {message}"
    return f"{place}: key '{key}' is {str(error['input'])[:80]!r}; {message[0].lower()}{message[1:]}"
