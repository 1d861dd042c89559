"""Questions on the house's documents, made from the names in them alone; none where nothing is given.

Procedures and forms are asked about by name only where `world.names` knows them: `readers.named` adds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from vgpt2.datagen.knowledge.asking import Drawn, Kind
from vgpt2.datagen.knowledge.draws import unreal_object
from vgpt2.datagen.knowledge.stock import Stock, shown
from vgpt2.datagen.knowledge.wording import as_name
from vgpt2.datagen.language import english
from vgpt2.datagen.language.answers import fenced, verdict
from vgpt2.datagen.names.fakes import near_miss, suffixed
from vgpt2.datagen.questions.question import Subject
from vgpt2.datagen.questions.world import World
from vgpt2.datagen.readers.document import Document, DocumentKind

_MOST = 10  # names in one answer
Forms = Callable[[Stock, Document], tuple[str, ...] | None]  # the ways to answer; None where the document does not tell


def page_columns(stock: Stock, d: Document) -> tuple[str, ...] | None:
    if not d.columns:
        return None
    listed = shown(d.columns, _MOST)
    return (f"The documentation of {d.name} points out {listed}.", f"Of {d.name} these columns are documented: {listed}.")


def page_objects(stock: Stock, d: Document) -> tuple[str, ...] | None:
    if not d.objects:
        return None
    listed = shown(d.objects, _MOST)
    return (f"The page on {d.name} also mentions {listed}.", f"Beside {d.name} it names {listed}.")


def parameters(stock: Stock, d: Document) -> tuple[str, ...] | None:
    if not d.parameters:
        return ("It takes no parameters.",)
    listed = ", ".join(f"{name} ({kind})" if kind else name for name, kind in d.parameters)
    return (f"It takes {listed}.", f"Its parameters are {listed}.")


def procedure_objects(stock: Stock, d: Document) -> tuple[str, ...] | None:
    if not d.objects:
        return None
    return (f"It works on {shown(d.objects, _MOST)}.", f"Its text names {shown(d.objects, _MOST)}.")


def form_table(stock: Stock, d: Document) -> tuple[str, ...] | None:
    (table,) = d.objects
    return (f"Its table is {table}.", f"The form stores its records in {table} ({stock.called(stock.by_name[table])}).")


def report_query(stock: Stock, d: Document) -> tuple[str, ...] | None:
    return (fenced(d.sql),) if d.sql else None


def report_objects(stock: Stock, d: Document) -> tuple[str, ...] | None:
    if not d.objects:
        return None
    return (f"The report reads {english.listing(d.objects)}.", f"It selects from {english.listing(d.objects)}.")


def _page_kind(name: str, share: float, forms: Forms) -> Kind:
    def draw(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
        d = _one(world, stock, "page", rng)
        if d is None or d.name not in stock.by_name:
            return None
        if not real:
            return unreal_object(stock, stock.by_name[d.name], {"table": ""}, rng)
        said = forms(stock, d)
        return (
            Drawn({"table": d.name}, (d.name,), lambda words: words.choice(said), about=stock.by_name[d.name], source=d.source)
            if said
            else None
        )

    return Kind(name, share, draw)


def _named_kind(name: str, share: float, kind: DocumentKind, forms: Forms) -> Kind:
    """A kind about procedures or forms, by their names."""

    def draw(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
        d = _one(world, stock, kind, rng)
        if d is None or not world.names.is_object(d.name):
            return None
        if not real:
            return _unreal(world, kind, d, {}, rng)
        said = forms(stock, d)
        return Drawn({kind: d.name}, d.objects, lambda words: words.choice(said), source=d.source) if said else None

    return Kind(name, share, draw)


def _report_kind(name: str, share: float, forms: Forms) -> Kind:
    def draw(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
        d = _one(world, stock, "report", rng)
        said = forms(stock, d) if d else None
        return Drawn({"report": d.name}, d.objects, lambda words: words.choice(said), source=d.source) if d and said else None

    return Kind(name, share, draw, asks="topic")


def draw_field(stock: Stock, world: World, real: bool, rng: Random) -> Drawn | None:
    """Which column a field of a form fills."""
    d = _one(world, stock, "form", rng)
    if d is None or not d.fields or not world.names.is_object(d.name):
        return None
    label, column = rng.choice(d.fields)
    if not real:
        return _unreal(world, "form", d, {"field": label}, rng)
    name = f"{d.objects[0]}.{column}"
    forms = (f"That is {name}.", f"The field fills {name}.")
    return Drawn({"form": d.name, "field": label}, d.objects, lambda words: words.choice(forms), expect={"column": name}, source=d.source)


def _one(world: World, stock: Stock, kind: DocumentKind, rng: Random) -> Document | None:
    """A document of the kind whose objects this side may name."""
    usable = _usable(world.documents, stock, kind)
    return rng.choice(usable) if usable else None


def _usable(documents: Sequence[Document], stock: Stock, kind: DocumentKind) -> list[Document]:
    return [d for d in documents if d.kind == kind and all(name in stock.by_name for name in d.objects)]


def _unreal(world: World, kind: DocumentKind, d: Document, words: dict[str, str], rng: Random) -> Drawn | None:
    """The question with a name like that of a real procedure or form."""
    fake = rng.choice((near_miss, suffixed))(d.name, None, (), rng)
    known = {name.casefold() for name in (one.name for one in world.documents)}
    if not fake or fake.casefold() in known or not world.names.is_unreal(fake) or world.names.split_of(fake) != world.side.split:
        return None
    subject = Subject(fake, False, d.name)
    forms = (f"{as_name(fake)} does not exist. The nearest real name is {as_name(d.name)}.", verdict(fake, real=False, nearest=d.name))
    return Drawn(
        {kind: fake, **words}, d.objects, lambda seeded: seeded.choice(forms), subject, {"name": fake, "exists": False}, source=d.source
    )


DOCUMENT_KINDS = (
    _page_kind("page_columns", 20, page_columns),
    _page_kind("page_objects", 15, page_objects),
    _named_kind("procedure_parameters", 20, "procedure", parameters),
    _named_kind("procedure_objects", 15, "procedure", procedure_objects),
    _named_kind("form_table", 15, "form", form_table),
    Kind("form_field", 15, draw_field),
)
REPORT_KINDS = (_report_kind("topic_report", 12, report_query), _report_kind("topic_sources", 8, report_objects))
