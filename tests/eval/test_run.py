"""The command from suite to report: a tiny model, interruptions, answers of others, mistakes in one line."""

import json
from dataclasses import replace
from math import nan

import pytest
import tiny_judge
import torch
from tiny_judge import CATALOGUE_FOLDER, gold, write_answers

import vgpt2.generate
from eval import answers, progress, report, run
from eval import compare as compare_command
from eval.paired import compare
from vgpt2 import checkpoint
from vgpt2.adapter_files import save_adapter
from vgpt2.config import LoRAConfig
from vgpt2.lora import add_lora, lora_parameters
from vgpt2.tiny import write_tiny
from vgpt2.weights import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_tiny(folder)
    return folder


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "suite.jsonl"
    tiny_judge.write_suite(path)
    return path


def arguments(suite, out, *more) -> list[str]:
    return ["--suite", str(suite), "--catalogue", str(CATALOGUE_FOLDER), "--out", str(out), *map(str, more)]


def judge_model(model, suite, out, *more) -> int:
    decoding = ("--limit", 8, "--max-new-tokens", 5, "--dtype", "float32")
    return run.main(arguments(suite, out, "--model", model, *decoding, *more))


def test_a_model_answers_and_is_judged(model, suite, tmp_path, capsys):
    assert judge_model(model, suite, tmp_path / "base") == 0
    printed = capsys.readouterr()
    assert "answers without collapse" in printed.out
    assert "base reaches" in printed.out
    assert "8 answers: " in printed.err
    assert "\r" not in printed.out + printed.err
    found = report.read(tmp_path / "base")
    assert len(found["answers"]) == found["limit"] == 8
    assert {"model", "template", "dtype", "decoding", "vgpt2"} == found["generation"].keys()
    assert str(tmp_path) not in json.dumps(found)
    assert (tmp_path / "base" / "report.html").stat().st_size > 1000


