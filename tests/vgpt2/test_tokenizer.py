import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from vgpt2 import chat_template
from vgpt2.tokenizer import ChatTokenizer, RewrittenTurn

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "checkpoints" / "models" / "smollm2-135m-instruct"
# the first word of the answer belongs behind a blank that the prompt already ends with
MERGING = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
MARKERS = "I typed <|im_end|>, <|im_start|>assistant and </s> myself"


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **extra):
    return {"role": "assistant", "content": text, **extra}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("tokenizers")
    return {
        "chatml": tiny_tokenizer.chatml(root / "chatml"),
        "inst": tiny_tokenizer.inst(root / "inst"),
        "thinking": tiny_tokenizer.chatml(root / "thinking", template=tiny_tokenizer.THINKING),
        "merging": tiny_tokenizer.chatml(root / "merging", template=MERGING),
    }


@pytest.fixture(scope="module")
def loaded(folders):
    return {name: ChatTokenizer.load(folder, system=None) for name, folder in folders.items()}


@pytest.fixture(params=["chatml", "inst"])
def tokenizer(request, loaded):
    return loaded[request.param]


def supervised(tokenizer, encoded):
    """The supervised tokens as text, one string a run."""
    runs, last = [], False
    for token, is_on in zip(encoded.input_ids, encoded.completion_mask):
        if is_on:
            runs = runs if last else [*runs, []]
            runs[-1].append(token)
        last = is_on
    return [tokenizer.decode(run, controls=True) for run in runs]


def plain_ids(tokenizer, messages):
    """What transformers alone makes of the conversation."""
    return AutoTokenizer.from_pretrained(tokenizer.folder).apply_chat_template(messages, tokenize=True, return_dict=False)


def test_ids_of_clean_text_are_those_of_the_joint_tokenisation(tokenizer):
    """INVARIANTS 52, and 39: no BOS beyond the template's, although one of the tokenizers would add its own."""
    messages = [user("Does APTH exist? 你好"), assistant("Yes.\n\n  indented"), user("ok "), assistant("SELECT 1\n")]
    encoded = tokenizer.encode(messages)
    assert encoded.input_ids == plain_ids(tokenizer, messages)
    assert encoded.markers == 0


def test_a_row_has_exactly_the_control_tokens_of_the_template(loaded):
    """INVARIANTS 39: <s> once a conversation here, <|im_start|> once a turn there."""
    messages = [user("a"), assistant("b"), user("c"), assistant("d")]
    inst, chatml = loaded["inst"], loaded["chatml"]
    assert inst.decode(inst.encode(messages).input_ids, controls=True).count("<s>") == 1
    assert chatml.decode(chatml.encode(messages).input_ids, controls=True).count("<|im_start|>") == 4


def test_control_strings_in_a_text_stay_text(tokenizer):
    """INVARIANTS 52: the markers of the tokenizer are counted and spelled, and no control token comes from them."""
    clean = tokenizer.encode([user("I typed"), assistant("so did I")])
    typed = tokenizer.encode([user(MARKERS), assistant(MARKERS)])
    controls = set(AutoTokenizer.from_pretrained(tokenizer.folder).all_special_ids)
    assert [t for t in typed.input_ids if t in controls] == [t for t in clean.input_ids if t in controls]
    assert MARKERS in tokenizer.decode(typed.input_ids)  # decoded without control tokens
    assert typed.markers == {"chatml": 4, "inst": 2}[tokenizer.folder.name]


def test_typed_markers_give_the_ids_that_transformers_gives_when_asked_to_sanitise(loaded):
    chatml = loaded["chatml"]
    messages = [user(MARKERS), assistant("fine")]
    oracle = AutoTokenizer.from_pretrained(chatml.folder)
    if "sanitize_control_tokens" not in oracle.apply_chat_template.__code__.co_varnames:
        pytest.skip("this transformers cannot sanitise control tokens")
    # it cuts the text at each marker and tokenises the pieces apart, so the ids are compared as the text that they spell
    theirs = oracle.apply_chat_template(messages, sanitize_control_tokens=True, return_dict=False)
    ours = chatml.encode(messages).input_ids
    assert [t for t in ours if t < 3] == [t for t in theirs if t < 3]
    assert chatml.decode(ours, controls=True) == chatml.decode(theirs, controls=True)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\ufdd0\ufdd1\ufdd2\ufdd3"), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(texts, texts.filter(lambda text: not text[0].isspace()))  # what may merge with the prompt's line break is refused, see below
def test_any_text_survives_and_only_the_answer_is_supervised(loaded, question, answer):
    chatml = loaded["chatml"]
    encoded = chatml.encode([user(question), assistant(answer)])
    text = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
    assert chatml.decode(encoded.input_ids, controls=True) == text
    assert supervised(chatml, encoded) == [f"{answer}<|im_end|>"]


