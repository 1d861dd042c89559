from collections import Counter

import pytest

from vgpt2.datagen.knowledge.asking import absent_places, place_of, slots
from vgpt2.datagen.language.phrasings import Template

SENTENCES = [Template(f"kind-t{n:02d}", "{name}") for n in range(13)]


@pytest.mark.parametrize("sentences", [4, 12, 13, 16])
@pytest.mark.parametrize("n", [5, 9, 26, 60, 65, 200, 1700])
def test_of_every_sentence_and_of_the_kind_a_fifth_at_most_and_one_of_five_at_least_is_absent(sentences, n):
    absent = absent_places(sentences, n)
    assert 1 <= len(absent) <= -(-n // 5)
    for sentence in range(sentences):
        uses = len(range(sentence, n, sentences))
        of_it = sum(place % sentences == sentence for place in absent)
        if uses >= 5:
            assert max(1, uses // 20) <= of_it <= -(-uses // 5)


def test_parts_of_a_set_use_the_sentences_that_one_call_would_use():
    whole = slots(SENTENCES, range(120), "name")
    parts = [group for start in range(0, 120, 40) for group in slots(SENTENCES, range(start, start + 40), "name")]
    assert parts == whole
    whole = slots(SENTENCES, range(120), "existence")
    assert [g for start in range(0, 120, 15) for g in slots(SENTENCES, range(start, start + 15), "existence")] == whole


def test_existence_comes_in_pairs_of_a_real_and_an_unreal_name_on_one_sentence():
    groups = slots(SENTENCES, range(52), "existence")
    assert len(groups) == 26
    assert all(a[0] is b[0] and (a[1], b[1]) == (True, False) for a, b in groups)
    assert set(Counter(pair[0][0].id for pair in groups).values()) == {2}


def test_topics_have_no_name_that_could_be_unreal():
    assert all(real for [(_, real)] in slots(SENTENCES, range(100), "topic"))


@pytest.mark.parametrize(("seed", "place"), [("1/sft/schema/0/7", 7), ("1", 0), ("laws", 0), ("a/b", 0)])
def test_the_place_of_a_part_is_the_number_that_ends_its_seed(seed, place):
    assert place_of(seed) == place
