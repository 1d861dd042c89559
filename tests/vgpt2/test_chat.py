"""A conversation in the terminal: streaming, memory, what a model must not do to a terminal."""

import io
from types import SimpleNamespace

import pytest
import torch

from vgpt2 import chat
from vgpt2.loading import load
from vgpt2.tiny import write_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_tiny(folder)
    return folder


def test_what_a_model_says_cannot_command_the_terminal(capsys):
    said = chat.say(["a\x1b]0;title\x07", "\x1b[2J\x9b31m", "b\u202ec\r\n\td"])
    printed = capsys.readouterr().out
    assert printed == "a\ufffd]0;title\ufffd\ufffd[2J\ufffd31mb\ufffdc\ufffd\n\td\n"
    assert said == "a\x1b]0;title\x07\x1b[2J\x9b31mb\u202ec\r\n\td"


def test_an_interrupt_stops_the_answer_and_keeps_what_was_said(capsys):
    def parts():
        yield "half"
        raise KeyboardInterrupt

    assert chat.say(parts()) == "half"
    assert capsys.readouterr().out == "half\n"


def test_the_answer_ends_before_a_stop_string(model):
    """A letter for each token of a model that knows no words."""
    loaded = load(model, dtype="float32", device="cpu")
    tokenizer = SimpleNamespace(
        prompt=loaded.tokenizer.prompt, eos_ids=(-1,), decode=lambda ids: "".join(chr(0x4E00 + token_id) for token_id in ids)
    )
    options = ["--model", str(model), "--max-new-tokens", "12", "--temperature", "2"]

    def said(*more: str) -> str:
        talking = SimpleNamespace(model=loaded.model, tokenizer=tokenizer)
        return "".join(chat.answer(talking, [{"role": "user", "content": "Does APTH exist?"}], chat.parse([*options, *more])))

    whole = said()
    assert said("--stop", "never said", "--stop", whole[5:7]) == whole.partition(whole[5:7])[0] != whole


def test_one_question_is_answered_on_stdout_alone(model, capsys):
    options = ["--model", str(model), "--max-new-tokens", "6", "--dtype", "float32"]
    assert chat.main([*options, "Does APTH exist?"]) == 0
    printed = capsys.readouterr()
    loaded = load(model, dtype="float32", device="cpu")
    args = chat.parse(options)
    expected = "".join(chat.answer(loaded, [{"role": "user", "content": "Does APTH exist?"}], args))
    assert printed.out == chat.CONTROLS.sub("\ufffd", expected) + "\n"
    assert printed.err == ""


def test_a_conversation_remembers_until_it_is_told_to_forget(model, capsys, monkeypatch):
    asked = []

    def answer(loaded, messages, args):
        asked.append([message["content"] for message in messages])
        return iter(["yes"])

    monkeypatch.setattr(chat, "answer", answer)
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n\n two \n/new\nthree\n"))
    assert chat.main(["--model", str(model), "--dtype", "float32"]) == 0
    assert asked == [["one"], ["one", "yes", "two"], ["three"]]
    assert capsys.readouterr().out == "yes\nyes\nyes\n"


def test_a_question_too_long_for_the_model_is_refused_and_the_conversation_goes_on(model, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("word " * 2500 + "\nshort\n"))
    assert chat.main(["--model", str(model), "--max-new-tokens", "3", "--dtype", "float32"]) == 0
    printed = capsys.readouterr()
    assert "the model has 2048 positions" in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out.endswith("\n")


def test_sampling_is_repeatable_by_its_seed(model):
    loaded = load(model, dtype="float32", device="cpu")
    loaded.model.model.norm.weight.data.mul_(0.1)  # flat enough that draws differ

    def drawn(seed: int) -> str:
        args = chat.parse(["--model", "m", "--temperature", "1", "--seed", str(seed), "--max-new-tokens", "12"])
        return "".join(chat.answer(loaded, [{"role": "user", "content": "a"}], args))

    torch.manual_seed(0)
    first = drawn(1)
    torch.manual_seed(99)
    assert drawn(1) == first
    assert drawn(2) != first


@pytest.mark.parametrize("options", [["--checkpoint", "no/such"], ["--model", "no/such"]])
def test_a_missing_folder_is_one_line_and_exit_code_two(options, capsys):
    assert chat.main(options) == 2
    printed = capsys.readouterr()
    assert "no/such: does not exist" in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--checkpoint", "a", "--model", "b"], ["--checkpoint", "a", "--adapter", "b"]])
def test_a_wrong_command_line_ends_with_two(options):
    with pytest.raises(SystemExit) as stop:
        chat.main(options)
    assert stop.value.code == 2
