"""Claims about names in prose; the cases stand in claims.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgpt2.sql.claims import Claim, claims

CASES = [
    (lines[0], [line.strip() for line in lines[1:]])
    for block in (Path(__file__).parent / "claims.txt").read_text(encoding="utf-8").split("\n\n")
    if (lines := [line for line in block.splitlines() if line.strip() and not line.startswith("#")])
]


def written(claim: Claim) -> str:
    return f"{claim.kind} {claim.name}" + (f" of {claim.of}" if claim.of else "")


@pytest.mark.parametrize(("sentence", "expected"), CASES, ids=[sentence for sentence, _ in CASES])
def test_a_sentence_claims_what_its_fixture_says(sentence: str, expected: list[str]) -> None:
    assert [written(claim) for claim in claims(sentence)] == expected


def test_there_are_at_least_120_sentences() -> None:
    assert len(CASES) >= 120


def test_a_sole_yes_or_no_is_a_claim_about_the_name_that_was_asked_about() -> None:
    assert claims("Yes.", about="APTH") == [Claim("exists", "APTH")]
    assert claims("No, it does not.", about="APTX") == [Claim("not_exists", "APTX")]
    assert claims("No. Use APTH.", about="APTX") == [Claim("not_exists", "APTX"), Claim("use_instead", "APTH")]
    assert claims("NOLOCK is a hint.", about="APTX") == []


def test_a_claim_about_the_name_is_worth_more_than_the_yes_before_it() -> None:
    assert claims("Yes, but APTX does not exist.", about="APTX") == [Claim("not_exists", "APTX")]


def test_names_inside_sql_blocks_claim_nothing() -> None:
    assert claims("Here it is:\n```sql\nSELECT APTX does not exist\n```\nAPTH exists.") == [Claim("exists", "APTH")]


def test_a_claim_made_twice_is_given_once() -> None:
    assert claims("APTX does not exist. There is no table named APTX.") == [Claim("not_exists", "APTX")]


def test_typographic_quotes_and_list_bullets_are_understood() -> None:
    assert claims("- “APTX” doesn’t exist\n- **APTH** exists") == [Claim("not_exists", "APTX"), Claim("exists", "APTH")]
