"""Execution match: two queries run over the same synthetic rows in a limited child and compared by result."""
