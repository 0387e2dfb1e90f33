"""What the FROM clauses of a statement read: relations by name, and what the CTEs among them read in turn."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlglot.tokens import Token, TokenType

from dbt_triton.ddl.calls import Scope
from dbt_triton.ddl.tokens import is_name

#: What a relation's name follows.
_READING = {"FROM", "JOIN", "TABLE"}
#: No relation's name has so many parts; of a longer one the last count.
_MOST_PARTS = 8

Name = tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """A set of relations' names: those of a thousand CTEs that read one another are united at once.

    Args:
        whole: a bit for each name.
        ends: a bit for each name, and for each shorter one that means it too: ``t`` for ``s.t``.
    """

    whole: int = 0
    ends: int = 0

    def __or__(self, other: Names) -> Names:
        return Names(self.whole | other.whole, self.ends | other.ends)

    def meet(self, other: Names) -> bool:
        """Tell whether a name of each may mean the same relation: ``t`` and ``s.t`` do, ``r.t`` and ``s.t`` do not."""
        return bool(self.whole & other.ends or self.ends & other.whole)


@dataclass
class _Visible:
    """The CTEs of one name: where in the text each begins and ends to be seen, what it reads, and the one around."""

    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    reads: list[Names] = field(default_factory=list)
    around: list[int] = field(default_factory=list)

    def add(self, begin: int, end: int, reads: Names) -> None:
        self.around.append(self._find(begin))
        self.begins.append(begin)
        self.ends.append(end)
        self.reads.append(reads)

    def at(self, position: int) -> Names:
        found = self._find(position)
        return self.reads[found] if found >= 0 else Names()

    def _find(self, position: int) -> int:
        """Return the innermost one that is seen at a place, or -1."""
        found = bisect_right(self.begins, position) - 1
        while found >= 0 and self.ends[found] < position:
            found = self.around[found]
        return found


class Reads:
    """The relations that a statement reads, each where it stands; a CTE hides a relation of its name, and reads others.

    Args:
        tokens: of the statement.
        scopes: its WITH clauses.
        closes: for each token, the index of the bracket that closes the group around it, or the number of tokens.
    """

    def __init__(self, tokens: Sequence[Token], scopes: Sequence[Scope], closes: Sequence[int]) -> None:
        self._tokens = tokens
        self._bits: dict[Name, int] = {}
        self._ctes: dict[str, _Visible] = {}
        found = [(at, dotted(tokens, at + 1)) for at, token in enumerate(tokens) if word(token) in _READING]
        self._reads = [(at, name) for at, name in found if name]
        self._places = [at for at, _ in self._reads]
        starts = {token.start: at for at, token in enumerate(tokens)}
        ends = {token.end + 1: at for at, token in enumerate(tokens)}
        ctes = [(cte, closes[starts[scope.ctes[0].span.start]]) for scope in scopes if scope.ctes for cte in scope.ctes]
        # What a CTE reads is complete before it, but for itself.
        for cte, close in sorted(ctes, key=lambda pair: pair[0].span.end):
            reads = self.between(starts[cte.span.start], ends[cte.span.end])
            self._ctes.setdefault(cte.name.lower(), _Visible()).add(ends[cte.span.end], close, reads)

    def between(self, begin: int, end: int) -> Names:
        """Return what stands after FROM, JOIN and TABLE between two tokens, within any parentheses."""
        first, last = bisect_left(self._places, begin), bisect_left(self._places, end)
        names = Names()
        for at, name in self._reads[first:last]:
            names |= self.relation(name, at)
        return names

    def relation(self, name: Name, at: int) -> Names:
        """Return a name at a place, and what it reads, if it is that of a CTE."""
        ctes = self._ctes.get(name[0]) if len(name) == 1 else None
        return self.name(name) | ctes.at(at) if ctes else self.name(name)

    def name(self, name: Name) -> Names:
        """Return a name alone."""
        name = name[-_MOST_PARTS:]
        ends = 0
        for start in range(len(name)):
            ends |= 1 << self._bits.setdefault(name[start:], len(self._bits))
        return Names(1 << self._bits[name], ends)

    def shared(self, names: Names, others: Names) -> Name:
        """Return the first of some names that others meet."""
        return min(
            name for name, bit in list(self._bits.items()) if names.whole >> bit & 1 and self.name(name).meet(others)
        )


def dotted(tokens: Sequence[Token], position: int) -> Name | None:
    """Return the parts of the name that stands at a place, lower-cased."""
    parts: list[str] = []
    while position < len(tokens) and is_name(tokens[position]):
        parts.append(tokens[position].text.lower())
        if position + 1 >= len(tokens) or tokens[position + 1].token_type != TokenType.DOT:
            break
        position += 2
    return tuple(parts) or None


def word(token: Token) -> str:
    """Return the first word of a token in capitals, or nothing for a name in quotes and for a text."""
    if token.token_type in {TokenType.IDENTIFIER, TokenType.STRING}:
        return ""
    return token.text.split(" ", maxsplit=1)[0].upper()
