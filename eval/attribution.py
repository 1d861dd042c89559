"""Where right answers are lost: to retrieval, to picking among the shown objects (linking), or to the SQL itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eval.judged import Judged

LOSSES = ("retrieval", "linking", "SQL")


@dataclass(frozen=True)
class Attribution:
    """How many questions for SQL are right without, with the retrieved and with the perfect schema, and what each loss is due to."""

    questions: int
    right: dict[str, int]  # by --retrieval: off, on, gold; off only where it was judged
    recall: int  # questions for which retrieval showed every table of an accepted answer
    lost: dict[str, int]


def attribution(by_retrieval: Mapping[str, Mapping[str, Judged]]) -> Attribution | None:
    """From answers by question under each way of retrieval; None unless `on` and `gold` are both there.

    What is wrong with the perfect schema is lost to SQL; else, what retrieval did not show, to retrieval; the rest to linking.
    """
    if not {"on", "gold"} <= by_retrieval.keys():
        return None
    shown, perfect = by_retrieval["on"], by_retrieval["gold"]
    asked = [id for id, answer in shown.items() if answer.kind == "sql" and id in perfect]
    if not asked:
        return None
    lost = dict.fromkeys(LOSSES, 0)
    for id in asked:
        if not shown[id].right:
            lost["SQL" if not perfect[id].right else "linking" if shown[id].suffices else "retrieval"] += 1
    right = {way: sum(answers[id].right for id in asked if id in answers) for way, answers in by_retrieval.items()}
    return Attribution(len(asked), right, sum(bool(shown[id].suffices) for id in asked), lost)


def text(found: Attribution) -> str:
    """The table as lines for the terminal."""
    n = found.questions
    names = {"off": "right without schema", "on": "right with the retrieved schema", "gold": "right with the perfect schema"}
    lines = [f"{names[way]:34} {found.right[way]}/{n}" for way in names if way in found.right]
    lines.append(f"{'retrieval shows every needed table':34} {found.recall}/{n}")
    return "\n".join([*lines, *(f"{f'lost to {loss}':34} {count}/{n}" for loss, count in found.lost.items())])
