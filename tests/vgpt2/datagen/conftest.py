"""The bundled catalogue, and a small shop that knows no modules, companies or descriptions."""

import json
from pathlib import Path

import pytest

from vgpt2.datagen.names.real import Names, load_names

CORE = Path(__file__).parents[3] / "data" / "catalogues" / "vista-core"
TABLES = {
    "customers": "customer_id* customer_name email city country created_on",
    "orders": "order_id* customer_id ordered_on status total_amount shipped_on",
    "order_lines": "order_id* line_no* product_id quantity unit_price discount",
    "products": "product_id* product_name category_id list_price weight model_year",
    "categories": "category_id* category_name parent_id sort_order colour",
    "stores": "store_id* store_name city phone opened_on area",
    "stock": "store_id* product_id* quantity reserved reorder_level counted_on",
    "shipments": "shipment_id* order_id line_no carrier tracking sent_on",
    "payments": "payment_id* order_id amount paid_on method currency",
    "employees": "employee_id* first_name last_name hired_on store_id title",
}
KEYS = (
    ("orders", "customers", "customer_id"),
    ("order_lines", "orders", "order_id"),
    ("order_lines", "products", "product_id"),
    ("products", "categories", "category_id"),
    ("stock", "stores", "store_id"),
    ("stock", "products", "product_id"),
    ("shipments", "order_lines", "order_id line_no"),
    ("payments", "orders", "order_id"),
    ("employees", "stores", "store_id"),
)


def type_of(column: str) -> tuple[str, int | None]:
    if column.endswith("_on"):
        return "date", None
    if column.endswith(("amount", "price", "discount", "quantity", "reserved", "weight", "area")):
        return "decimal", None
    return ("int", None) if column.endswith(("_id", "_no", "_year", "_order", "_level")) else ("varchar", 30)


@pytest.fixture(scope="session")
def core() -> Names:
    return load_names(CORE)


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    objects, columns = [], []
    for table, text in TABLES.items():
        names = text.split()
        objects.append({"name": table, "kind": "table", "business_key": [n[:-1] for n in names if n.endswith("*")]})
        for name in (n.rstrip("*") for n in names):
            kind, length = type_of(name)
            columns.append({"object": table, "column": name, "type": kind, "length": length})
    keys = [{"from_object": a, "from_columns": c.split(), "to_object": b, "to_columns": c.split()} for a, b, c in KEYS]
    for name, rows in (("objects", objects), ("columns", columns), ("foreign_keys", keys)):
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def shop(shop_folder: Path) -> Names:
    return load_names(shop_folder)
