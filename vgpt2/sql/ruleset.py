"""A house's rules as data: the severity of every code, and the settings of the rules that have some. Read from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml

from vgpt2.sql.findings import Severity

CODES = (
    *("syntax", "unknown_table", "unknown_column", "unknown_qualifier", "ambiguous_column", "case", "incomplete_join"),
    *("missing_nolock", "alias", "missing_company_filter", "base_table", "unknown_function", "too_complex"),
)
HOUSE_FILE = Path(__file__).with_name("house.yaml")


class RuleSetError(ValueError):
    """A rule file with a mistake: the message names file and key."""


@dataclass(frozen=True)
class RuleSet:
    severities: dict[str, Severity]  # a code that is off is absent
    nolock_hints: frozenset[str] = frozenset()
    company_masters: frozenset[str] = frozenset()

    def without(self, *codes: str) -> RuleSet:
        """The same rules with these codes off."""
        kept = {code: severity for code, severity in self.severities.items() if code not in codes}
        return RuleSet(kept, self.nolock_hints, self.company_masters)


HOUSE_CODES = ("incomplete_join", "missing_nolock", "alias", "missing_company_filter", "base_table")


@cache
def house_rules() -> RuleSet:
    """The rules that come with this package."""
    return load_rules(HOUSE_FILE)


def load_rules(path: str | Path) -> RuleSet:
    """The rule set of a YAML file; a code it does not name has the severity `error`. Raises RuleSetError on unknown keys and values."""
    path = Path(path)
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuleSetError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(read, dict):
        raise RuleSetError(f"{path}: holds a {type(read).__name__}; it must map keys to settings, as house.yaml does")
    known = {"severities", "nolock_hints", "company_masters"}
    for key in read:
        if key not in known:
            raise RuleSetError(f"{path}: unknown key '{key}'; allowed are {', '.join(sorted(known))}")
    return RuleSet(
        _severities(path, read.get("severities") or {}),
        frozenset(str(hint).upper() for hint in _names(path, read, "nolock_hints")),
        frozenset(_names(path, read, "company_masters")),
    )


def _severities(path: Path, read: dict[str, Any]) -> dict[str, Severity]:
    severities: dict[str, Severity] = dict.fromkeys(CODES, "error")
    for code, severity in read.items():
        if code not in CODES:
            raise RuleSetError(f"{path}: unknown code '{code}'; allowed are {', '.join(CODES)}")
        if severity is False or severity == "off":  # YAML reads a bare `off` as false
            severities.pop(code)
        elif severity in get_args(Severity):
            severities[code] = severity
        else:
            raise RuleSetError(f"{path}: severity of '{code}' is {severity!r}; it must be error, warning or off")
    return severities


def _names(path: Path, read: dict[str, Any], key: str) -> list[str]:
    names = read.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RuleSetError(f"{path}: '{key}' must be a list of names")
    return names
