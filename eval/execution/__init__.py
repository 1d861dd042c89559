"""Execution match: two queries run over the same synthetic rows, in a limited child process, and compared by what they return."""
