"""The audit as a table to read and as plain data."""

from __future__ import annotations

from typing import Any

from vgpt2.datagen.audit import AUDIT_VERSION, Audit, FileAudit

_SHOWN = 3


def render(result: Audit) -> str:
    """A table for each file, with the first offending rows of each rule that failed."""
    return "\n\n".join(_file_table(file) for file in result.files)


def summary(result: Audit) -> dict[str, Any]:
    return {
        "version": AUDIT_VERSION,
        "passed": result.passed,
        "catalogue": result.catalogue,
        "files": [
            {
                "file": file.path.name,
                "sha256": file.sha256,
                "stage": file.stage,
                "rows": file.rows,
                "passed": file.passed,
                "figures": file.figures,
                "rules": {
                    name: {"checked": o.checked, "failed": len(o.failures), "note": o.note, "first": list(o.failures[:10])}
                    for name, o in file.outcomes.items()
                },
            }
            for file in result.files
        ],
    }


def _file_table(file: FileAudit) -> str:
    width = max(map(len, file.outcomes)) + 2
    lines = [f"{file.path}  {file.rows} rows  {file.stage}", f"  {'rule':{width}}{'checked':>8}{'failed':>8}"]
    for name, outcome in file.outcomes.items():
        verdict = "FAILED" if outcome.failures else "ok" if outcome.checked else "-"
        note = f"  ({outcome.note})" if outcome.note else ""
        lines.append(f"  {name:{width}}{outcome.checked:8}{len(outcome.failures):8}  {verdict}{note}")
        lines += [f"      {failure}" for failure in outcome.failures[:_SHOWN]]
        if len(outcome.failures) > _SHOWN:
            lines.append(f"      and {len(outcome.failures) - _SHOWN:,} more")
    lines += [f"  {name:{width}}{value}" for name, value in file.figures.items()]
    lines.append(f"  audit {'passed' if file.passed else 'FAILED'}")
    return "\n".join(lines)
