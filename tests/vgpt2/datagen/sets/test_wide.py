import pickle

import pytest

from vgpt2.configfile import ConfigError
from vgpt2.datagen.sets import wide


def written(tmp_path, text):
    path = tmp_path / "wide.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_shares_are_read_and_split_a_size(core):
    config = wide.load_wide(wide.DEFAULT_FILE)
    counts = wide.quotas(config, 10_000)
    assert set(counts) == set(wide.makers()) == set(config.shares)
    assert sum(counts.values()) == 10_000
    assert counts["sql"] == 2100


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shares: {sqll: 3}", "unknown category 'sqll'; allowed are sql, joins_sql"),
        ("shares: {sql: 0}", "all are 0"),
        ("shares: {sql: 1}\nqueries: {plans: 1}", "queries.plans"),
        ("shares: {sql: 1}\nqueries: {plan: 1.5}", "queries.plan"),
        ("shares: {sql: much}", "shares.sql"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, text, says):
    with pytest.raises((ConfigError, ValueError)) as refusal:
        wide.load_wide(written(tmp_path, text))
    assert says in str(refusal.value)
    assert "wide.yaml" in str(refusal.value)


def test_a_world_carries_the_settings_of_the_file(core, tmp_path):
    config = wide.load_wide(written(tmp_path, "shares: {sql: 1}\nqueries: {plan: 0, schema_text: 0}"))
    world = wide.make_world(core, config)
    questions = [q for chat in wide.makers()["sql"](world, 60, "1/0") for q in chat]
    assert not any(q.context for q in questions)
    assert all(q.answer.startswith("```sql") for q in questions if q.query)


def test_a_world_can_be_sent_to_a_process_after_it_has_been_used(core):
    world = wide.make_world(core, wide.load_wide(wide.DEFAULT_FILE))
    made = wide.makers()["sql"](world, 40, "1/0")
    assert wide.makers()["sql"](pickle.loads(pickle.dumps(world)), 40, "1/0") == made
