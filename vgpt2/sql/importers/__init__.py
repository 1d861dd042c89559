"""Catalogues made from what describes a database: scripts, a live server, an SQLite file, rows of its metadata."""
