"""When two texts count as the same: exactly, or but for numbers, quoted values, case and blanks."""

from __future__ import annotations

import re

_BLANKS = re.compile(r"\s+")
_VALUES = re.compile(r"'[^']*'|(?<!\w)\d+(?!\w)")


def normalised(text: str) -> str:
    return _BLANKS.sub(" ", text).strip().casefold()


def masked(text: str) -> str:
    """The text as near duplicates share it."""
    return _VALUES.sub("#", normalised(text))
