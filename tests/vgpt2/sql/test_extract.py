"""SQL inside answers; the cases stand in blocks.txt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpt2.sql.extract import prose, sql_blocks


def cases() -> list[tuple[str, str, list[str]]]:
    text = (Path(__file__).parent / "blocks.txt").read_text(encoding="utf-8")
    found = []
    for case in text.split("=== ")[1:]:
        name, _, body = case.partition("\n")
        answer, *blocks = re.split(r"^--- sql\n", body, flags=re.MULTILINE)
        found.append((name, answer.rstrip("\n"), [block.rstrip("\n") for block in blocks]))
    return found


def unindented(blocks: list[str]) -> list[str]:
    return ["\n".join(line.strip() for line in block.splitlines()) for block in blocks]


@pytest.mark.parametrize(("name", "answer", "expected"), cases(), ids=[case[0] for case in cases()])
def test_the_sql_of_an_answer_is_what_its_fixture_says(name: str, answer: str, expected: list[str]) -> None:
    assert unindented(sql_blocks(answer)) == unindented(expected)


@pytest.mark.parametrize(("name", "answer", "expected"), cases(), ids=[case[0] for case in cases()])
def test_line_ends_of_windows_change_nothing(name: str, answer: str, expected: list[str]) -> None:
    assert unindented(sql_blocks(answer.replace("\n", "\r\n"))) == unindented(expected)


@given(st.text(alphabet=st.sampled_from("`~SELECT FROMselctfrom\n;()>* :1.-'\"xWITHas")))
def test_any_text_has_its_blocks(answer: str) -> None:
    assert all(block.strip() == block and block for block in sql_blocks(answer))
    assert isinstance(prose(answer), str)


def test_prose_is_what_stands_around_the_blocks() -> None:
    assert prose("One.\n```sql\nSELECT 1\n```\nTwo.").split() == ["One.", "Two."]
