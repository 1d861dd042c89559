"""What an import found, as counts, and what it could not read, with places."""

from __future__ import annotations

from typing import Any

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.importers.drafts import Drafts

SHOWN = 10


def counts(catalogue: Catalogue, drafts: Drafts) -> dict[str, int]:
    """Figures by what they count, in the order of the table."""
    objects = list(catalogue.objects.values())
    columns = [column for o in objects for column in o.columns]
    return {
        "files read": drafts.n_files,
        "objects": len(objects),
        "tables": sum(o.kind == "table" for o in objects),
        "views": sum(o.kind == "view" for o in objects),
        "views that show one table": sum(o.base_table is not None for o in objects),
        "columns": len(columns),
        "columns without a type": sum(column.type is None for column in columns),
        "unique keys of tables": sum(len(o.unique_keys) for o in objects if o.kind == "table"),
        "foreign keys stated": sum(key.source == "constraint" for key in catalogue.foreign_keys),
        "foreign keys inferred": sum(key.source == "inferred" for key in catalogue.foreign_keys),
        "user-defined types": drafts.n_types,
        "objects described": sum(o.description is not None for o in objects),
        "columns described": sum(column.description is not None for column in columns),
        **{f"{kind} passed over": drafts.ignored.get(kind, 0) for kind in ("procedures", "functions", "triggers")},
        "not read": len(drafts.unread),
    }


def render(catalogue: Catalogue, drafts: Drafts) -> str:
    """The counts as a table; below it the first things that could not be read, and the number of the others."""
    rows = counts(catalogue, drafts)
    width = max(map(len, rows))
    lines = [f"{name:<{width}}  {value:>9,}" for name, value in rows.items()]
    lines += [f"  {place}: {reason}"[:200] for place, reason in drafts.unread[:SHOWN]]
    if len(drafts.unread) > SHOWN:
        lines.append(f"  and {len(drafts.unread) - SHOWN:,} more; --json lists them all")
    return "\n".join(lines)


def as_json(catalogue: Catalogue, drafts: Drafts) -> dict[str, Any]:
    """Everything that `render` shows, and all that could not be read."""
    return {"counts": counts(catalogue, drafts), "not_read": [{"place": place, "reason": reason} for place, reason in drafts.unread]}
