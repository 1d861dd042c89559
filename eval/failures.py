"""Why an answer is wrong, one theme an answer, and which data would teach it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from eval.execution.match import Execution
from eval.structural import Likeness
from vgpt2.judging import Item, Verdict
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.findings import Finding

# theme -> what to add to the training data
REMEDIES = {
    "collapse": "look at the training run first: loss, learning rate, rows cut by the length limit",
    "real name refused": "SFT and DPO: acceptances of real names in every phrasing that asks for existence",
    "unreal name accepted": "SFT and DPO: refusals of near misses and invented names, half real and half unreal",
    "no verdict": "SFT: existence answers that name the asked object and say exists or does not exist",
    "wrong column named": "SFT: columns asked for by their description; glossary terms",
    "no SQL": "SFT: SQL questions in both answer modes",
    "abstained without need": "SFT: answerable questions beside the unanswerable ones, with the same openings",
    "answered without data": "SFT and DPO: questions whose table or column is absent, and what to answer",
    "does not parse": "SFT: T-SQL of the forms that failed; check that answers are not cut by --max-new-tokens",
    "invented table": "DPO: fake_table and near_miss faults; schema in the prompt by retrieval",
    "invented column": "DPO: invented_column faults; schema in the prompt by retrieval",
    "qualifier out of scope": "error correction rows: columns of tables that the query does not read",
    "column of another table": "DPO: column_of_another_table faults on header and line tables",
    "company column of another module": "DPO: company_by_another_name faults",
    "wrong case": "DPO: case faults",
    "NOLOCK missing": "DPO: missing_nolock faults",
    "part of a key joined": "SFT: JOIN patterns; DPO: incomplete_join faults",
    "company filter missing": "DPO: missing_company_filter faults",
    "alias": "DPO: alias faults",
    "table in place of its view": "DPO: base_table faults",
    "another house rule": "error correction rows with the checker's findings",
    "wrong tables": "DPO: look-alike tables of the same family; retrieval distractors",
    "wrong join": "SFT: JOIN patterns over the keys that failed",
    "wrong filter": "DPO: condition faults (other month, boundary, dropped filter)",
    "wrong grouping": "DPO: aggregate faults (wrong_group, no_group_by)",
    "wrong aggregate": "DPO: aggregate faults (fan_out, header_amount_over_lines)",
    "wrong columns": "DPO: wrong_attribute faults; glossary terms",
    "another result": "look at the answers: the parts are right and the result is not",
    "too slow to run": "SFT: joins on whole keys; look for cross joins",
    "not executed": "read by hand: the judge's database does not know what the query uses",
}
_BY_CODE = (
    ("syntax", "does not parse"),
    ("too_complex", "does not parse"),
    ("unknown_table", "invented table"),
    ("unknown_qualifier", "qualifier out of scope"),
    ("unknown_column", "invented column"),
    ("ambiguous_column", "does not parse"),
    ("case", "wrong case"),
    ("incomplete_join", "part of a key joined"),
    ("missing_company_filter", "company filter missing"),
    ("base_table", "table in place of its view"),
    ("missing_nolock", "NOLOCK missing"),
    ("alias", "alias"),
)
_BY_PART = {
    "tables": "wrong tables",
    "joins": "wrong join",
    "filters": "wrong filter",
    "group_by": "wrong grouping",
    "aggregates": "wrong aggregate",
    "columns": "wrong columns",
}


def theme_of(
    item: Item,
    verdict: Verdict,
    said: str | None,
    catalogue: Catalogue,
    *,
    has_sql: bool,
    execution: Execution | None,
    likeness: Likeness | None,
) -> str:
    """The theme of a wrong answer."""
    if verdict.collapse:
        return "collapse"
    if item.kind == "exists":
        right = "unreal name accepted" if said == "accepts" else "no verdict"
        return "real name refused" if item.expect["exists"] and said == "refuses" else right
    if item.kind == "column":
        return "wrong column named" if item.expect["column"] else "answered without data"
    if item.kind == "abstain":
        return "answered without data"
    if not has_sql:
        return "abstained without need" if said else "no SQL"
    errors = [finding for _, finding in verdict.findings if finding.severity == "error"]
    if errors:
        return _of_finding(errors, catalogue)
    if execution is not None and execution.verdict == "timeout":
        return "too slow to run"
    if likeness is not None and likeness.first_difference:
        return _BY_PART[likeness.first_difference]
    return "not executed" if execution is not None and execution.verdict == "not executed" else "another result"


def counted(themes: Iterable[str]) -> list[tuple[str, int]]:
    """Themes with their numbers, the commonest first."""
    return Counter(theme for theme in themes if theme).most_common()


def _of_finding(errors: Collection[Finding], catalogue: Catalogue) -> str:
    codes = {finding.code: finding for finding in reversed(list(errors))}
    for code, theme in _BY_CODE:
        if code in codes:
            return _of_column(codes[code].name, catalogue) if code == "unknown_column" else theme
    return "another house rule"


def _of_column(name: str, catalogue: Catalogue) -> str:
    if any(o.company_column == name for o in catalogue.objects.values()):
        return "company column of another module"
    return "column of another table" if any(o.has(name) for o in catalogue.objects.values()) else "invented column"