def test_an_interrupted_call_goes_on_where_it_stopped(model, suite, tmp_path, capsys, monkeypatch):
    assert judge_model(model, suite, tmp_path / "whole") == 0
    stream = vgpt2.generate.stream

    def interrupted(*args, **kwargs):
        finished = 0
        for token in stream(*args, **kwargs):
            yield token
            finished += token.finish is not None
            if finished == 3:
                raise KeyboardInterrupt

    out = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(vgpt2.generate, "stream", interrupted)
        assert judge_model(model, suite, out) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not (out / "report.json").exists()
    assert len(answers.read(out / "answers.jsonl")) == 3
    with (out / "answers.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "exists_list-APTH", "ans')  # a killed process leaves half a line

    assert judge_model(model, suite, out) == 0
    assert "3 of 8 answers are in" in capsys.readouterr().err
    made = [{answer.id: answer.answer for answer in answers.read(folder / "answers.jsonl")} for folder in (out, tmp_path / "whole")]
    assert made[0] == made[1]
    assert report.read(out)["answers"] == report.read(tmp_path / "whole")["answers"]


def test_answers_of_another_decoding_are_not_mixed_in(model, suite, tmp_path, capsys):
    assert judge_model(model, suite, tmp_path / "out") == 0
    assert judge_model(model, suite, tmp_path / "out", "--max-new-tokens", 3) == 0
    assert "answers are in" not in capsys.readouterr().err
    assert report.read(tmp_path / "out")["generation"]["decoding"] == "greedy, at most 3 new tokens"


def test_names_are_constrained_on_request_and_the_record_says_so(model, suite, tmp_path):
    assert judge_model(model, suite, tmp_path / "out", "--constrained") == 0
    decoding = report.read(tmp_path / "out")["generation"]["decoding"]
    assert decoding == "greedy, at most 5 new tokens, names constrained to the catalogue"


def test_old_answers_are_judged_again_without_the_model(model, suite, tmp_path):
    assert judge_model(model, suite, tmp_path / "out") == 0
    again = ("--answers", tmp_path / "out" / "answers.jsonl", "--limit", 8, "--name", "out")
    assert run.main(arguments(suite, tmp_path / "again", *again)) == 0
    first, second = (report.read(tmp_path / name) for name in ("out", "again"))
    assert first["cost"].pop("command") != second["cost"].pop("command")
    assert first == second


def test_several_answers_are_drawn_each_by_its_own_seed(model, suite, tmp_path, capsys):
    drawing = ("--samples", 3, "--temperature", 1.5)
    assert judge_model(model, suite, tmp_path / "out", *drawing) == 0
    made = answers.by_question(answers.read(tmp_path / "out" / "answers.jsonl"))
    assert [[answer.sample for answer in found] for found in made.values()] == [[0, 1, 2]] * 8
    assert any(len({answer.answer for answer in found}) > 1 for found in made.values())
    content = report.read(tmp_path / "out")
    assert set(content["passes"]) == {"pass@1", "pass@2", "all of 2", "pass@3", "all of 3"}
    assert content["generation"]["decoding"] == "3 samples at temperature 1.5, at most 5 new tokens"
    assert "pass@3" in capsys.readouterr().out
    alone = ("--samples", 1, "--temperature", 1.5)
    assert judge_model(model, suite, tmp_path / "alone", *alone) == 0
    single = {answer.id: answer.answer for answer in answers.read(tmp_path / "alone" / "answers.jsonl")}
    assert single == {id: found[0].answer for id, found in made.items()}


def test_latency_stands_beside_the_verdicts_and_not_in_them(model, suite, tmp_path, capsys):
    assert judge_model(model, suite, tmp_path / "out") == 0
    content = report.read(tmp_path / "out")
    assert len(content["cost"]["seconds"]) == 8
    assert content["cost"]["tokens"] <= 8 * 5
    assert not any("seconds" in answer for answer in content["answers"])
    assert "seconds an answer: median" in capsys.readouterr().out


def test_numbers_that_are_not_finite_are_told_by_no_confidence(model, suite, tmp_path, monkeypatch):
    stream = vgpt2.generate.stream
    monkeypatch.setattr(vgpt2.generate, "stream", lambda *args, **more: (replace(token, logp=nan) for token in stream(*args, **more)))
    assert judge_model(model, suite, tmp_path / "out") == 0
    assert all(answer.logp is None for answer in answers.read(tmp_path / "out" / "answers.jsonl"))
    assert report.read(tmp_path / "out")["risk_coverage"] is None


def test_scalars_go_to_tensorboard_when_asked(suite, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = write_answers(tmp_path / "theirs.jsonl", tiny_judge.read_items(suite), gold)
    assert run.main(arguments(suite, tmp_path / "out", "--answers", path, "--tensorboard", tmp_path / "events", "--step", 70)) == 0
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    (right,) = events.Scalars("eval/right")
    assert (right.step, right.value) == (70, 1)
    assert events.Scalars("eval/execution_match")[0].value == 1


def test_the_rule_of_the_project_is_printed_at_the_end(suite, tmp_path, capsys):
    items = tiny_judge.read_items(suite)
    for name, answerer, says in (("gold", gold, "deploy rule met: 100 % ["), ("silent", tiny_judge.silent, "deploy rule not met: 0 % [")):
        path = write_answers(tmp_path / f"{name}.jsonl", items, answerer)
        assert run.main(arguments(suite, tmp_path / name, "--answers", path)) == 0
        assert says in capsys.readouterr().out


def test_schema_is_put_before_questions_and_counted_against_the_answers(model, tmp_path):
    decoding = ("--limit", 3, "--max-new-tokens", 2, "--dtype", "float32")
    for way in ("off", "on", "gold"):
        out = ("--out", str(tmp_path / way), "--retrieval", way)
        source = ("--model", str(model), "--suite", "plain", "--catalogue", str(CATALOGUE_FOLDER))
        assert run.main([*source, *out, *map(str, decoding)]) == 0
    found = {way: report.read(tmp_path / way) for way in ("off", "on", "gold")}
    assert len({content["prompts"] for content in found.values()}) == 3
    assert [answer["shown"] for answer in found["off"]["answers"]] == [None] * 3
    assert all(answer["suffices"] for answer in found["gold"]["answers"])
    comparison = compare([found["off"], found["on"], found["gold"]])
    assert sum(comparison.attribution.lost.values()) == 3
    assert "lost to retrieval" in report.table(comparison)


def test_answers_of_anybody_are_judged(suite, tmp_path, capsys):
    path = write_answers(tmp_path / "theirs.jsonl", tiny_judge.read_items(suite), gold)
    assert run.main(arguments(suite, tmp_path / "out", "--answers", path, "--json")) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(row["share"] == 1 for row in rows)


@pytest.fixture
def adapter(model, tmp_path):
    """A run with one checkpoint and a system prompt of its own; returns (run/latest, the same adapter outside of a run)."""
    adapted = load_model(model, dtype=torch.float32, device="cpu")
    add_lora(adapted, LoRAConfig(rank=2), seed=0)
    torch.manual_seed(0)
    for parameter in lora_parameters(adapted).values():
        torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"config": {"data": {"system": "Another one."}}}), "utf-8")
    checkpoint.point(folder, "latest", checkpoint.save(folder, 1, lambda step: save_adapter(adapted, step, str(model))))
    save_adapter(adapted, tmp_path / "plain", str(model))
    return folder / "latest", tmp_path / "plain"


