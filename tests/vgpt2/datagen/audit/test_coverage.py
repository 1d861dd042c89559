from vgpt2.datagen.audit.coverage import Covered, coverage, uses
from vgpt2.datagen.audit.lengths import lengths
from vgpt2.sql.catalogue import Catalogue
from vgpt2.sql.schema import Column, Object


def thing(name, columns, module=None):
    return Object(name, "table", tuple(Column(c) for c in columns.split()), module=module)


SHOP = Catalogue([thing("orders", "id status", "sales"), thing("lines", "id amount", "sales"), thing("stores", "id city")])


def test_an_answer_uses_the_columns_of_the_objects_it_names():
    assert uses("?", "SELECT orders.status FROM orders", SHOP) == ({"orders"}, {("orders", "status")})
    objects, columns = uses("?", "orders and lines share id; amount is of one", SHOP)
    assert objects == {"orders", "lines"}
    assert columns == {("orders", "id"), ("lines", "id"), ("lines", "amount")}


def test_an_answer_without_an_object_is_about_the_one_of_the_questions_last_line():
    assert uses("orders (id, status)\nWhat holds the town of stores?", "city holds it", SHOP) == ({"stores"}, {("stores", "city")})


def test_coverage_counts_a_column_as_taught_from_three_answers():
    counts = {("orders", "id"): 3, ("orders", "status"): 2, ("stores", "city"): 9}
    assert coverage({"orders": 5, "stores": 9}, counts, SHOP) == [Covered("sales", 2, 1, 4, 2, 1), Covered("", 1, 1, 2, 1, 1)]


def test_lengths_by_hand():
    found = lengths(list(range(1, 101)), limit=95, is_exact=True)
    assert (found.p50, found.p90, found.p99, found.longest, found.total) == (51, 91, 100, 100, 5050)
    assert (found.over, found.over_share, sum(found.bins)) == (5, 0.05, 100)
    assert lengths([], limit=9, is_exact=False).longest == 0
