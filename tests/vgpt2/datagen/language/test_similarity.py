from random import Random

from vgpt2.datagen.language.similarity import earlier_twins, masked, normalised, shingles


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b))


def texts(seed):
    """Sentences of few words, a third of them an earlier one with one word changed or none."""
    rng, found = Random(seed), []
    for _ in range(150):
        if found and rng.random() < 0.35:
            words = rng.choice(found).split()
            words[rng.randrange(len(words))] = rng.choice("abcdefgh")
            found.append(" ".join(words))
        else:
            found.append(" ".join(rng.choices("abcdefghijklmnop", k=rng.randint(1, 60))))
    return [shingles(text) for text in found]


def test_twins_are_those_that_comparing_all_pairs_finds():
    for seed in range(6):
        for share in (0.5, 0.8, 0.9):
            found = texts(seed)
            twins = earlier_twins(found, share)
            firsts = []
            for text, twin in zip(found, twins):
                near = [n for n in firsts if jaccard(found[n], text) >= share]
                assert (twin is None) == (not near)
                assert twin is None or jaccard(found[twin], text) >= share
                if twin is None:
                    firsts.append(found.index(text))


def test_values_case_and_blanks_make_no_difference_but_names_do():
    one, same, other = "Invoices of  APCo 1 in '2024-01-01'", "invoices of apco 17 in 'May'", "invoices of arco 1 in 'May'"
    assert masked(one) == masked(same) != masked(other)
    assert normalised(one) != normalised(same)
    assert set(shingles(one)) == set(shingles(same))


def test_no_text_and_short_ones():
    assert earlier_twins([], 0.9) == []
    assert earlier_twins([shingles("yes"), shingles("no"), shingles("Yes")], 0.9) == [None, None, 0]