def judge_adapter(source, suite, out, *more) -> int:
    decoding = ("--limit", 4, "--max-new-tokens", 4, "--dtype", "float32")
    return run.main(arguments(suite, out, "--checkpoint", source, *decoding, *more))


def test_the_base_of_an_adapter_has_a_row(model, adapter, suite, tmp_path, capsys):
    latest, _ = adapter
    assert judge_adapter(latest, suite, tmp_path / "trained") == 0
    printed = capsys.readouterr()
    header, first, *_ = printed.out.splitlines()
    assert header.split() == ["base", "trained", "want"]
    assert "no row of the base model" not in printed.out
    assert "--base none leaves it out" in printed.err
    alone = ("--model", model, "--system", "Another one.", "--limit", 4, "--max-new-tokens", 4, "--dtype", "float32")
    assert run.main(arguments(suite, tmp_path / "alone", *alone)) == 0
    base, same = report.read(tmp_path / "trained" / "base"), report.read(tmp_path / "alone")
    assert (base["answers"], base["generation"], base["prompts"]) == (same["answers"], same["generation"], same["prompts"])

    capsys.readouterr()
    assert judge_adapter(latest, suite, tmp_path / "given", "--base", tmp_path / "alone") == 0
    given = capsys.readouterr()
    assert given.out.splitlines()[1] == first
    assert "the base model answers" not in given.err
    assert judge_adapter(latest, suite, tmp_path / "none", "--base", "none") == 0
    assert "no row of the base model" in capsys.readouterr().out
    assert not (tmp_path / "none" / "base").exists()


def test_the_row_of_the_base_stays_when_answers_are_judged_again_and_compared(adapter, suite, tmp_path, capsys):
    latest, plain = adapter
    assert judge_adapter(latest, suite, tmp_path / "trained") == 0
    first = capsys.readouterr().out
    old = tmp_path / "trained" / "answers.jsonl"
    assert run.main(arguments(suite, tmp_path / "again", "--answers", old, "--limit", 4, "--name", "trained")) == 0
    assert capsys.readouterr().out.replace("again", "trained") == first
    assert judge_adapter(plain, suite, tmp_path / "plain", "--base", "none") == 0
    capsys.readouterr()
    assert compare_command.main([str(tmp_path / "trained"), str(tmp_path / "plain"), "--out", str(tmp_path / "both")]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["base", "trained", "plain", "want"]


def test_a_report_on_another_model_is_no_row_of_the_base(adapter, suite, tmp_path, capsys):
    latest, _ = adapter
    (tmp_path / "other").mkdir()
    write_tiny(tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), "rms_norm_eps": 0.5}), "utf-8")
    decoding = ("--limit", 4, "--max-new-tokens", 4, "--dtype", "float32")
    assert run.main(arguments(suite, tmp_path / "judged", "--model", tmp_path / "other", *decoding)) == 0
    capsys.readouterr()
    assert judge_adapter(latest, suite, tmp_path / "trained", "--base", tmp_path / "judged") == 2
    assert "judged another model than the one under the adapter; leave --base out" in capsys.readouterr().err
    assert not (tmp_path / "trained" / "report.json").exists()
    assert judge_adapter(latest, suite, tmp_path / "trained", "--base", tmp_path / "nothing") == 2
    assert f"{tmp_path / 'nothing'}: no such report" in capsys.readouterr().err


