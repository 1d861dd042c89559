from random import Random

import pytest

from vgpt2.datagen.names.fakes import OBJECT_KINDS, borrowed_column, fake_column, fake_object
from vgpt2.datagen.names.real import SPLITS, held_out_objects


def test_a_fifth_of_the_objects_is_held_out_in_whole_families(core):
    held = core.held_out
    assert 0.15 * len(core.catalogue) <= len(held) <= 0.2 * len(core.catalogue)
    for key in core.catalogue.foreign_keys:
        child, parent = core.catalogue.objects[key.from_object], core.catalogue.objects[key.to_object]
        same_key = key.from_columns == key.to_columns == parent.business_key
        if same_key and len(parent.business_key) > 1 and set(parent.business_key) < set(child.business_key):
            assert (child.name in held) == (parent.name in held), f"{child.name} continues {parent.name}"


def test_the_line_depends_on_the_catalogue_alone(core):
    assert held_out_objects(core.catalogue) == core.held_out
    assert core.split_of("SomeInventedName") == core.split_of("someinventedname")


def test_a_table_goes_with_its_view_and_seen_objects_stay_in_training(core):
    held = next(iter(sorted(core.held_out)))
    assert core.split_of(held) == core.split_of(f"b{held}") == "suite"
    assert core.split_of("APTH") == core.split_of("bAPTH") == "train"


def test_listed_names_are_real_and_suites_list_their_own(core):
    lists = {split: set(core.listable(split)) for split in SPLITS}
    assert all(names <= core.known for names in lists.values())
    assert not lists["suite"] & (lists["train"] | lists["pairs"])
    assert min(map(len, lists.values())) > 100


def test_a_table_that_a_view_shows_is_never_queried(core):
    assert not any(core.view_of(o.name) for side in (False, True) for o in core.objects(held_out=side))


@pytest.mark.parametrize("kind", OBJECT_KINDS)
def test_a_fake_of_each_kind_is_unreal_in_any_case_and_keeps_to_its_split(core, kind):
    real = {name.casefold() for name in core.known}
    rng, made = Random(kind), 0
    for split in SPLITS:
        for o in core.objects(held_out=False):
            fake = fake_object(core, o.name, (kind,), split=split, rng=rng)
            if fake is not None:
                made += 1
                assert fake.name.casefold() not in real
                assert core.split_of(fake.name) == split
                assert fake.imitates == o.name
    assert made > 30


def test_a_fake_column_is_none_of_its_table_in_any_case(core):
    rng = Random(0)
    for o in core.objects(held_out=False):
        present = {name.casefold() for name in o.column_names}
        for column in rng.sample(o.columns, min(5, len(o.columns))):
            fake = fake_column(o, column, rng)
            assert fake is not None
            assert fake.name.casefold() not in present


def test_a_borrowed_column_is_real_elsewhere_and_not_here(core):
    here = core.catalogue.objects["APTH"]
    side = [o.name for o in core.objects(held_out=False)]
    for seed in range(20):
        column, owner = borrowed_column(core.catalogue, side, here, Random(seed))
        assert core.catalogue.objects[owner].has(column)
        assert not here.has(column)


def test_a_catalogue_without_a_names_file_knows_its_own_objects(shop):
    assert shop.known == frozenset(shop.catalogue.objects)
    assert shop.is_unreal("customer")
    assert not shop.is_unreal("CUSTOMERS")
    assert not shop.is_unreal("Tracking")  # a column: whether it exists would depend on what is meant
