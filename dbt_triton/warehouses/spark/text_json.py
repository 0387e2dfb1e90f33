r"""JSON in a text, as SQL: whether a text is one.

Spark's own functions read more than JSON (quotes of one kind, what stands behind the end) and write numbers anew.
"""

from __future__ import annotations

from dbt_triton.warehouses.spark.expressions import bound, matches, replaced

_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_SINGLE = r"\\u(?:[0-9abcefABCEF][0-9a-fA-F]|[dD][0-7])[0-9a-fA-F]{2}"
#: A JSON string; an escape that is half a character makes it none.
STRING = rf'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|{_PAIR}|{_SINGLE})*+"'
_VALUE = r"-?+(?:0|[1-9][0-9]*+)(?:[.][0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null"
_INNERMOST = r"\[(?:[SV](?:,[SV])*+)?+\]|\{(?:S:[SV](?:,S:[SV])*+)?+\}"
_SPACE = r"[ \t\n\r]"
#: Each run of white space is looked at once, not from each of its characters on.
_BEFORE_SIGNS = rf"(?<!{_SPACE}){_SPACE}++(?=[\[\]{{}}:,]|(?![\s\S]))"
_AFTER_SIGNS = rf"(?:^|(?<=[\[\]{{}}:,])){_SPACE}++"
#: Arrays and objects within one another.
_MAX_LEVELS = 1000


def is_json(text: str) -> str:
    """Return the SQL that is true where a text is JSON.

    Strings become S and other values V, then every array and object of those V, from the innermost to the outermost.
    """
    # S and V of the text itself would pass for values.
    outside, strings = replaced(text, STRING), replaced(text, STRING, "S")
    dense = replaced(replaced(replaced(strings, _VALUE, "V"), _BEFORE_SIGNS), _AFTER_SIGNS)
    form = f"case when {matches(outside, '[SV]')} then '' else {dense} end"
    return bound(form, "dbt_triton_form", _is_one_value)


def _is_one_value(form: str) -> str:
    # What opens and does not close would take as many rounds as it opens.
    closed = " and ".join(
        f"{_count(form, opening)} = {_count(form, closing)}" for opening, closing in (("[", "]"), ("{", "}"))
    )
    levels = f"least({_count(form, '[')} + {_count(form, '{')}, {_MAX_LEVELS})"
    reduced = replaced("dbt_triton_left", _INNERMOST, "V")
    left = f"aggregate(sequence(1, {levels}), {form}, (dbt_triton_left, dbt_triton_round) -> {reduced})"
    return f"case when {form} in ('S', 'V') then true when {levels} > 0 and {closed} then {left} = 'V' else false end"


def _count(form: str, sign: str) -> str:
    return f"(length({form}) - length(replace({form}, '{sign}', '')))"
