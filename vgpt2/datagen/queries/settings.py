"""Shares of the SQL questions: how they are asked, what stands before them and how they are answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QuerySettings:
    """Shares are of the chats where nothing else is said; configs/datagen/wide.yaml holds the values of the wide recipe."""

    plan: float = 0.6  # answers that begin with the query's plan; the others are SQL alone, asked for by a phrase
    plan_tokens: int = 120  # at most, for such a plan: 40 for models under half a billion parameters
    schema: float = 0.62  # chats with a schema text in the prompt
    create_table: float = 0.17  # of these, with CREATE TABLE statements
    by_name: float = 0.2  # questions that call columns by their names
    mixed: float = 0.15  # questions that call tables by words and columns by names
    absent: float = 0.115  # questions that ask for something the database or the prompt lacks
    unclear: float = 0.07  # questions that two or three things fit
    off_topic: float = 0.01
    followed: float = 0.3  # chats that go on
    other_subject: float = 0.34  # of the further turns
    typo: float = 0.03
