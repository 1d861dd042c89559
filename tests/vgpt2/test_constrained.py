"""Answers of models that know nothing, under the constraint: no unreal table, no unreal qualified column, always a way out."""

import random
import re
from pathlib import Path

import pytest
import tiny_tokenizer
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vgpt2.constrained import MOST_REFUSED, NameConstraint, NameConstraints
from vgpt2.generate import Request, stream
from vgpt2.model import CausalLM, ModelConfig
from vgpt2.sql.catalogue import Catalogue, load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.cursor import Cursor, Schema
from vgpt2.sql.extract import open_sql, sql_blocks
from vgpt2.sql.schema import Column, Object
from vgpt2.tokenizer import ChatTokenizer

CORE = load_catalogue(Path(__file__).parents[2] / "data/catalogues/vista-core")


@pytest.fixture(scope="module", params=["chatml", "inst"])
def tokenizer(request, tmp_path_factory):
    return ChatTokenizer.load(getattr(tiny_tokenizer, request.param)(tmp_path_factory.mktemp("t") / request.param), system=None)


@pytest.fixture(scope="module")
def constraints(tokenizer):
    return NameConstraints(CORE, tokenizer)


def unreal(answer: str) -> list[str]:
    """Unreal tables and qualified columns in the SQL of an answer."""
    found = []
    for sql in sql_blocks(answer):
        lines = re.split(r"\r\n|\r|\n", sql)
        for f in check(sql, CORE):
            qualified = f.code == "unknown_column" and lines[f.line - 1][: f.column - 1].rstrip(" [").endswith(".")
            found += [f.name] if f.code == "unknown_table" or qualified else []
    return found


def written(constraint: NameConstraint, tokenizer: ChatTokenizer, text: str) -> str | None:
    """Feeds a text token by token; the text up to what is refused, or None."""
    rest, done = text.encode(), b""
    spellings = {spelling: n for n, spelling in enumerate(tokenizer.token_bytes()) if spelling}
    while rest:
        piece = next(rest[:end] for end in range(min(len(rest), 8), 0, -1) if rest[:end] in spellings)
        if not constraint.allows(spellings[piece]):
            return (done + piece).decode("utf-8", "replace")
        constraint.feed(spellings[piece])
        rest, done = rest[len(piece) :], done + piece
    return None


def ends(constraint: NameConstraint) -> bool:
    return all(constraint.allows(n) for n in constraint._shared.eos_ids)


@pytest.mark.parametrize(
    "answer",
    [
        "Take it from foo, join bar and select the rest. foo.bar exists.",
        "```sql\nSELECT APTH.Vendor\nFROM APTH WITH (NOLOCK)\nWHERE APTH.APCo = 1\n```\nFrom foo, 你好.",
        "```sql\nSELECT 1 FROM -- not in schema\n```",
        "```sql\nSELECT 1 FROM\n```\nfoo",
        "-- not in schema: foo",
        "SELECT APTH.Vendor FROM APTH\n\nThis query takes rows from foo and bar.",
        "Use `SELECT * FROM APTH` in place of `from foo`.",
        "```python\nfrom foo import bar\n```",
        "```\nfrom foo to bar\n```",
        "<sql>SELECT * FROM APTH</sql> from foo",
        "<sql>SELECT 1 FROM </sql> from foo",
        "Delete the rows from foo and merge them with bar.",
        "Insert into the batch what foo holds.",
        "```sql\nSELECT APTH.Vendor FROM APTH WHERE APTH.APCo < 5 AND APTH.Vendor <> 3\n```",
        "```sql\nSELECT [APTH].[Vendor] FROM [dbo].[APTH] AS [my table]\n```",
    ],
)
def test_prose_and_real_names_stay_free(constraints, tokenizer, answer):
    constraint = constraints.of_answer()
    assert written(constraint, tokenizer, answer) is None
    assert ends(constraint)


@pytest.mark.parametrize(
    "answer",
    [
        "```sql\nSELECT * FROM f",
        "SELECT * FROM f",
        "Query: SELECT APTH.F",
        "Use `SELECT * FROM f",
        "```sql SELECT * FROM f",
        "~~~\nSELECT * FROM f",
        "<sql>SELECT * FROM f",
        "> ```sql\n> SELECT * FROM f",
        "```\n-- all\nSELECT * FROM f",
        "`SELECT * FROM AP`",
        "<sql>SELECT * FROM AP</",
        "<sql>SELECT APTH.Mth\nFROM f",
        "```sql\nSELECT h.InvTotal FROM APVM h\n",
    ],
)
def test_sql_is_bound_wherever_an_answer_may_hold_it(constraints, tokenizer, answer):
    refused = written(constraints.of_answer(), tokenizer, answer)
    assert refused is not None
    assert refused.rstrip("oundry").startswith(answer[:-1].rstrip())


def test_the_place_of_sql_in_an_unfinished_answer():
    cases = {"text": None, "```sql\nSELECT": 7, "```sql\nSELECT 1\n```": None, "a\nSELECT 1": 2, "a `SELECT 1": 3, "```py\nfrom x": None}
    assert {text: open_sql(text) for text in cases} == cases


