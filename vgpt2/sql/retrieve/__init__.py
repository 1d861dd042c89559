"""Retrieval: given a question, the objects and columns of a catalogue that are worth showing."""

from vgpt2.sql.retrieve.approved import Approved, load_approved
from vgpt2.sql.retrieve.ranking import PARTS, Found, Hit, Retriever

__all__ = ["PARTS", "Approved", "Found", "Hit", "Retriever", "load_approved"]
