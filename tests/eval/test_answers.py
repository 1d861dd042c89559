"""Files of answers: read back as written, also several to a question, refused by line."""

import pytest

from eval import answers
from eval.answers import Answer


def test_answers_come_back_as_they_were_written(tmp_path):
    made = [Answer("a", "x\ny é"), Answer("a", "z", 1, 5, 0.25, -3.5, -1.5), Answer("b", "", 0, None, None, -2.0)]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(map(answers.line, made)), "utf-8")
    assert answers.read(path) == made
    assert path.read_text("utf-8").splitlines()[0] == '{"id": "a", "answer": "x\\ny é"}'
    assert [answer.confidence for answer in made] == [None, -1.5, -2.0]  # that of the identifiers where it is known
    assert answers.by_question(made[::-1]) == {"a": made[:2], "b": made[2:]}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"id": 1, "answer": ""}',
        '{"id": "a"}',
        '{"id": "a", "answer": "", "sample": -1}',
        '{"id": "a", "answer": "", "logp": NaN}',
    ],
)
def test_what_is_no_answer_is_refused_by_line(tmp_path, line):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "z", "answer": "x"}\n' + line + "\n\n", "utf-8")
    with pytest.raises(ValueError, match=r"answers\.jsonl:2: is no answer"):
        answers.read(path)


def test_two_answers_of_one_number_are_refused(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text(answers.line(Answer("a", "x", 1)) * 2, "utf-8")
    with pytest.raises(ValueError, match=":2: a second answer to 'a'"):
        answers.read(path)