STARTS = ("```sql\nSELECT ", "SELECT * FROM ", "```sql\nWITH c AS (SELECT * FROM ", "<sql>SELECT APTH.", "Use: ", "`SELECT 1 FROM ")
PIECES = """
    SELECT FROM WHERE JOIN ON AND AS WITH UNION UPDATE SET DELETE INSERT INTO VALUES CROSS APPLY EXISTS MERGE USING PIVOT GO DECLARE
    APTH APTL APVM bAPTH dbo dbo. a b foo Vendor #t @x sys STRING_SPLIT [APTH] [foo] [AP "APTH" "foo"
    APTH.Vendor APTH.APCo a.Vendor b.InvTotal SELECT FROM
    SELECT FROM APTH. a. NOLOCK 1 'x' ( ) ( ) , , . . = * ; + - / < > ' " [ ] ` `` ``` ```sql ~~~ <sql> </sql> -- /* */
    -- not in schema
    Query: select Delete the Merge é 数据 \x00 \ufeff
""".split()  # noqa: SIM905
BETWEEN = (" ", " ", " ", "", "\n", "\n\n", "\r\n", "\n> ", "\x0b", "\u2028")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(STARTS))
def test_no_text_however_malformed_ends_in_a_dead_end_or_in_an_unreal_name(constraints, tokenizer, seed, start):
    """Walks of hostile pieces, each as far as it is allowed, and of tokens drawn from what is; then the mask alone leads to an end."""
    constraint, rng = constraints.of_answer(), random.Random(seed)
    written(constraint, tokenizer, start)
    for _ in range(rng.randint(3, 40)):
        if rng.random() < 0.85:
            written(constraint, tokenizer, rng.choice(PIECES) + rng.choice(BETWEEN))
            continue
        ids = constraint.allowed().nonzero()[:, 0].tolist()
        assert ids
        offered = (n for n in rng.sample(ids, min(len(ids), 5)) if n not in constraints.eos_ids and constraint.allows(n))
        if (token := next(offered, None)) is not None:
            constraint.feed(token)
    for _ in range(200):
        if ends(constraint):
            break
        token = constraint.promised
        assert constraint.allowed()[token]
        assert constraint.allows(token)
        constraint.feed(token)
    assert ends(constraint), constraint.text
    assert not unreal(constraint.text), constraint.text


def test_a_model_that_insists_on_what_is_refused_is_left_with_the_way_out(constraints, tokenizer):
    """Behind a source that needs an alias nothing but one may stand: signs are refused one by one, and only so often."""
    constraint = constraints.of_answer()
    assert written(constraint, tokenizer, "```sql\nWITH APTH AS (SELECT 1 AS a) SELECT APTH.a FROM dbo.APTH ") is None
    tried = 0
    while len(ids := constraint.allowed().nonzero()[:, 0].tolist()) > 1:
        assert not constraint.allows(next(n for n in ids if not constraint.allows(n)))
        tried += 1
    assert tried == MOST_REFUSED + 1
    assert ids == [constraint.promised]
    assert constraint.allows(ids[0])


def test_names_of_other_alphabets_are_spelt_byte_by_byte(tokenizer):
    odd = Catalogue([Object("Straße_数据", "view", columns=(Column("Größe", "int"),))])
    constraint = NameConstraints(odd, tokenizer).of_answer()
    assert written(constraint, tokenizer, "SELECT Straße_数据.Grö") is None
    assert not ends(constraint)
    assert written(constraint, tokenizer, "ße FROM Straße_数据") is None
    assert ends(constraint)


def may_end(answer: str) -> bool:
    """Whether the last name of an answer that was cut is a whole one."""
    start, cursor = open_sql(answer), Cursor(Schema(CORE))
    return start is None or (cursor.feed(answer[start:]) and cursor.may_end())


def noisy_model(tokenizer: ChatTokenizer) -> CausalLM:
    """Random weights over the tokenizer's vocabulary."""
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    model = CausalLM(ModelConfig("llama", tokenizer.vocab_size, *sizes.values(), head_dim=16))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


@pytest.mark.slow
def test_a_model_that_knows_nothing_names_nothing_unreal(constraints, tokenizer):
    """Three hundred answers drawn behind the beginnings of queries; one that was cut loses what is part of a name."""
    model = noisy_model(tokenizer)

    def begun(start: str):
        def make() -> NameConstraint:
            constraint = constraints.of_answer()
            assert written(constraint, tokenizer, start) is None
            return constraint

        return make

    shapes = ("```sql\nSELECT * FROM ", "SELECT APTH.", "```sql\nSELECT APTL.Mth FROM APTL x JOIN ", "SELECT * FROM APTH WHERE APTH.")
    starts = [shapes[n % len(shapes)] for n in range(300)]
    requests = [Request([1, 2, 3], 24, 1.0, seed=n, constraint=begun(start)) for n, start in enumerate(starts)]
    ids: list[list[int]] = [[] for _ in starts]
    finishes = [""] * len(starts)
    for token in stream(model, requests, eos_ids=tokenizer.eos_ids, token_budget=100 * 27):
        ids[token.request] += [] if token.id is None else [token.id]
        finishes[token.request] = token.finish or ""
    spellings = tokenizer.token_bytes()
    named = 0
    for start, answer, finish in zip(starts, ids, finishes):
        text = start + b"".join(spellings[n] for n in answer).decode("utf-8", "replace")
        while finish == "length" and not may_end(text):
            text = text[:-1]
        named += bool(sql_blocks(text))
        assert not unreal(text), text
    assert named > 200
