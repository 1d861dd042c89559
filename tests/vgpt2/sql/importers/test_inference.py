"""Foreign keys from names and types alone."""

from __future__ import annotations

import pytest

from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey, Object
from vgpt2.sql.importers.inference import inferred_keys


def table(name: str, columns: str, key: str, *, module: str | None = None, **facts: str) -> Object:
    made = tuple(Column(column, facts.get(column, "int")) for column in columns.split())
    return Object(name, "table", made, module=module, business_key=tuple(key.split()), unique_keys=(tuple(key.split()),))


HEAD = table("Head", "Co Id Name", "Co Id", module="AP")


def found(*objects: Object, stated: tuple[ForeignKey, ...] = ()) -> list[tuple[str, str, str]]:
    return [(k.from_object, k.to_object, " ".join(k.from_columns)) for k in inferred_keys(Catalogue(objects), stated)]


def test_a_table_with_all_columns_of_anothers_key_points_at_it() -> None:
    line = table("Line", "Co Id Line Qty", "Co Id Line", module="AP")
    assert found(HEAD, line) == [("Line", "Head", "Co Id")]
    assert inferred_keys(Catalogue([HEAD, line]), ())[0].source == "inferred"


@pytest.mark.parametrize(
    "other",
    [
        table("Line", "Co Line", "Co Line"),  # a part of the key
        table("Line", "Co Id Line", "Co Id Line", Id="bigint"),  # another type
        table("Line", "Co Id Qty", "Co Id"),  # the same key: which of the two comes first is not known
        table("Line", "co id Line", "co id Line"),  # names are case sensitive
    ],
)
def test_less_than_the_whole_key_is_none(other: Object) -> None:
    assert found(HEAD, other) == []


def test_where_two_have_the_same_key_only_the_own_module_tells_which_is_meant() -> None:
    twin = table("Twin", "Co Id", "Co Id", module="AR")
    assert found(HEAD, twin, table("Line", "Co Id Line", "Line", module="AR")) == [("Line", "Twin", "Co Id")]
    assert found(HEAD, twin, table("Line", "Co Id Line", "Line", module="GL")) == []


def test_a_key_of_one_column_is_believed_within_a_module_and_under_a_telling_name() -> None:
    store = table("Store", "StoreNo", "StoreNo", module="A")
    assert found(store, table("Sale", "StoreNo SaleNo", "SaleNo", module="A")) == [("Sale", "Store", "StoreNo")]
    assert found(store, table("Sale", "StoreNo SaleNo", "SaleNo", module="B")) == []
    assert found(table("Store", "Id", "Id"), table("Sale", "Id SaleNo", "SaleNo")) == []


def test_what_a_constraint_joins_is_left_to_it() -> None:
    line = table("Line", "Co Id Line", "Co Id Line")
    assert found(HEAD, line, stated=(ForeignKey("Line", ("Co", "Id"), "Head", ("Co", "Id")),)) == []


def test_a_table_behind_a_view_takes_no_part() -> None:
    view = Object("V", "view", HEAD.columns, base_table="Head", module="AP", business_key=("Co", "Id"))
    line = table("Line", "Co Id Line", "Co Id Line", module="AP")
    assert found(HEAD, view, line) == [("Line", "V", "Co Id")]
