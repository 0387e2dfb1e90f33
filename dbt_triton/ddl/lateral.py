"""LATERAL ML_PREDICT(TABLE t, …) beside t, which is a cross product.

The TABLE of a call is the whole relation, in Flink as here, wherever the call stands: nothing relates its rows to those
of the same relation beside it. Who writes LATERAL there means one call for each row, and would get every pair of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlglot.tokens import Token, TokenType

from dbt_triton.ddl.calls import Call
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
_LATERAL_AND_PARENTHESIS = 2
#: What a relation's name follows.
_READING = {"FROM", "JOIN", "TABLE"}
_ALWAYS = {("TRUE",), ("(", "TRUE", ")"), ("1", "=", "1"), ("(", "1", "=", "1", ")")}

Name = tuple[str, ...]


@dataclass
class _Item:
    """One relation of a FROM clause, and whether nothing relates it to those before it."""

    begin: int
    unrelated: bool = False
    names: set[Name] = field(default_factory=set)


def beside_itself(tokens: Sequence[Token], first: int, last: int, reads_of: Callable[[Name], set[Name]]) -> Name | None:
    """Return the relation that a LATERAL call and something beside it both read, joined by no condition.

    Args:
        tokens: of the statement.
        first: the index of the first token of the call: LATERAL where it wraps a TABLE(…), else ML_PREDICT.
        last: the index of its last token.
        reads_of: returns what a name stands for, where it is that of a CTE.
    """
    if not (_word(tokens[first]) == "LATERAL" or (first and _word(tokens[first - 1]) == "LATERAL")):
        query = _lateral_query(tokens, first, last)
        if query is None:
            return None
        first, last = query
    begin, end = _clause(tokens, first, last)
    items = _items(tokens, begin, end, first)
    for item in items:
        item.names = {name for read in item.names for name in {read, *reads_of(read)}}
    place = max((number for number, item in enumerate(items) if item.begin <= first), default=0)
    call = items[place]
    for number, other in enumerate(items):
        if number != place and items[max(number, place)].unrelated:
            for name in sorted(call.names):
                if any(_same(name, read) for read in other.names):
                    return name
    return None


def _lateral_query(tokens: Sequence[Token], first: int, last: int) -> tuple[int, int] | None:
    """Return the parentheses of LATERAL (select … from the call) around a call, if nothing in them is a condition."""
    begin, end = _clause(tokens, first, last)
    while begin > 0 and tokens[begin - 1].token_type not in _OPENING:
        begin -= 1
    while end < len(tokens) and tokens[end].token_type not in _CLOSING:
        end += 1
    if begin < _LATERAL_AND_PARENTHESIS or end == len(tokens) or _word(tokens[begin - 2]) != "LATERAL":
        return None
    around = [*tokens[begin:first], *tokens[last + 1 : end]]
    return None if any(_word(token) in _CONDITIONS for token in around) else (begin - 1, end)


def reads(tokens: Sequence[Token]) -> set[Name]:
    """Return the relations that stand after FROM, JOIN and TABLE, lower-cased, within any parentheses."""
    return {
        name
        for position, token in enumerate(tokens)
        if _word(token) in _READING and (name := _dotted(tokens, position + 1))
    }


def _clause(tokens: Sequence[Token], first: int, last: int) -> tuple[int, int]:
    """Return the tokens between FROM, or an open parenthesis, and the end of the clause around a call."""
    begin, depth = first, 0
    while begin > 0:
        before = tokens[begin - 1]
        if depth == 0 and (before.token_type in _OPENING or _word(before) == "FROM"):
            break
        depth += (before.token_type in _CLOSING) - (before.token_type in _OPENING)
        begin -= 1
    end, depth = last + 1, 0
    while end < len(tokens):
        token = tokens[end]
        is_end = token.token_type in _CLOSING or token.token_type == TokenType.SEMICOLON or _word(token) in _ENDS
        if depth == 0 and is_end:
            break
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        end += 1
    return begin, end


def _items(tokens: Sequence[Token], begin: int, end: int, call: int) -> list[_Item]:
    items, depth = [_Item(begin)], 0
    starts = [begin]
    for position in range(begin, end):
        token = tokens[position]
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if depth == 0 and (token.token_type == TokenType.COMMA or _word(token) == "JOIN"):
            items.append(_Item(position + 1))
            starts.append(position)
    for item, start, stop in zip(items, starts, [*starts[1:], end], strict=True):
        while stop > item.begin and _word(tokens[stop - 1]) in _MODIFIERS:
            stop -= 1  # noqa: PLW2901 - those are the next one's
        on = next((at for at in range(item.begin, stop) if _word(tokens[at]) in {"ON", "USING"}), stop)
        item.unrelated = start != begin and _is_unrelated(tokens, start, tokens[on:stop])
        item.names = _names(tokens[item.begin : on], is_call=item.begin <= call < stop)
    return items


def _is_unrelated(tokens: Sequence[Token], connector: int, condition: Sequence[Token]) -> bool:
    if tokens[connector].token_type == TokenType.COMMA:
        return True
    words = set()
    while _word(tokens[connector - 1]) in _MODIFIERS:
        connector -= 1
        words.add(_word(tokens[connector]))
    if words & {"NATURAL", "POSITIONAL"}:
        return False
    return not condition or tuple(token.text.upper() for token in condition[1:]) in _ALWAYS


def _names(item: Sequence[Token], *, is_call: bool) -> set[Name]:
    """Return what an item reads, and its own name: ``t``, ``t as x``, ``(select … from t) as x``."""
    if is_call:
        return reads(item)
    # Two calls side by side are no relation beside a call.
    names = set() if any(_word(token) == "ML_PREDICT" for token in item) else reads(item)
    first = _dotted(item, 0)
    if first:
        names.add(first)
    # The alias, unless the last name is the relation's own.
    if len(item) > 2 * len(first or ()) - 1 and is_name(item[-1]):
        names.add((item[-1].text.lower(),))
    return names


def _dotted(tokens: Sequence[Token], position: int) -> Name | None:
    parts: list[str] = []
    while position < len(tokens) and is_name(tokens[position]):
        parts.append(tokens[position].text.lower())
        if position + 1 >= len(tokens) or tokens[position + 1].token_type != TokenType.DOT:
            break
        position += 2
    return tuple(parts) or None


def _same(name: Name, other: Name) -> bool:
    shared = min(len(name), len(other))
    return name[-shared:] == other[-shared:]


def _word(token: Token) -> str:
    """Return the first word of a token in capitals, or nothing for a name in quotes and for a text."""
    if token.token_type in {TokenType.IDENTIFIER, TokenType.STRING}:
        return ""
    return token.text.split(" ", maxsplit=1)[0].upper()


def refuse_cross_products(tokens: Sequence[Token], calls: Sequence[Call], text: str) -> None:
    """Refuse LATERAL calls beside the relation that they read, joined by no condition.

    Raises:
        SqlSyntaxError: with what to write in place of one.
    """
    starts = {token.start: number for number, token in enumerate(tokens)}
    ends = {token.end + 1: number for number, token in enumerate(tokens)}

    def reads_of(call: Call, name: Name) -> set[Name]:
        """Return what a CTE reads, by way of others, too."""
        ctes = [cte for scope in call.scopes for cte in scope.visible(call.span.start)]
        found: set[Name] = set()
        waiting, seen = [name], set()
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            for cte in ctes:
                if current == (cte.name.lower(),):
                    body = reads(tokens[starts[cte.span.start] : ends[cte.span.end] + 1])
                    found |= body
                    waiting += body
        return found

    for call in calls:
        relation = beside_itself(tokens, starts[call.span.start], ends[call.span.end], partial(reads_of, call))
        if relation:
            table = text[call.operand.start : call.operand.end]
            raise SqlSyntaxError(
                f"LATERAL ML_PREDICT beside {'.'.join(relation)} is a cross product: its TABLE is all of the relation, "
                "in Flink as well, and not the row beside it, so that every row meets every prediction. The call "
                f"returns all columns of its TABLE: write FROM ML_PREDICT(TABLE {table}, …) by itself, or join it by a "
                "condition",
                call.line,
            )
