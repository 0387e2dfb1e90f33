r"""JSON in a text, as SQL: whether a text is one.

Spark's own functions read more than JSON (quotes of one kind, what stands behind the end) and write numbers anew.
"""

from __future__ import annotations

from dbt_triton.warehouses.spark.expressions import END, bound, matches, replaced

_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_SINGLE = r"\\u(?:[0-9abcefABCEF][0-9a-fA-F]|[dD][0-7])[0-9a-fA-F]{2}"
#: A JSON string; an escape that is half a character makes it none.
STRING = rf'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|{_PAIR}|{_SINGLE})*+"'
_VALUE = r"-?+(?:0|[1-9][0-9]*+)(?:[.][0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null"
_INNERMOST = r"\[(?:[SV](?:,[SV])*+)?+\]|\{(?:S:[SV](?:,S:[SV])*+)?+\}"
_SPACE = r"[ \t\n\r]"
_AROUND_SIGNS = rf"{_SPACE}*+([\[\]{{}}:,]){_SPACE}*+"
_AT_THE_ENDS = rf"^{_SPACE}++|{_SPACE}++" + END
#: Arrays and objects within one another.
_MAX_LEVELS = 1000


def is_json(text: str) -> str:
    """Return the SQL that is true where a text is JSON.

    Strings become S and other values V, then every array and object of those V, from the innermost to the outermost.
    """
    # S and V of the text itself would pass for values.
    outside, strings = replaced(text, STRING), replaced(text, STRING, "S")
    dense = replaced(replaced(strings, _VALUE, "V"), _AROUND_SIGNS, "$1")
    form = f"case when {matches(outside, '[SV]')} then '' else {replaced(dense, _AT_THE_ENDS)} end"
    return bound(form, "dbt_triton_form", _is_one_value)


def _is_one_value(form: str) -> str:
    levels = f"least(length({form}) - length(translate({form}, '[{{', '')), {_MAX_LEVELS})"
    reduced = replaced("dbt_triton_left", _INNERMOST, "V")
    left = f"aggregate(sequence(1, {levels}), {form}, (dbt_triton_left, dbt_triton_round) -> {reduced})"
    return f"case when {form} in ('S', 'V') then true when {levels} > 0 then {left} = 'V' else false end"