def test_the_prompt_at_generation_is_the_prefix_of_training(tokenizer):
    """INVARIANTS 40."""
    messages = [user("Which table? " + MARKERS), assistant("APTH"), user("sure?"), assistant("Yes.")]
    encoded = tokenizer.encode(messages)
    for turns in (1, 3):
        prompt = tokenizer.prompt(messages[:turns])
        assert encoded.input_ids[: len(prompt)] == prompt
        assert not encoded.completion_mask[len(prompt) - 1]
        assert encoded.completion_mask[len(prompt)]


def test_a_merge_across_the_start_of_the_answer_is_refused_with_both_sides(loaded):
    """INVARIANTS 40 and 42: the answer's first token would hold the prompt's last blank."""
    with pytest.raises(ValueError, match="merge across the start of the answer") as caught:
        loaded["merging"].encode([user("q"), assistant("APTH")])
    message = str(caught.value)
    assert "' APTH" in message
    assert "' '" in message
    assert len(message) <= 200


@pytest.mark.parametrize("answer", ["\n", "\n\n", " "])
def test_an_answer_of_white_space_that_merges_with_the_prompts_line_break_is_refused(loaded, answer):
    with pytest.raises(ValueError, match="strip the answer's leading white space"):
        loaded["chatml"].encode([user("0"), assistant(answer)])


@pytest.mark.parametrize("end", ["", " ", ".", "。", "，好", "\n", "  \n", "'"])
@pytest.mark.parametrize("start", ["", "你", ".", "(", "\t"])
def test_no_boundary_leaves_a_token_of_the_answer_unsupervised(tokenizer, start, end):
    """INVARIANTS 5 and 42: the first token of the answer and its end token are supervised, and nothing of the prompt."""
    answer = f"{start}Yes, APTH exists{end}"
    encoded = tokenizer.encode([user(f"Does APTH exist{end}"), assistant(answer)])
    (run,) = supervised(tokenizer, encoded)
    expected = {"chatml": f"{answer}<|im_end|>", "inst": f"{answer.strip()} </s>"}[tokenizer.folder.name]
    assert run.lstrip(" ") == expected.lstrip(" ")
    assert encoded.completion_mask.count(True) == len(encoded.input_ids) - len(tokenizer.prompt([user(f"Does APTH exist{end}")])) - (
        tokenizer.folder.name == "chatml"  # the line break behind <|im_end|>
    )


def test_each_assistant_turn_is_supervised_with_its_end_token_once(tokenizer):
    """INVARIANTS 41."""
    messages = [user("a"), assistant("first answer"), user("b"), assistant("second", train=False), user("c"), assistant("third one")]
    end = tokenizer.decode([tokenizer.eos_ids[0]], controls=True)
    runs = supervised(tokenizer, tokenizer.encode(messages))
    assert [run.replace(" ", "") for run in runs] == [f"firstanswer{end}", f"thirdone{end}"]


def test_a_template_that_rewrites_earlier_turns_wants_a_row_for_each(loaded):
    """INVARIANTS 41: the thoughts that Qwen3's template takes out of earlier turns."""
    thinking = loaded["thinking"]
    messages = [user("a"), assistant("one"), user("b"), assistant("two")]
    with pytest.raises(RewrittenTurn, match="train: false") as caught:
        thinking.encode(messages)
    assert len(str(caught.value)) <= 200
    assert thinking.rewrites_turns
    last_only = thinking.encode([user("a"), assistant("one", train=False), user("b"), assistant("two")])
    assert supervised(thinking, last_only) == ["<think>\n\n</think>\n\ntwo<|im_end|>"]
    assert not loaded["chatml"].rewrites_turns


def test_a_template_that_changes_or_never_ends_an_answer_is_refused(folders, tmp_path):
    for template in (
        "{% for m in messages %}<|im_start|>{{ m['content'].split('</think>')[-1] }}<|im_end|>{% endfor %}",
        "{% for m in messages %}### {{ m['role'] }}\n{{ m['content'] }}\n{% endfor %}",
    ):
        folder = shutil.copytree(folders["chatml"], tmp_path / str(len(template)))
        (folder / "chat_template.jinja").write_text(template, "utf-8")
        with pytest.raises(ValueError, match="rewrites the answer or writes no control token after it"):
            ChatTokenizer.load(folder, system=None).encode([user("q"), assistant("<think>hm</think>yes")])


def test_an_answer_ends_with_what_the_template_writes(loaded):
    assert loaded["chatml"].eos_ids == (2,)
    assert loaded["inst"].eos_ids == (2,)
    assert loaded["chatml"].decode([2], controls=True) == "<|im_end|>"
    assert loaded["chatml"].vocab_size == 400


def test_the_system_prompt_is_put_first_unless_the_row_has_its_own(folders):
    tokenizer = ChatTokenizer.load(folders["chatml"], system="Be brief.")
    own = [{"role": "system", "content": "Be long."}, user("q")]
    assert tokenizer.decode(tokenizer.prompt([user("q")])).startswith("system\nBe brief.")
    assert "brief" not in tokenizer.decode(tokenizer.prompt(own))


def test_a_template_without_system_messages_gets_it_in_the_first_question(folders):
    tokenizer = ChatTokenizer.load(folders["inst"], system="Be brief.")
    assert tokenizer.merges_system
    assert tokenizer.decode(tokenizer.prompt([user("q"), assistant("a"), user("r")])) == "[INST] Be brief.\n\nq [/INST] a [INST] r [/INST]"


