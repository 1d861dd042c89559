"""Descriptions of one catalogue laid over the objects of another that bear the same names: a bare import gains what a curated set says."""

from __future__ import annotations

from dataclasses import replace

from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.schema import Column, Object


def described_by(catalogue: Catalogue, source: Catalogue) -> Catalogue:
    """The same objects and keys; where a description is missing, that of the source's object or column of that name."""
    objects = [_described(o, source.get(o.name)) for o in catalogue.objects.values()]
    return Catalogue(objects, catalogue.foreign_keys)


def _described(o: Object, source: Object | None) -> Object:
    if source is None:
        return o
    columns = tuple(_described_column(column, source.column(column.name)) for column in o.columns)
    return replace(o, columns=columns, description=o.description or source.description)


def _described_column(column: Column, source: Column | None) -> Column:
    if source is None or source.description is None or column.description is not None:
        return column
    return replace(column, description=source.description)
