"""What a LoRA config says about each layer, by its name alone and as PEFT matches it: which are adapted, how, and what is trained whole."""

import difflib
import math
import re
from collections.abc import Collection, Iterable

from vgpt2.config import LoRAConfig

EMBEDDING, HEAD, NORM = "embed_tokens", "lm_head", "norm"


def adapted(names: Collection[str], cfg: LoRAConfig) -> list[str]:
    """Of the linear layers' names those that end in one of cfg.targets, sorted; the head is left out.

    Raises ValueError for a target that matches none, and for a rank or alpha pattern that decides about none.
    """
    names = sorted(name for name in names if _last(name) != HEAD)
    for target in cfg.targets:
        if not any(_ends_in(name, target) for name in names):
            raise ValueError(f"lora.targets: no linear layer of the model is called '{target}'; {_hint(target, names)}")
    found = [name for name in names if is_adapted(name, cfg)]
    for key, patterns in (("rank_pattern", cfg.rank_pattern), ("alpha_pattern", cfg.alpha_pattern)):
        for pattern in sorted(patterns.keys() - {_deciding(patterns, name) for name in found}):
            if earlier := next((_deciding(patterns, name) for name in found if _fits(pattern, name)), None):
                raise ValueError(f"lora.{key}: '{pattern}' never decides, '{earlier}' before it fits the same layers; put it first")
            raise ValueError(f"lora.{key}: '{pattern}' fits no adapted layer; {_hint(pattern, found)}")
    return found


def is_adapted(name: str, cfg: LoRAConfig) -> bool:
    """Whether a linear layer of the decoder gets an adapter."""
    return any(_ends_in(name, target) for target in cfg.targets)


def rank_of(name: str, cfg: LoRAConfig) -> int:
    pattern = _deciding(cfg.rank_pattern, name)
    return cfg.rank if pattern is None else cfg.rank_pattern[pattern]


def scale_of(name: str, cfg: LoRAConfig) -> float:
    """alpha / rank, or alpha / sqrt(rank)."""
    pattern, rank = _deciding(cfg.alpha_pattern, name), rank_of(name, cfg)
    alpha = cfg.alpha if pattern is None else cfg.alpha_pattern[pattern]
    return alpha / (math.sqrt(rank) if cfg.use_rslora else rank)


def trained_whole(names: Collection[str], cfg: LoRAConfig, *, is_tied: bool) -> list[str]:
    """Of all modules' names those that end in one of cfg.modules_to_save, in order: embedding, head and norms only.

    Raises ValueError for an entry that matches no such module or another one, and for one half of an embedding that is also the head.
    """
    allowed = [name for name in names if is_end(name) or name.endswith(NORM)]
    for entry in cfg.modules_to_save:
        if not entry or not any(name.endswith(entry) for name in allowed):
            raise ValueError(f"lora.modules_to_save: no embedding, head or norm is called '{entry}'; {_hint(entry, allowed)}")
        if others := [name for name in names if name.endswith(entry) and name not in allowed]:
            raise ValueError(f"lora.modules_to_save: '{entry}' also means {others[0]}; {_hint(entry, allowed)}")
    found = [name for name in allowed if name.endswith(cfg.modules_to_save or ("/",))]
    ends = {_last(name) for name in found if is_end(name)}
    if is_tied and len(ends) == 1:
        (one,) = ends
        other = HEAD if one == EMBEDDING else EMBEDDING
        raise ValueError(f"lora.modules_to_save: {one} and {other} are one tensor in this model; name both, to train it, or neither")
    return found


def is_end(name: str) -> bool:
    """Whether it is the name of the embedding or of the head."""
    return _last(name) in (EMBEDDING, HEAD)


def _ends_in(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")


def _deciding(patterns: Iterable[str], name: str) -> str | None:
    return next((pattern for pattern in patterns if _fits(pattern, name)), None)


def _fits(pattern: str, name: str) -> bool:
    """Whether it is an expression for the whole name, or for its end after a dot."""
    return re.match(rf"(.*\.)?({pattern})$", name) is not None


def _hint(asked: str, names: Collection[str]) -> str:
    last_names = sorted(set(map(_last, names)))
    near = difflib.get_close_matches(asked, last_names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(last_names)}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]
