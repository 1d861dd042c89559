"""What an answer says about names, and whether the catalogue agrees: the ground of the audit's rules.

SQL is judged by the checker, prose by its claims and by looking up every word that can only be an identifier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from vgpt2.datagen.language.answers import ABSENT, NEAREST
from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.repair import repaired
from vgpt2.sql.checker import check
from vgpt2.sql.extract import Claim, claims, prose, sql_blocks
from vgpt2.sql.findings import Finding
from vgpt2.sql.functions import ARITIES
from vgpt2.sql.parser.words import RESERVED, TABLE_HINTS

UNREAL = frozenset({"unknown_table", "unknown_column", "unknown_qualifier", "case"})
SQL_WORDS = frozenset({"SQL", "TSQL", *RESERVED, *TABLE_HINTS, *ARITIES})
_IDENTIFIER = re.compile(r"(?<![\w.@#/])[A-Za-z_][\w#$]*(?:\.[A-Za-z_][\w#$]*)?(?![\w/]|\()")
_DEFINED = re.compile(  # names that a query makes: labels, CTEs, aliases
    r"\bAS\s+\[?([A-Za-z_]\w*)|\b([A-Za-z_]\w*)\s+AS\s*\(|\b(?:FROM|JOIN)\s+[\w.\[\]]+\s+(?:AS\s+)?([A-Za-z_]\w*)", re.IGNORECASE
)
_OFFER = re.compile(r"\b(?:nearest|closest|use|try|instead|mean|looking for|spelling)\b([^.\n]{1,200})", re.IGNORECASE)
_VERDICT = re.compile(r"\W*(?:yes|no)\b", re.IGNORECASE)
_ASKS_EXISTENCE = re.compile(r"\bexists?\b|\breal\b|\bvalid\b|\b(?:is|are) there\b|\bhave (?:a|an)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Unreal:
    """A name taken for real that is not, as written, and the real one it may mean."""

    name: str
    nearest: str | None = None


@dataclass(frozen=True)
class Reading:
    """One answer, read once. `words` are capitalised words that are no names; `ask` is what the user said last."""

    answer: str
    ask: str
    names: Names = field(repr=False)
    words: frozenset[str] = field(repr=False)

    @cached_property
    def sql(self) -> list[str]:
        return sql_blocks(self.answer)

    @cached_property
    def findings(self) -> list[Finding]:
        """What the checker says of the answer's SQL, warnings too."""
        return [finding for sql in self.sql for finding in check(sql, self.names.catalogue)]

    @cached_property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    @cached_property
    def claims(self) -> list[Claim]:
        about = asked_name(self.ask, self.names) if _VERDICT.match(self.answer) else None
        return claims(self.answer, about)

    @cached_property
    def alternatives(self) -> set[str]:
        """Names that the answer gives in place of one that is not there."""
        return {claim.name for claim in self.claims if claim.kind == "use_instead"} | set(NEAREST.findall(self._prose))

    @property
    def offers_a_name(self) -> bool:
        """Whether the answer gives a name in place of one that is not there; a real one may look like any English word, as Stock does."""
        return bool(self.alternatives) or any(
            self.names.is_object(word) or self.names.is_column(word)
            for offer in _OFFER.findall(self._prose)
            for word in _IDENTIFIER.findall(offer)
        )

    @property
    def denies_a_name(self) -> bool:
        return any(claim.kind == "not_exists" for claim in self.claims)

    @property
    def denies(self) -> bool:
        """Whether the answer says that a name, or data asked for, is not there."""
        return self.denies_a_name or bool(ABSENT.search(self.answer))

    @property
    def denied_reals(self) -> list[str]:
        """Real names that the answer says do not exist."""
        return [c.name for c in self.claims if c.kind == "not_exists" and is_real(c.name, c.of, self.names)]

    @property
    def accepted_fakes(self) -> list[Unreal]:
        """Unreal names that the answer says exist."""
        taken = [c for c in self.claims if c.kind == "exists" and c.name not in self.words and c.name not in self._made]
        return [Unreal(c.name) for c in taken if not is_real(c.name, c.of, self.names)]

    @cached_property
    def unreal(self) -> list[Unreal]:
        """Names that the answer takes for real and that are not, in SQL and in prose."""
        found = [Unreal(f.name, self._certain.get(f.name, f.suggestion)) for f in self.errors if f.code in UNREAL]
        found += self.accepted_fakes
        found += [Unreal(name) for name in sorted(self.alternatives) if not self._is_known(name)]
        denied = {claim.name for claim in self.claims if claim.kind == "not_exists"}
        for word in _IDENTIFIER.findall(self._prose):
            if looks_like_a_name(word) and word not in denied and not self._is_known(word):
                found.append(Unreal(word))
        return list({unreal.name: unreal for unreal in reversed(found)}.values())[::-1]

    def _is_known(self, word: str) -> bool:
        if word in self.words or word in SQL_WORDS or word in self.names.acronyms:
            return True
        if word in self._made or word.partition(".")[0] in self._made:
            return True
        return is_real(word, None, self.names)

    @cached_property
    def _certain(self) -> dict[str, str]:
        """The right name for each wrong one that leaves no doubt about what it means."""
        return {repair.old: repair.new for sql in self.sql for repair in repaired(sql, self.names.catalogue)[1]}

    @cached_property
    def _prose(self) -> str:
        return prose(self.answer)

    @cached_property
    def _made(self) -> frozenset[str]:
        """Labels, aliases and other names that the answer's own SQL makes."""
        return frozenset(name for sql in self.sql for groups in _DEFINED.findall(sql) for name in groups if name)


def findings(answer: str, names: Names) -> list[Finding]:
    """Errors of the checker in the answer's SQL."""
    return Reading(answer, "", names, frozenset()).errors


def looks_like_a_name(word: str) -> bool:
    """Whether a word of prose can only be an identifier: APTH, bAPTH, APTH.APRef, AP_TH; not Invoice, e.g or AP's."""
    return "_" in word or sum(c.isupper() for c in word) > 1 or ("." in word and word.lower() not in ("e.g", "i.e", "a.m", "p.m"))


def asked_name(ask: str, names: Names) -> str | None:
    """The one name whose existence a question asks about, as table.column where it is a column's; None where that is not plain."""
    question = ask.rstrip().rpartition("\n")[2]
    if not _ASKS_EXISTENCE.search(question):
        return None
    words = [word for word in dict.fromkeys(_IDENTIFIER.findall(question)) if word not in SQL_WORDS]
    found = [word for word in words if looks_like_a_name(word) or names.catalogue.has(word)]  # an object may look like any word
    if len(found) == 1:
        return found[0] if looks_like_a_name(found[0]) else None
    tables = [word for word in found if names.catalogue.has(word)]
    return f"{tables[0]}.{found[1 - found.index(tables[0])]}" if len(found) == 2 and len(tables) == 1 else None


def is_real(name: str, of: str | None, names: Names) -> bool:
    """Whether an object or a column is real, in exact case; of columns of known objects outside the catalogue nothing is known: True."""
    table, _, column = name.rpartition(".")
    table = table or (of or "")
    if table in ("", "dbo"):
        return names.is_object(column) or names.is_column(column)
    found = names.catalogue.get(table)
    if found is None:
        view = names.view_of(table)
        found = names.catalogue.get(view) if view else None
    if found is None:
        return names.is_object(table)
    return found.has(column)
