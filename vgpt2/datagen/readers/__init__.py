"""Readers of the house's documents: pages on objects, report SQL, procedure headers, form dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vgpt2.datagen.names.real import Names
from vgpt2.datagen.readers import forms, pages, procedures, reports
from vgpt2.datagen.readers.document import Document, DocumentError, Reader, Reading, named
from vgpt2.dropped import Dropped

__all__ = ["READERS", "Document", "DocumentError", "Reader", "Reading", "named", "read_documents", "said", "sources_in"]

READERS: dict[str, Reader] = {"pages": pages.read, "reports": reports.read, "procedures": procedures.read, "forms": forms.read}


def read_documents(sources: Mapping[str, Path], names: Names) -> Reading:
    """What all sources hold, by label; a folder of documents with subfolders named like the labels is given by `sources_in`.

    Raises DocumentError naming file and line where a document cannot be read, and ValueError for an unknown label.
    """
    unknown = sorted(set(sources) - set(READERS))
    if unknown:
        raise ValueError(f"documents: unknown source '{unknown[0]}'; allowed are {', '.join(READERS)}")
    readings = [READERS[label](path, names, label) for label, path in sources.items()]
    dropped = sum((reading.dropped for reading in readings), Dropped())
    return Reading(tuple(document for reading in readings for document in reading.documents), dropped)


def sources_in(folder: Path) -> dict[str, Path]:
    """The sources of a folder that holds them under their labels, as 'pages' or 'forms.json'."""
    if not folder.is_dir():
        raise DocumentError(f"{folder}: no such folder; it holds {', '.join(READERS)}, each as a folder or a file")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.stem in READERS}


def said(reading: Reading) -> list[str]:
    """A line a source: how many documents it gave, or that it gave nothing; then what was left out."""
    counts = {label: sum(d.source == label for d in reading.documents) for label in READERS}
    lines = [
        f"{label}: {n} document{'s' * (n != 1)}" if n else f"{label}: nothing given, contributes nothing" for label, n in counts.items()
    ]
    return lines + (reading.dropped.table("documents left out").splitlines() if reading.dropped.total else [])
