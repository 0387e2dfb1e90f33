r"""Small pieces of Spark's SQL: patterns, names for values, constants.

No pattern may make Java look at a long text recursively: a stack that overflows ends the executor's task. So every
group that repeats is possessive.
"""

from __future__ import annotations

from collections.abc import Callable

from dbt_triton.warehouses.spark.literals import text_literal

Sql = Callable[[str], str]

#: The end of a text; `$` would match before a line end at the end, too.
END = r"(?![\s\S])"
#: Any character.
ANY = r"[\s\S]"
#: White space at the end. Looked for from its first character on only: from each one, a long run would take a square
#: of its time.
SPACE_AT_END = r"(?<!\s)\s++" + END
#: White space at the beginning.
BEGIN = r"^\s*+"


def bound(value: str, name: str, body: Sql) -> str:
    """Return the SQL of an expression in which a value has a name, so that it is computed once."""
    return f"element_at(transform(array({value}), {name} -> {body(name)}), 1)"


def whole_match(text: str, pattern: str) -> str:
    """Return the SQL that is true where a whole text is of a pattern, but for white space around it."""
    return matches(text, BEGIN + f"(?:{pattern})" + r"\s*+" + END)


def matches(text: str, pattern: str) -> str:
    """Return the SQL that is true where a pattern is found in a text."""
    return f"{text} rlike {text_literal(pattern)}"


def replaced(text: str, pattern: str, by: str = "") -> str:
    """Return the SQL of a text in which every match of a pattern is replaced; `$1` is its first group."""
    return f"regexp_replace({text}, {text_literal(pattern)}, {text_literal(by)})"


def group_of(text: str, pattern: str, group: int) -> str:
    """Return the SQL of what a group of the first match is; of nothing where it is not in it."""
    return f"regexp_extract({text}, {text_literal(pattern)}, {group})"


def constant(number: str, kind: str) -> str:
    """Write a floating-point number."""
    return f"cast('{number}' as {kind})"


def is_finite(x: str, kind: str) -> str:
    """Return the SQL that is true for a number that is no infinity and no NaN, which Spark says is larger than all."""
    return f"abs({x}) < {constant('Infinity', kind)}"
