"""One side of the line between training and judging: the names, objects and keys a question may use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from vgpt2.datagen.language import english
from vgpt2.datagen.names.real import Names
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.schema import ForeignKey, Object

_COMMON_WORDS = re.compile(r"number|code|amount|date|type|total|name|with|from|this|that|last|first|default|used")


@dataclass(frozen=True)
class Side:
    names: Names
    split: str  # of invented and listed names
    held_out: bool  # whether sentences, and objects that the prompt shows, are the held-out ones

    @property
    def catalogue(self) -> Catalogue:
        return self.names.catalogue

    def schema_objects(self) -> list[Object]:
        return self.names.objects(held_out=self.held_out)

    def remembered_objects(self) -> list[Object]:
        """Objects asked about from memory: nobody can know a name never seen, so suites ask about the training ones too."""
        return self.names.objects(held_out=False)

    @cached_property
    def schema_names(self) -> frozenset[str]:
        return frozenset(o.name for o in self.schema_objects())

    @cached_property
    def joinable_keys(self) -> list[ForeignKey]:
        """Whole keys, but for a mere company's, between two objects of this side that have only this one key between them."""
        objects = self.catalogue.objects
        return [
            key
            for key in self.catalogue.foreign_keys
            if key.from_object != key.to_object
            and {key.from_object, key.to_object} <= self.schema_names
            and len(key.from_columns) <= 4  # longer ones make prompts too long for small models
            and key.from_columns != (objects[key.from_object].company_column,)
            and set(key.to_columns) == set(objects[key.to_object].business_key)
            and len(self.catalogue.joins(key.from_object, key.to_object)) == 1
        ]

    @cached_property
    def line_keys(self) -> list[ForeignKey]:
        """Joinable keys from a line to its header: the child's key is the parent's with something after it, as APTL's is APTH's."""
        keys = {name: o.business_key for name, o in self.catalogue.objects.items()}
        return [key for key in self.joinable_keys if _continues(keys[key.from_object], keys[key.to_object])]

    def schema_part(self, table: Object, columns: Sequence[str]) -> Object:
        """The object with its key and company columns and the given ones only, for a schema text of the size a prompt can bear."""
        kept = tuple(c for c in table.columns if c.name in columns or english.is_key(table, c))
        return replace(table, description=self.description(table), columns=kept)

    def description(self, table: Object) -> str | None:
        """The object's description; one that mentions an object of the other side of the line is cut to what the object is called."""
        text = table.description
        if text and any(self.catalogue.has(word) and word not in self.schema_names for word in re.findall(r"\w+", text)):
            return english.noun(text)
        return text

    def absent_gloss(self, table: Object, rng: Random) -> str | None:
        """Words for data of other objects of which `table` holds nothing: its columns neither use nor could abbreviate a telling word."""
        described = " ".join(c.description or "" for c in table.columns).casefold()
        parts = {part for c in table.columns for part in english.spaced(c.name).split() if len(part) > 1}
        for _ in range(40):
            glosses = sorted(set(english.distinct_glosses(rng.choice(self.schema_objects())).values()))
            gloss = rng.choice(glosses) if glosses else ""
            telling = [w for w in gloss.casefold().split() if len(w) > 3 and not _COMMON_WORDS.fullmatch(w)]
            if telling and not any(w[:5] in described or any(english.abbreviates(part, w) for part in parts) for w in telling):
                return gloss
        return None


def _continues(longer: tuple[str, ...], key: tuple[str, ...]) -> bool:
    return len(longer) > len(key) and longer[: len(key)] == key
