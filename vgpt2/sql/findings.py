"""What the checker says: one finding for one place of the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    code: str  # 'syntax', 'unknown_table', ...: house.yaml lists them all
    severity: Severity
    name: str  # the name or word it is about, as written; '' where there is none
    line: int  # from 1
    column: int  # from 1
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        """`line:column code message (suggestion)`."""
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.line}:{self.column} {self.code} {self.message}{hint}"
