"""Text as it grows, with characters and stop strings across the borders of tokens."""

import itertools

import pytest
import tiny_tokenizer

from vgpt2.generation.transcript import Transcript, overlap
from vgpt2.tokenizer import ChatTokenizer


def letters(ids):
    return "".join(map(chr, ids))


def as_bytes(ids):
    return bytes(ids).decode("utf-8", "replace")


def told(ids, decode, stops=()):
    """The pieces up to the token that completes a stop string, and the rest."""
    transcript, pieces = Transcript(decode, stops), []
    for token_id in ids:
        pieces.append(transcript.add(token_id))
        if transcript.stopped:
            break
    return [*pieces, transcript.rest()]


def test_half_a_character_is_never_told():
    ids = "né 你".encode()
    assert told(ids, as_bytes) == ["n", "", "é", " ", "", "", "你", ""]
    assert told("é".encode()[:1], as_bytes) == ["", "\ufffd"]


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("SELECT 1; more", (";",), "SELECT 1"),
        ("a\n\nb", ("\n\n",), "a"),
        ("ababac", ("abac",), "ab"),  # a false start that overlaps the true one
        ("aaab", ("aab",), "a"),
        ("one two", ("two", "one"), ""),
        ("ends in the middle of st", ("stop",), "ends in the middle of st"),
        ("nothing", (), "nothing"),
        ("stop", ("stop",), ""),
    ],
)
def test_the_text_ends_before_the_first_stop_string(text, stops, expected):
    assert "".join(told(map(ord, text), letters, stops)) == expected


def test_what_is_told_is_what_a_search_of_the_whole_text_finds():
    """Every text of six letters over {a, b}, every two stop strings: the same as cutting the whole text, and told without a regret."""
    stops = ["".join(letters) for n in (1, 2, 3) for letters in itertools.product("ab", repeat=n)]
    for text in map("".join, itertools.product("ab", repeat=6)):
        for pair in itertools.combinations(stops, 2):
            ends = [text.find(stop) + len(stop) for stop in pair if stop in text]
            seen = text[: min(ends)] if ends else text  # no more is read than completes the first
            expected = min((seen[: seen.find(stop)] for stop in pair if stop in seen), key=len, default=seen)
            assert "".join(told(map(ord, text), letters, pair)) == expected, (text, pair)


@pytest.mark.parametrize("family", ["chatml", "inst"])
def test_the_pieces_are_the_text_for_either_kind_of_tokenizer(tmp_path, family):
    tokenizer = ChatTokenizer.load(getattr(tiny_tokenizer, family)(tmp_path / family), system=None)
    answer = "Use this:\n\n  SELECT APTH.Vendor -- 你好 é\nFROM APTH"
    encoded = tokenizer.encode([{"role": "user", "content": "x"}, {"role": "assistant", "content": answer}])
    ids = [id_ for id_, wanted in zip(encoded.input_ids, encoded.completion_mask) if wanted]
    assert "".join(told(ids, tokenizer.decode)) == tokenizer.decode(ids)


def test_the_overlap_by_hand():
    assert [overlap("xab", "abc"), overlap("x", "abc"), overlap("abab", "abac"), overlap("", "a")] == [2, 0, 2, 0]
