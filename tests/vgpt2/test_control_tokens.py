import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from vgpt2.control_tokens import STAND_IN, ControlTokens

CONTROLS = {"<s>": 1, "</s>": 2, "<|end|>": 3, "<|end|><|end|>": 4}
pieces = st.lists(st.sampled_from(["<s>", "</s>", "<|end|>", "<|", "end|>", "a", " ", "1", "你"]), max_size=12).map("".join)


@given(pieces, pieces)
def test_what_people_wrote_comes_back_as_text_and_the_templates_own_as_stand_ins(question, answer):
    """INVARIANTS 52, on the text alone."""
    controls = ControlTokens(CONTROLS)
    hidden = [controls.hide(text)[0] for text in (question, answer)]
    text = controls.stand_in(f"<s>{hidden[0]}</s>{hidden[1]}<|end|>")
    assert [int(match) for match in STAND_IN.findall(text)] == [1, 2, 3]
    assert controls.plain(text) == f"<s>{question}</s>{answer}<|end|>"


def test_the_longest_control_string_is_found_first():
    assert ControlTokens(CONTROLS).hide("<|end|><|end|><|end|>")[1] == 2


def test_a_tokenizer_without_control_tokens_leaves_every_text_alone():
    assert ControlTokens({}).hide("<s>") == ("<s>", 0)


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(
        models.Unigram([("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<", -3.0), ("/", -3.0), ("s", -3.0), (">", -3.0), ("a", -2.0)], 0)
    )
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in ("<unk>", "<s>", "</s>")])
    return tokenizer


def word_level() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "<": 3, "/": 4, "s": 5, ">": 6, "a": 7}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in ("<unk>", "<s>", "</s>")])
    return tokenizer


@pytest.mark.parametrize("build", [unigram, word_level])
def test_a_model_whose_vocabulary_holds_the_marker_itself_spells_it_too(build):
    """A Unigram model would take the piece </s> out of its vocabulary even where added tokens are not looked for."""
    tokenizer = build()
    controls = ControlTokens({"<unk>": 0, "<s>": 1, "</s>": 2})
    shielded = controls.shield(tokenizer)
    typed = controls.stand_in(f"<s>{controls.hide('a</s>a')[0]}</s>")
    assert shielded.encode(typed).tokens[1:-1] == ["a", "<", "/", "s", ">", "a"]
    assert shielded.encode(typed).ids[0::7] == [1, 2]
    clean = "<s>asa</s>"
    assert shielded.encode(controls.stand_in(clean)).ids == tokenizer.encode(clean, add_special_tokens=False).ids


def test_shielding_adds_and_cuts_nothing():
    tokenizer = word_level()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    assert ControlTokens({"<s>": 1}).shield(tokenizer).encode("assa").ids == [7, 5, 5, 7]
