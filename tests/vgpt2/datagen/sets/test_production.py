import json
import pickle
from collections import Counter
from pathlib import Path

import pytest
import tiny_makers

from vgpt2.datagen.questions.recipes import training_side
from vgpt2.datagen.questions.world import World
from vgpt2.datagen.sets.production import CHUNK, Planned, Workshop, plan_table, produce
from vgpt2.sql.glossary import find_glossary
from vgpt2.workers import WorkerLost

CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"


@pytest.fixture(scope="module")
def workshop(core):
    return Workshop(World(core, training_side(core)), tiny_makers.makers)


def test_the_rows_are_the_same_for_any_number_of_workers(workshop):
    quotas = {"facts": 2 * CHUNK + 50, "exists_memory": CHUNK}
    alone = produce(workshop, quotas, seed="1/sft")
    assert produce(workshop, quotas, seed="1/sft", workers=2) == alone
    assert produce(workshop, quotas, seed="2/sft").rows != alone.rows
    assert len(alone.rows) == sum(line.actual for line in alone.plan)


def test_the_plan_says_where_the_material_ends(workshop):
    product = produce(workshop, {"facts": 50, "few": 100, "same": 10}, seed="1")
    assert product.plan == (Planned("facts", 50, 50, 50), Planned("few", 100, 30, 30), Planned("same", 10, 1, 1))
    table = plan_table(product.plan).splitlines()
    assert table[2].split() == ["few", "100", "30", "30", "30.0%"]
    assert table[-1].split() == ["all", "160", "81", "81", "50.6%"]


def test_real_and_unreal_names_are_even_whatever_the_maker_gives(workshop):
    rows = [json.loads(row) for row in produce(workshop, {"exists_memory": 60}, seed="1").rows]
    denied = Counter("does not exist" in row["messages"][1]["content"] for row in rows)
    assert denied[True] == denied[False] > 15


@pytest.mark.parametrize(("absent", "left"), [(0, 19), (1, 23)])
def test_a_sentence_that_asks_for_nothing_absent_stays_too_rare_to_be_judged(core, absent, left):
    """The audit judges a sentence from its twentieth question on, and wants one of twenty for something absent."""
    made = Workshop(World(core, training_side(core)), lambda: {"facts": tiny_makers.listed(23, absent)})
    rows = [json.loads(row) for row in produce(made, {"facts": 23}, seed="1").rows]
    assert len(rows) == left
    assert sum("does not exist" in row["messages"][1]["content"] for row in rows) == absent


def test_ids_number_the_rows_in_their_shuffled_order(workshop):
    product = produce(workshop, {"facts": 40, "few": 20}, seed="1")
    rows = list(product.numbered("sft"))
    assert [row["id"] for row in rows] == [f"sft-{n:06d}" for n in range(60)]
    assert {row["category"] for row in rows[:15]} == {"facts", "few"}
    assert next(iter(rows[0])) == "id"


def test_what_the_makers_draw_from_can_be_sent_to_a_process(core, shop, shop_folder):
    """With a glossary and without one."""
    for names, folder in ((core, CORE), (shop, shop_folder)):
        world = World(names, training_side(names), find_glossary(folder, names.catalogue))
        assert pickle.loads(pickle.dumps(world)).names.known == names.known


def test_a_worker_that_dies_gives_one_clear_line(workshop):
    with pytest.raises(WorkerLost) as lost:
        produce(workshop, {"dying": 5}, seed="1/sft", workers=1)
    assert str(lost.value).startswith("1/sft/dying/0/0: the generating worker died (exit code ")
    assert str(lost.value).endswith("; once more, or without workers: --workers 0")
