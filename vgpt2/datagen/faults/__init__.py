"""Named corruptions of right answers: each makes one defect, on the plan or in its writing, and says how the checker finds it.

Those of tables, columns, joins, owners and writing are errors to the checker; of conditions, totals and look-alikes it knows nothing.
"""

from vgpt2.datagen.faults import aggregates, columns, conditions, joins, owners, tables, writing
from vgpt2.datagen.faults.fault import Fault, sql_of
from vgpt2.datagen.faults.verdicts import ACCEPTS_FAKE, REFUSES_REAL, wrong_verdict

__all__ = ["ACCEPTS_FAKE", "FAULTS", "REFUSES_REAL", "Fault", "sql_of", "wrong_verdict"]

FAULTS: dict[str, Fault] = {
    fault.name: fault for theme in (tables, columns, joins, owners, writing, conditions, aggregates) for fault in theme.FAULTS
}
