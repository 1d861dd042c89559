"""Name binding: which table and column each name of a parsed text means."""

from vgpt2.sql.binding.scope import Bound, Problem, Rowset, Scope, Source
from vgpt2.sql.binding.statements import bind
from vgpt2.sql.binding.tables import Binding, TooMuchWork

__all__ = ["Binding", "Bound", "Problem", "Rowset", "Scope", "Source", "TooMuchWork", "bind"]
