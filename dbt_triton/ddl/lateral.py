"""LATERAL ML_PREDICT(TABLE t, …) beside t, which is a cross product.

The TABLE of a call is the whole relation, in Flink as here, wherever the call stands: nothing relates its rows to those
of the same relation beside it. Who writes LATERAL there means one call for each row, and would get every pair of rows.

The tokens are walked a few times in all, and each FROM clause with such a call once, so that a thousand calls take no
more time than their text is long.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot.tokens import Token, TokenType

from dbt_triton.ddl.arguments import FUNCTIONS
from dbt_triton.ddl.calls import Call, Scope
from dbt_triton.ddl.reads import Name, Names, Reads, dotted, word
from dbt_triton.ddl.tokens import is_name
from dbt_triton.errors import SqlSyntaxError

_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
#: What ends a FROM clause, by the first word of the token ("GROUP BY" is one).
_ENDS = {
    *("WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "WINDOW", "QUALIFY", "UNION", "EXCEPT", "INTERSECT"),
    *("SELECT", "SAMPLE"),
}
_MODIFIERS = {"CROSS", "NATURAL", "POSITIONAL", "ASOF", "LEFT", "RIGHT", "FULL", "INNER", "OUTER", "SEMI", "ANTI"}
#: With one of these a query can be related to what stands beside it.
_CONDITIONS = {"WHERE", "ON", "USING", "NATURAL", "HAVING", "QUALIFY"}
_FUNCTIONS = {function.name for function in FUNCTIONS}
_ALWAYS = {("TRUE",), ("(", "TRUE", ")"), ("1", "=", "1"), ("(", "1", "=", "1", ")")}


@dataclass(frozen=True)
class _Item:
    """One relation of a FROM clause, between two tokens, and whether nothing relates it to those before it."""

    begin: int
    end: int
    unrelated: bool


class _Places:
    """Where each token stands: in which group of brackets, and in which FROM clause.

    ``opens`` and ``closes`` are the brackets around a token, -1 and the number of tokens where there are none.
    ``begins`` and ``ends`` are the first token of the clause around it, and the one after its last.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.words = [word(token) for token in tokens]
        self.opens, self.begins = [-1] * len(tokens), [0] * len(tokens)
        self.closes, self.ends = [len(tokens)] * len(tokens), [len(tokens)] * len(tokens)
        self.conditions = [0]
        for name in self.words:
            self.conditions.append(self.conditions[-1] + (name in _CONDITIONS))
        self._walk_on()
        self._walk_back()

    def _walk_on(self) -> None:
        groups, clauses = [-1], [0]
        for at, token in enumerate(self.tokens):
            if token.token_type in _CLOSING and len(groups) > 1:
                groups.pop()
                clauses.pop()
            self.opens[at], self.begins[at] = groups[-1], clauses[-1]
            if token.token_type in _OPENING:
                groups.append(at)
                clauses.append(at + 1)
            elif self.words[at] == "FROM":
                clauses[-1] = at + 1

    def _walk_back(self) -> None:
        groups, clauses = [len(self.tokens)], [len(self.tokens)]
        for at in range(len(self.tokens) - 1, -1, -1):
            token = self.tokens[at]
            if token.token_type in _OPENING and len(groups) > 1:
                groups.pop()
                clauses.pop()
            self.closes[at] = groups[-1]
            if token.token_type == TokenType.SEMICOLON or self.words[at] in _ENDS:
                clauses[-1] = at
            self.ends[at] = clauses[-1]
            if token.token_type in _CLOSING:
                self.ends[at] = at
                groups.append(at)
                clauses.append(at)

    def clause(self, first: int, last: int) -> tuple[int, int]:
        """Return the tokens between FROM, or an open bracket, and the end of the clause around some tokens."""
        return self.begins[first], self.ends[last + 1] if last + 1 < len(self.tokens) else len(self.tokens)

    def lateral(self, first: int, last: int) -> int | None:
        """Return where the item of a call that is LATERAL begins: at the call, or at a query that is LATERAL."""
        if self.words[first] == "LATERAL" or (first and self.words[first - 1] == "LATERAL"):
            return first
        before, after = self.opens[first], self.closes[first]
        if before < 1 or self.words[before - 1] != "LATERAL":
            return None
        conditions = self.conditions[first] - self.conditions[before]
        conditions += self.conditions[after] - self.conditions[last + 1]
        return None if conditions else before

    def items(self, begin: int, end: int) -> list[_Item]:
        """Return the relations of the FROM clause between two tokens."""
        starts, conditions, depth = [begin], [end], 0
        for at in range(begin, end):
            token = self.tokens[at]
            depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
            if depth == 0 and (token.token_type == TokenType.COMMA or self.words[at] == "JOIN"):
                starts.append(at)
                conditions.append(end)
            elif depth == 0 and self.words[at] in {"ON", "USING"}:
                conditions[-1] = min(conditions[-1], at)
        items: list[_Item] = []
        for start, condition, following in zip(starts, conditions, [*starts[1:], end], strict=True):
            first, stop = (start + 1 if items else start), following
            while stop > first and self.words[stop - 1] in _MODIFIERS:
                stop -= 1  # those are the next one's
            unrelated = bool(items) and self._is_unrelated(start, self.tokens[condition:stop])
            items.append(_Item(first, min(condition, stop), unrelated))
        return items

    def _is_unrelated(self, connector: int, condition: Sequence[Token]) -> bool:
        if self.tokens[connector].token_type == TokenType.COMMA:
            return True
        words = set()
        while connector and self.words[connector - 1] in _MODIFIERS:
            connector -= 1
            words.add(self.words[connector])
        if words & {"NATURAL", "POSITIONAL"}:
            return False
        return not condition or tuple(token.text.upper() for token in condition[1:]) in _ALWAYS


