"""Rule sets as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgpt2.sql.catalogue import load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.ruleset import CODES, RuleSetError, house_rules, load_rules

CORE = Path(__file__).parents[3] / "data" / "catalogues" / "vista-core"
SQL = "SELECT a.APRef FROM APTH a WHERE a.APCo = 1"


def rules_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_that_comes_along_names_every_code() -> None:
    assert set(house_rules().severities) == set(CODES)
    assert house_rules().severities["unknown_function"] == "warning"


def test_a_rule_can_be_switched_off_or_made_a_warning(tmp_path: Path) -> None:
    rules = load_rules(rules_file(tmp_path, "severities: {alias: off, missing_nolock: warning}\nnolock_hints: [nolock]\n"))
    found = check(SQL, load_catalogue(CORE), rules)
    assert [(f.code, f.severity) for f in found] == [("missing_nolock", "warning")]


def test_another_house_may_ask_for_another_hint(tmp_path: Path) -> None:
    rules = load_rules(rules_file(tmp_path, "nolock_hints: [READPAST]\n"))
    codes = [f.code for f in check("SELECT APRef FROM APTH WITH (READPAST) WHERE APCo = 1", load_catalogue(CORE), rules)]
    assert "missing_nolock" not in codes


def test_exempt_tables_may_be_read_for_all_companies(tmp_path: Path) -> None:
    rules = load_rules(rules_file(tmp_path, "nolock_hints: [NOLOCK]\ncompany_masters: [APTH]\n"))
    assert check("SELECT APRef FROM APTH WITH (NOLOCK)", load_catalogue(CORE), rules) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("severity: {}", "unknown key 'severity'"),
        ("severities: {aliases: error}", "unknown code 'aliases'"),
        ("severities: {alias: fatal}", "severity of 'alias' is 'fatal'; it must be error, warning or off"),
        ("- a", "holds a list"),
        ("a: [", "cannot be read as YAML"),
        ("nolock_hints: NOLOCK", "'nolock_hints' must be a list of names"),
    ],
)
def test_a_bad_rule_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RuleSetError, match=message) as caught:
        load_rules(rules_file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_rule_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RuleSetError, match=r"none.yaml"):
        load_rules(tmp_path / "none.yaml")
