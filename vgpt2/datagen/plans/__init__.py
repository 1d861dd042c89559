"""Queries as data, with the conditions that one can ask for."""
