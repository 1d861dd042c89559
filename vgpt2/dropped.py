"""Two tallies of data files: rows left out, each with its reason, and mistakes, which refuse the file. Neither is ever silent."""

from collections.abc import Iterable

SHOWN = 3  # places and mistakes named before the rest is only counted


class Dropped:
    """How many rows were left out for each reason, and the first places of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.places: dict[str, list[str]] = {}

    def add(self, reason: str, where: str) -> None:
        """Counts one row; `where` is its file:line."""
        self._add(reason, 1, [where])

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __add__(self, other: "Dropped") -> "Dropped":
        both = Dropped()
        for part in (self, other):
            for reason, count in part.counts.items():
                both._add(reason, count, part.places[reason])
        return both

    def __str__(self) -> str:
        """A table with the most frequent reason first; one line that says 0 when nothing was dropped."""
        return self.table("dropped rows")

    def table(self, head: str, *, most: int | None = None) -> str:
        """The counts under `head`, the most frequent reason first; `most` reasons at most."""
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        lines = [f"{head} {self.total:>9,}"]
        for reason, count in ranked[:most]:
            more = ", ..." if count > SHOWN else ""
            lines.append(f"  {count:>9,}  {reason:<24} {', '.join(self.places[reason])}{more}")
        rest = len(ranked) - len(ranked[:most])
        return "\n".join(lines + ([f"  and {rest:,} more kinds"] if rest else []))

    def _add(self, reason: str, count: int, places: Iterable[str]) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + count
        self.places[reason] = [*self.places.get(reason, []), *places][:SHOWN]


class Mistakes:
    """What is wrong with files, collected so that everything is said at once."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []
        self._last_file = ""

    def add(self, file: str, mistake: str) -> None:
        """`mistake` is one line that starts with its file and line."""
        self.count += 1
        self._last_file = file
        if self.count <= SHOWN:
            self._first.append(mistake)

    def refuse(self) -> None:
        """Raises ValueError with the first three and the number of the others, if there is any."""
        if self.count:
            raise ValueError("\n".join(self.said))

    @property
    def said(self) -> list[str]:
        """The first three, and a line with the number of the others."""
        return self._first + ([f"and {self.count - SHOWN:,} more: {self._last_file}"] if self.count > SHOWN else [])
