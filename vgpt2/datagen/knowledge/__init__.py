"""Makers of knowledge questions by category: what a catalogue, a glossary and documents let one ask besides SQL."""

from __future__ import annotations

from functools import partial

from vgpt2.datagen.knowledge import business, documents, house, joins, naming, negatives, objects, reports, schema, tuning, workflows
from vgpt2.datagen.knowledge.asking import Kind, make_chats
from vgpt2.datagen.knowledge.listed import make_with_listed
from vgpt2.datagen.questions.world import Maker

CATEGORIES: dict[str, tuple[Kind, ...]] = {
    "schema": schema.KINDS,
    "objects": objects.KINDS,
    "business": business.KINDS,
    "joins": joins.KINDS,
    "negatives": negatives.KINDS,
    "rules": house.KINDS,
    "optimisation": tuning.KINDS,
    "naming": naming.KINDS,
    "workflows": workflows.KINDS,
    "reports": reports.KINDS,
    "documents": documents.DOCUMENT_KINDS,
}
MAKERS: dict[str, Maker] = {
    category: partial(make_with_listed if category == "schema" else make_chats, category, kinds) for category, kinds in CATEGORIES.items()
}