def test_an_adapter_is_judged_on_its_base_with_the_system_prompt_of_its_run(model, adapter, suite, tmp_path):
    latest, plain = adapter
    sources = {
        "base": ("--model", model, "--system", "Another one."),
        "trained": ("--checkpoint", latest, "--base", "none"),
        "given": ("--model", model, "--adapter", plain, "--system", "Another one.", "--base", "none"),
        "other": ("--checkpoint", plain, "--base", "none"),  # no run, so the default prompt
    }
    more = ("--limit", 4, "--max-new-tokens", 4, "--dtype", "float32")
    for out, source in sources.items():
        assert run.main(arguments(suite, tmp_path / out, *source, *more)) == 0
    base, trained, given, other = (report.read(tmp_path / out) for out in sources)
    assert trained["generation"] == given["generation"]
    assert trained["answers"] == given["answers"] != base["answers"]
    assert trained["generation"]["template"] == base["generation"]["template"] != other["generation"]["template"]
    assert trained["generation"]["adapter"] == other["generation"]["adapter"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--model", "nothing"), "nothing: does not exist"),
        (("--answers", "nothing.jsonl"), "nothing.jsonl"),
        (("--model", "nothing", "--suite", "no-such-suite"), "--suite no-such-suite: no such file"),
        (("--model", "nothing", "--catalogue", "no-such-folder"), "no-such-folder"),
        (("--model", "nothing", "--device", "cuda"), "nothing: does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(suite, tmp_path, capsys, monkeypatch, more, says):
    monkeypatch.chdir(tmp_path)
    assert run.main(arguments(suite, tmp_path / "out", *more)) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"id": "a"}\n', ":1: is no answer"),
        ('{"id": "a", "answer": "x"}\n{"id": "a", "answer": "y"}\n', ":2: a second answer to 'a'"),
        ('{"id": "a", "answer": 5}\n', ":1: is no answer"),
        ('{"id": "a", "answer": "x"}\n', ": no answer to 46 of 46 questions, the first is 'exists_list-APTH'"),
        ("", ": no answer to 46 of 46 questions"),
    ],
)
def test_answers_that_cannot_be_judged_are_refused_by_line(suite, tmp_path, capsys, text, says):
    path = tmp_path / "answers.jsonl"
    path.write_text(text, "utf-8")
    assert run.main(arguments(suite, tmp_path / "out", "--answers", path)) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--model", "a", "--checkpoint", "b"),
        ("--checkpoint", "a", "--adapter", "b"),
        ("--model", "a", "--limit", "0"),
        ("--model", "a", "--limit", "-3"),
        ("--model", "a", "--samples", "4"),
        ("--model", "a", "--temperature", "-1"),
        ("--model", "a", "--retrieval", "maybe"),
        ("--model", "a", "--name", "<b>"),
    ],
)
def test_a_wrong_command_line_ends_with_two(suite, tmp_path, more):
    with pytest.raises(SystemExit) as stop:
        run.main(arguments(suite, tmp_path / "out", *more))
    assert stop.value.code == 2


def test_progress_is_a_line_a_minute_where_nobody_watches(capsys, monkeypatch):
    """RELIABILITY 5b: at least a line a minute even while no answer is finished, no carriage return in a piped log."""
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = progress.Progress(2, "answers")
    for token in range(1, 10):
        shown.note(is_answer=token > 7)
    shown.end(prompt_tokens=5)
    *lines, cost = capsys.readouterr().err.splitlines()
    assert lines == ["answers 0/2, 3 tokens", "answers 0/2, 6 tokens", "answers 2/2, 9 tokens"]
    assert cost.startswith("2 answers: 5 + 9 tokens in 200 s, ")
