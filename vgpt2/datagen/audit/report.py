"""The audit as a table to read and as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vgpt2.datagen.audit.coverage import ENOUGH, total
from vgpt2.datagen.audit.gate import Audit, FileAudit
from vgpt2.preflight import AUDIT_VERSION

_SHOWN = 3
_NAMES = 12


def render(result: Audit) -> str:
    """A table for each file, with the first offending rows of each rule that failed."""
    return "\n\n".join(_file_table(file) for file in result.files)


def summary(result: Audit) -> dict[str, Any]:
    return {
        "version": AUDIT_VERSION,
        "passed": result.passed,
        "catalogue": result.catalogue,
        "files": [_plain(file) for file in result.files],
    }


def figures(file: FileAudit) -> dict[str, str]:
    """Facts that no rule judges: token lengths, shares of SQL and of NOLOCK, how much of the catalogue occurs, what is left out."""
    length = file.lengths
    spread = f"p50 {length.p50:,}, p90 {length.p90:,}, p99 {length.p99:,}, longest {length.longest:,} in {length.sequences:,} sequences"
    over = f"{length.over:,} above {length.limit:,}, {length.over_share:.2%}"
    tokens = "tokens without chat template" if length.is_exact else "tokens, estimated at 4 characters"
    whole = total(file.coverage)
    share = file.answer_tokens.get("sql", 0) / max(1, file.answer_tokens.get("all", 0))
    with_sql = file.sql.get("with SQL", 0)
    hinted = f"{file.sql.get('hinted', 0):,} of {with_sql:,} with NOLOCK"
    return {
        tokens: f"{length.total:,}; {spread}; {over}",
        "SQL in rewarded answers": f"{with_sql:,} of {file.sql.get('answers', 0):,}; {share:.1%} of their tokens; {hinted}",
        "objects in rewarded answers": f"{whole.objects_used:,} of {whole.objects:,}",
        "columns in rewarded answers": f"{whole.columns_used:,} of {whole.columns:,} in one, {whole.columns_taught:,} in {ENOUGH}",
        "rows the trainer leaves out": _dropped(file),
    }


def _plain(file: FileAudit) -> dict[str, Any]:
    return {
        "file": file.path.name,
        "sha256": file.sha256,
        "stage": file.stage,
        "rows": file.rows,
        "cases": file.cases,
        "passed": file.passed,
        "rules": {
            name: {"checked": o.checked, "failed": len(o.failures), "note": o.note, "first": [str(f) for f in o.failures[:10]]}
            for name, o in file.outcomes.items()
        },
        "figures": figures(file),
        "dropped": file.dropped.counts,
        "tokens": asdict(file.lengths),
        "answer_tokens": file.answer_tokens,
        "sql": file.sql,
        "length_ratios": {category: round(ratio, 3) for category, ratio in file.ratios.items()},
        "unreal_names": [asdict(name) for name in file.misnamed],
        "templates": [asdict(balance) for balance in file.balances],
        "coverage": [asdict(module) for module in file.coverage],
    }


def _file_table(file: FileAudit) -> str:
    width = max(map(len, file.outcomes)) + 2
    lines = [f"{file.path}  {file.rows:,} rows  {file.stage}", f"  {'rule':{width}}{'checked':>9}{'failed':>9}"]
    for name, outcome in file.outcomes.items():
        verdict = "FAILED" if outcome.failures else "ok" if outcome.checked else "-"
        note = f"  ({outcome.note})" if outcome.note else ""
        lines.append(f"  {name:{width}}{outcome.checked:9,}{len(outcome.failures):9,}  {verdict}{note}")
        lines += [f"      {failure}" for failure in outcome.failures[:_SHOWN]]
        if len(outcome.failures) > _SHOWN:
            lines.append(f"      and {len(outcome.failures) - _SHOWN:,} more")
    lines += _unreal_table(file)
    lines += [f"  {name:{width}}{value}" for name, value in figures(file).items()]
    lines.append(f"  audit {'passed' if file.passed else 'FAILED'}")
    return "\n".join(lines)


def _unreal_table(file: FileAudit) -> list[str]:
    if not file.misnamed:
        return []
    width = max(len(name.name) for name in file.misnamed[:_NAMES]) + 2
    lines = [f"  {'unreal name':{width}}{'answers':>9}  nearest real names, first place"]
    for name in file.misnamed[:_NAMES]:
        lines.append(f"  {name.name:{width}}{name.count:9,}  {', '.join(name.nearest) or 'none is near'}, {name.where}")
    more = len(file.misnamed) - _NAMES
    return lines + ([f"  and {more:,} more names"] if more > 0 else [])


def _dropped(file: FileAudit) -> str:
    counts = sorted(file.dropped.counts.items(), key=lambda item: -item[1])
    reasons = ", ".join(f"{count:,} {reason} ({', '.join(file.dropped.places[reason][:1])})" for reason, count in counts)
    return f"{file.dropped.total:,}" + (f": {reasons}" if reasons else "")
