"""Laws of the checker on any text: it never raises, it is deterministic, and layout and keyword case change nothing."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sql_breaks import BREAKS, pieces
from sql_texts import MUTATIONS, HouseQuery, house_query
from sql_views import valid_text

from vgpt2.sql.catalogue import Catalogue, load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.lexer import END, GO, WORD, tokenize
from vgpt2.sql.parser import parse
from vgpt2.sql.parser.words import RESERVED
from vgpt2.sql.ruleset import HOUSE_CODES, house_rules

NAMES_ONLY = house_rules().without(*HOUSE_CODES)
ANY_RULES = (None, NAMES_ONLY)
SIGNS = [
    "(",
    ")",
    "(",
    ")",
    ",",
    ".",
    "*",
    "=",
    "<",
    ">",
    "+",
    "-",
    "--",
    "/*",
    "*/",
    "::",
    "||",
    ";",
    "{",
    "}",
    "$",
    "`",
    "\0",
    "é",
    "\x07",
]
NAMES = ["APTH", "APTL", "APCo", "APRef", "x", "@Co", "#t", "1", "'a'", "N'b", "[c", '"d"', "\nGO\n", "NOLOCK", "PARTITION", "APPLY"]
WORDS = st.sampled_from([*sorted(RESERVED)[::3], *NAMES, *SIGNS])


@cache
def core() -> Catalogue:
    return load_catalogue(Path(__file__).parents[3] / "data" / "catalogues" / "vista-core")


def house(seed: int) -> HouseQuery:
    return house_query(random.Random(f"test/{seed}"), core())


def codes(sql: str) -> list[tuple[str, str]]:
    return [(f.code, f.name) for f in check(sql, core())]


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=200))
def test_no_text_raises(sql: str) -> None:
    assert check(sql, core()) == check(sql, core())


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=60).map(" ".join))
def test_no_heap_of_words_raises(sql: str) -> None:
    for finding in check(sql, core()):
        assert finding.line >= 1
        assert finding.column >= 1


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 300), st.randoms(use_true_random=False))
def test_no_cut_off_or_shuffled_query_raises(seed: int, rng: random.Random) -> None:
    sql = valid_text(random.Random(seed), core())
    check(sql[: rng.randrange(len(sql) + 1)], core())
    parts = pieces(sql)
    rng.shuffle(parts)
    check("".join(parts[:400]), core())


@pytest.mark.parametrize("seed", range(40))
def test_tokens_lie_in_the_text_where_they_say(seed: int) -> None:
    sql = valid_text(random.Random(seed), core())
    tokens = tokenize(sql)
    assert all(sql[t.pos : t.pos + len(t.text)] == t.text for t in tokens if t.kind not in (END, GO))
    assert [t.pos for t in tokens] == sorted(t.pos for t in tokens)


@pytest.mark.parametrize("seed", range(60))
def test_a_clean_house_query_has_no_finding(seed: int) -> None:
    assert check(house(seed).text(), core()) == []


@pytest.mark.parametrize("seed", range(120))
def test_valid_sql_of_any_clause_has_no_finding_of_syntax_or_names(seed: int) -> None:
    assert check(valid_text(random.Random(f"test/{seed}"), core()), core(), NAMES_ONLY) == []


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_known_fault_is_found_by_its_own_code(kind: str) -> None:
    mutate, expected = MUTATIONS[kind]
    texts = [text for seed in range(60) if (text := mutate(random.Random(seed), core(), house(seed)))]
    missed = [text for text in texts if not {code for code, _ in codes(text)} & set(expected)]
    assert len(missed) <= len(texts) // 50, missed[0]


@pytest.mark.parametrize("kind", BREAKS)
def test_broken_syntax_is_found(kind: str) -> None:
    texts = [text for seed in range(30) if (text := BREAKS[kind](random.Random(seed), house(seed).text()))]
    missed = [text for text in texts if not any(f.severity == "error" for f in check(text, core(), NAMES_ONLY))]
    assert not missed, missed[0]


def messy(rng: random.Random, sql: str) -> str:
    """The text with other blanks, with comments, and with its keywords in another case."""
    parts = []
    for part in pieces(sql):
        if part.isspace():
            part = rng.choice((" ", "\n", "\t ", " /* c */ ", " /* a /* b */ */ ", "\n-- x\n"))
        elif part.upper() in RESERVED:
            part = rng.choice((part.lower(), part.upper(), part.title()))
        parts.append(part)
    return "".join(parts)


@pytest.mark.parametrize("seed", range(60))
def test_layout_comments_and_keyword_case_change_no_finding(seed: int) -> None:
    kind = list(MUTATIONS)[seed % len(MUTATIONS)]
    sql = MUTATIONS[kind][0](random.Random(seed), core(), house(seed)) or house(seed).text()
    assert codes(messy(random.Random(seed), sql)) == codes(sql)


@pytest.mark.parametrize("seed", range(30))
def test_brackets_around_names_change_no_finding(seed: int) -> None:
    sql = house(seed).text()
    known = {name for o in core().objects.values() for name in (o.name, *o.column_names)}
    bracketed = "".join(f"[{part}]" if part in known and part.upper() not in RESERVED else part for part in pieces(sql))
    assert codes(bracketed) == codes(sql) == []


def test_the_parser_gives_every_word_of_a_name_its_place() -> None:
    sql = "SELECT dbo . T . [A b] FROM T"
    statement = parse(sql)[0][0]
    name = statement.query.body.items[0].expression  # type: ignore[union-attr]
    assert [sql[pos:].split()[0][:2] for pos in name.positions] == ["db", "T", "[A"]  # type: ignore[union-attr]


def test_words_that_are_reserved_are_names_in_brackets_only() -> None:
    for word in sorted(RESERVED):
        assert parse(f"SELECT T.[{word}] AS [{word}] FROM T")[1] == []
        assert parse(f"SELECT T.A AS {word} FROM T")[1] != []


def test_a_go_line_is_no_name_and_the_word_go_elsewhere_is() -> None:
    assert [t.kind for t in tokenize("SELECT 1\n  go 5 -- twice\nSELECT go")] == [WORD, "number", GO, WORD, WORD, END]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 5_000,
        "SELECT " + "CASE WHEN 1 = 1 THEN " * 3_000,
        "SELECT 1 FROM APTH " + "JOIN APTL " * 3_000,
        "SELECT 1 WHERE " + "NOT " * 20_000 + "1 = 1",
        "SELECT " + "- " * 20_000 + "1",
        "SELECT " + ", ".join(f"c{i}" for i in range(5_000)) + " FROM APTH",
        "SELECT 1 FROM " + ", ".join(f"T{i}" for i in range(5_000)),
        "SELECT 1 FROM APTH WHERE APCo IN (" + ",".join(["1"] * 5_000) + ")",
        "/*" * 40_000,
        "'" * 99_999,
        "[" * 99_999,
        ";" * 99_999,
        "SELECT a FROM T WHERE;" * 4_000,
        "IF 1 = 1 " * 5_000,
        "BEGIN " * 10_000,
        "\x00\x01\x02\ufffe" * 10_000,
        "SELECT 1, " * 100_000,
        "",
        "   ",
        "-- nothing",
    ],
    ids=lambda sql: re.sub(r"\W+", "_", sql[:24]),
)
def test_hostile_texts_have_an_answer(sql: str) -> None:
    assert isinstance(check(sql, core()), list)
