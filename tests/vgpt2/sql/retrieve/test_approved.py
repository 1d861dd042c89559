"""Files of approved questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgpt2.sql.retrieve import Approved, load_approved
from vgpt2.sql.retrieve.approved import ApprovedError


def test_rows_are_read_in_order_and_other_fields_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "approved.jsonl"
    path.write_text('{"question": "a", "objects": ["X"], "by": "me"}\n\n{"question": "b", "objects": []}\n', encoding="utf-8")
    assert load_approved(path) == (Approved("a", ("X",)), Approved("b", ()))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "2: not JSON"),
        ("[]", "2: a row needs 'question'"),
        ('{"question": "a"}', "2: a row"),
        ('{"question": 1, "objects": []}', "2: a row"),
    ]
    + [('{"question": "a", "objects": "X"}', "2: a row"), ('{"question": "a", "objects": [1]}', "2: a row")],
)
def test_a_mistake_names_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "approved.jsonl"
    path.write_text('{"question": "a", "objects": []}\n' + line, encoding="utf-8")
    with pytest.raises(ApprovedError, match=message):
        load_approved(path)