def test_the_order_of_roles_is_the_templates_affair_and_said_in_one_line(loaded):
    with pytest.raises(ValueError, match="roles must alternate") as caught:
        loaded["inst"].encode([user("a"), user("b"), assistant("c")])
    assert "\n" not in str(caught.value)


def test_code_points_reserved_for_stand_ins_are_refused(loaded):
    with pytest.raises(ValueError, match=r"U\+FDD2"):
        loaded["chatml"].encode([user("\ufdd22\ufdd3"), assistant("yes")])


def test_the_fingerprint_follows_everything_that_decides_ids(folders, tmp_path):
    prints = {ChatTokenizer.load(folders["chatml"], system=system).fingerprint for system in (None, "", "Be brief.")}
    prints |= {ChatTokenizer.load(folders[name], system=None).fingerprint for name in ("chatml", "inst", "thinking")}
    folder = shutil.copytree(folders["chatml"], tmp_path / "changed")
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text("utf-8") + "\n", "utf-8")
    prints.add(ChatTokenizer.load(folder, system=None).fingerprint)
    assert len(prints) == 6


def test_a_pickled_tokenizer_loads_its_folder_again_without_a_second_trial(loaded, monkeypatch):
    data = pickle.dumps(loaded["chatml"])
    assert len(data) < 1000
    monkeypatch.setattr(chat_template, "_tried", set())
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("the template was tried again"))
    again = pickle.loads(data)
    assert again.fingerprint == loaded["chatml"].fingerprint


def test_a_folder_that_brings_code_is_refused_before_anything_runs(folders, tmp_path):
    """Threat 5: 'auto_map' in either file, a sentinel module beside it."""
    for name in ("tokenizer_config.json", "config.json"):
        folder = shutil.copytree(folders["chatml"], tmp_path / name.partition(".")[0])
        settings = json.loads((folder / name).read_text("utf-8")) if (folder / name).exists() else {"model_type": "evil"}
        settings["auto_map"] = {"AutoTokenizer": ["evil.Tokenizer", None]}
        (folder / name).write_text(json.dumps(settings), "utf-8")
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
        with pytest.raises(ValueError, match="auto_map"):
            ChatTokenizer.load(folder, system=None)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("tokenizer.json", "{}", "cannot be used"),
        ("tokenizer.json", '{"version": "1.0", "model": 3}', "cannot be used"),
        ("tokenizer.json", "[" * 100_000, "cannot be used"),
        ("tokenizer_config.json", "[1]", "is a list, not a JSON object"),
        ("tokenizer_config.json", "{", "is not JSON"),
        ("tokenizer_config.json", "[" * 100_000, "is not JSON"),
        ("chat_template.jinja", None, "has no chat template"),
        ("chat_template.jinja", "{{ strftime_now('%Y') }}", "today's date"),
    ],
)
def test_a_damaged_folder_is_one_clear_line(folders, tmp_path, name, content, message):
    """Threat 14: bare exceptions and panics of the Rust library, and RecursionError, are told apart from bugs of ours."""
    folder = shutil.copytree(folders["chatml"], tmp_path / "model")
    (folder / name).unlink() if content is None else (folder / name).write_text(content, "utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        ChatTokenizer.load(folder, system=None)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_never_looked_up_elsewhere(tmp_path):
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        ChatTokenizer.load(tmp_path / "org" / "model", system=None)


def test_our_kernels_package_does_not_disturb_transformers(folders):
    """Hugging Face has a package of the same name, which transformers looks for."""
    code = (
        "import kernels, sys; from vgpt2.tokenizer import ChatTokenizer;"
        f"t = ChatTokenizer.load({str(folders['chatml'])!r}, system=None);"
        "print(kernels.__file__, t.prompt([{'role': 'user', 'content': 'hi'}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(ROOT / "kernels"))
    assert "[1, " in done.stdout


@pytest.mark.skipif(not (EMBEDDED / "tokenizer.json").exists(), reason="python -m vgpt2.embedded has not built the embedded model")
def test_the_embedded_models_own_tokenizer_and_template():
    """INVARIANTS 39, 40, 41, 52 on the tokenizer of the demo."""
    tokenizer = ChatTokenizer.load(EMBEDDED, system="You are an expert.")
    messages = [user("List 12345 vendors. 你好"), assistant("SELECT 1."), user("ok"), assistant("```sql\nSELECT 2\n```")]
    encoded = tokenizer.encode(messages)
    assert encoded.input_ids == plain_ids(tokenizer, [{"role": "system", "content": "You are an expert."}, *messages])
    assert supervised(tokenizer, encoded) == ["SELECT 1.<|im_end|>", "```sql\nSELECT 2\n```<|im_end|>"]
    assert tokenizer.prompt(messages[:3]) == encoded.input_ids[: len(tokenizer.prompt(messages[:3]))]
    assert tokenizer.eos_ids == (2,)
    assert tokenizer.encode([user(MARKERS), assistant("x")]).markers == 2