class _Clause:
    """One FROM clause and what its items read."""

    def __init__(self, places: _Places, reads: Reads, begin: int, end: int) -> None:
        self._places = places
        self._reads = reads
        self._items = places.items(begin, end)
        self._begins = [item.begin for item in self._items]

    def beside_themselves(self, calls: Sequence[int]) -> dict[int, Name]:
        """Return the relations that calls and something beside them both read, joined by no condition.

        Args:
            calls: the first token of each.
        """
        numbers = {call: max(bisect_right(self._begins, call) - 1, 0) for call in calls}
        own = {number: self._of_call(self._items[number]) for number in numbers.values()}
        others = [self._beside_call(item) for item in self._items]
        beside = dict.fromkeys(own, Names())
        before = Names()
        for number, item in enumerate(self._items):
            if number in own and item.unrelated:
                beside[number] |= before
            before |= others[number]
        after = Names()
        for number in range(len(self._items) - 1, -1, -1):
            if number in own:
                beside[number] |= after
            if self._items[number].unrelated:
                after |= others[number]
        found = {number for number in own if own[number].meet(beside[number])}
        return {
            call: self._reads.shared(own[number], beside[number]) for call, number in numbers.items() if number in found
        }

    def _of_call(self, item: _Item) -> Names:
        return self._reads.between(item.begin, item.end)

    def _beside_call(self, item: _Item) -> Names:
        """Return what an item reads, and its own name: ``t``, ``t as x``, ``(select … from t) as x``."""
        tokens, words = self._places.tokens, self._places.words
        first = dotted(tokens[item.begin : item.end], 0)
        # Two calls side by side are no relation beside a call.
        is_call = not _FUNCTIONS.isdisjoint(words[item.begin : item.end])
        names = Names() if is_call else self._reads.between(item.begin, item.end)
        if first:
            names |= self._reads.relation(first, item.begin)
        # The alias, unless the last name is the relation's own.
        if item.end - item.begin > max(2 * len(first or ()) - 1, 0) and is_name(tokens[item.end - 1]):
            names |= self._reads.name((tokens[item.end - 1].text.lower(),))
        return names


def refuse_cross_products(tokens: Sequence[Token], calls: Sequence[Call], scopes: Sequence[Scope], text: str) -> None:
    """Refuse LATERAL calls beside the relation that they read, joined by no condition.

    Args:
        tokens: of the statement.
        calls: all of them.
        scopes: all of its WITH clauses.
        text: of the statement.

    Raises:
        SqlSyntaxError: with what to write in place of one.
    """
    places = _Places(tokens)
    starts = {token.start: number for number, token in enumerate(tokens)}
    ends = {token.end + 1: number for number, token in enumerate(tokens)}
    clauses: dict[tuple[int, int], list[int]] = {}
    laterals: dict[int, Call] = {}
    for call in calls:
        first, last = starts[call.span.start], ends[call.span.end]
        item = places.lateral(first, last)
        if item is not None:
            clauses.setdefault(places.clause(item, last if item == first else places.closes[first]), []).append(item)
            laterals.setdefault(item, call)
    if not laterals:
        return
    reads = Reads(tokens, scopes, places.closes)
    for (begin, end), items in clauses.items():
        for item, relation in _Clause(places, reads, begin, end).beside_themselves(items).items():
            call = laterals[item]
            table = text[call.operand.start : call.operand.end]
            raise SqlSyntaxError(
                f"LATERAL ML_PREDICT beside {'.'.join(relation)} is a cross product: its TABLE is all of the relation, "
                "in Flink as well, and not the row beside it, so that every row meets every prediction. The call "
                f"returns all columns of its TABLE: write FROM ML_PREDICT(TABLE {table}, …) by itself, or join it by a "
                "condition",
                call.line,
            )
