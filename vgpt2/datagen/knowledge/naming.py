"""How names are built, as the catalogue shows it: prefixes, tables behind views, company columns by module."""

from __future__ import annotations

from collections import Counter
from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.draws import object_kind
from vgpt2.datagen.knowledge.stock import Stock
from vgpt2.datagen.language import english
from vgpt2.datagen.questions.world import World
from vgpt2.sql.schema import Object


def prefix(stock: Stock, o: Object, rng: Random) -> str | None:
    """What the beginning of a name shows: its module, and objects that begin alike."""
    if o.module and o.name.startswith(o.module) and o.name != o.module:
        alike = [other.name for other in stock.modules.get(o.module, ()) if other is not o and other.name.startswith(o.module)]
        some = english.listing(rng.sample(alike, min(3, len(alike)))) if alike else ""
        others = f" So do {some}." if len(alike) > 1 else ""
        what = f" The object: {stock.called(o)}." if stock.description(o) else ""
        return rng.choice(
            (
                f"{o.name} begins with {o.module}, its module.{others}{what}",
                f"The first letters of {o.name} name the module {o.module}.{what}",
            )
        )
    words = english.spaced(o.name)
    if len(words.split()) > 1:
        return f"{o.name} is made of the words {words}. It carries no module prefix."
    return f"The name {o.name} carries no prefix: it is the plain word {words}." if not o.module else None


def draw_company(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """The company column that most objects of a module have, and those that differ."""
    modules = {m: [o for o in objects if o.company_column] for m, objects in stock.modules.items()}
    modules = {module: objects for module, objects in modules.items() if objects}
    if not modules:
        return None
    module = rng.choice(sorted(modules))
    columns = Counter(o.company_column for o in modules[module])
    usual = f"{module}Co" if f"{module}Co" in columns else columns.most_common(1)[0][0]
    other = next((o for o in modules[module] if o.company_column != usual), None)
    but = f" {other.name} differs: it has {other.company_column}." if other else ""
    example = next(o for o in modules[module] if o.company_column == usual)
    forms = (
        f"In module {module} the company column is {usual}, as in {example.name}.{usual}.{but}",
        f"The tables of module {module} name it {usual}.{but}",
    )
    return Drawn({"module": module}, tuple(o.name for o in modules[module]), lambda words: words.choice(forms), expect={"column": usual})


def base(stock: Stock, o: Object, rng: Random) -> str | None:
    """The table behind a view, and how the two names differ."""
    if not o.base_table:
        return None
    how = f" It is the view's name with {o.base_table[: -len(o.name)]} before it." if o.base_table.endswith(o.name) else ""
    return rng.choice((f"The table behind {o.name} is {o.base_table}.{how}", f"{o.base_table}.{how} Queries read {o.name}."))


def _views(stock: Stock) -> list[Object]:
    return [o for o in stock.objects if o.base_table]


KINDS = (
    object_kind("name_prefix", 45, prefix, on_names=True),
    Kind("topic_company", 10, draw_company, asks="topic"),
    object_kind("name_of_base", 45, base, _views, on_names=True),
)
