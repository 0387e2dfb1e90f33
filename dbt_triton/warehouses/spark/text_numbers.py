r"""From a text to a number, as SQL: exactly what the text says, or NULL; in the spellings that DuckDB reads.

What is a number is decided by a pattern, since Spark's own casts know other spellings (`1d`), round (`2.5` to 3) and
cut.
"""

from __future__ import annotations

from dbt_triton.tensors.sql_types import INTEGER_BITS
from dbt_triton.warehouses.spark.expressions import bound, constant, group_of, is_finite, replaced, whole_match

#: Digits, with single underscores between them.
_DIGITS = "[0-9]++(?:_[0-9]++)*+"
NUMBER = rf"[+-]?(?:{_DIGITS}(?:[.](?:{_DIGITS})?+)?+|[.]{_DIGITS})(?:[eE][+-]?{_DIGITS})?+"
_HEXADECIMAL = r"0[xX]([0-9a-fA-F]++(?:_[0-9a-fA-F]++)*+)"
_BINARY = r"0[bB]([01]++(?:_[01]++)*+)"
_SPECIAL = r"[+-]?+(?i:nan|inf|infinity)"
#: What counts for nothing in a number.
_NO_PART = r"[_\s]"
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")
#: A number whose point is further away is 0, or too large for every DECIMAL.
_MAX_POINT = 400
_MAX_PRECISION = 38


def boolean_of_text(text: str) -> str:
    """Return the SQL of a BOOLEAN: a few words, and nothing else."""
    true, false = (", ".join(f"'{word}'" for word in words) for words in (_TRUE, _FALSE))
    return f"case when lower({text}) in ({true}) then true when lower({text}) in ({false}) then false end"


def integer_of_text(text: str, kind: str) -> str:
    """Return the SQL of an integer; `1e2` and `2.0` are integers, `2.5` is none."""
    coded = "".join(
        f"when {whole_match(text, pattern)} then {_coded(text, pattern, base)} "
        for pattern, base in ((_HEXADECIMAL, 16), (_BINARY, 2))
    )
    written = _written_out(text, _MAX_PRECISION, 0)
    number = f"case when {whole_match(text, NUMBER)} then {written} {coded}end"
    return bound(number, "dbt_triton_whole", lambda x: integer_in_range(x, kind))


def _coded(text: str, pattern: str, base: int) -> str:
    """Return the SQL of a number in another base; of at most 64 bits, since `conv` knows no more."""
    digits = replaced(group_of(text, pattern, 1), "^[0_]*+|_")
    length = 64 // (base.bit_length() - 1)

    def number(x: str) -> str:
        return f"case when length({x}) <= {length} then cast(conv(concat('0', {x}), {base}, 10) as DECIMAL(38,0)) end"

    return bound(digits, "dbt_triton_digits", number)


def integer_in_range(x: str, kind: str) -> str:
    """Return the SQL of a whole number as a declared type of integers; NULL where it is too large."""
    signed, bits = INTEGER_BITS[kind]
    if signed:
        return f"try_cast({x} as {_SIGNED[bits]})"
    return f"case when {x} between 0 and {2**bits - 1} then try_cast({x} as {_UNSIGNED[bits]}) end"


_SIGNED = {8: "TINYINT", 16: "SMALLINT", 32: "INT", 64: "BIGINT"}
_UNSIGNED = {8: "SMALLINT", 16: "INT", 32: "BIGINT", 64: "DECIMAL(20,0)"}


def decimal_of_text(text: str, precision: int, scale: int) -> str:
    """Return the SQL of a DECIMAL; zeros at the end do not count."""
    return f"case when {whole_match(text, NUMBER)} then {_written_out(text, precision, scale)} end"


def _written_out(text: str, precision: int, scale: int) -> str:
    """Return the SQL of the number in a text of the pattern: a DECIMAL, NULL where it has more digits than that.

    Its digits without zeros at the end, and where the point stands among them, say how many are behind the point.
    """
    clean, whole, fraction, power = "dbt_triton_text", "dbt_triton_before", "dbt_triton_behind", "dbt_triton_power"
    kind = f"DECIMAL({precision},{scale})"

    def read(digits: str, point: str) -> str:
        sign = f"case when {clean} like '-%' then '-' else '' end"
        exponent = f"cast({point} - length({digits}) as string)"
        fits = f"{point} between {-_MAX_POINT} and {_MAX_POINT} and length({digits}) - {point} <= {scale}"
        number = f"try_cast(concat({sign}, {digits}, 'E', {exponent}) as {kind})"
        return f"case when {digits} = '' then try_cast('0' as {kind}) when {fits} then {number} end"

    def of_parts(before: str, behind: str, exponent: str) -> str:
        # Zeros in front count for nothing; those behind neither, once the point is known.
        point = f"cast(length({before}) as bigint) + {exponent}"
        digits = f"trim(trailing '0' from concat({before}, {behind}))"
        return bound(point, "dbt_triton_point", lambda p: bound(digits, "dbt_triton_digits", lambda d: read(d, p)))

    exponent = group_of(clean, "[eE](.*)", 1)
    exponent = f"case when {exponent} = '' then 0 else try_cast({exponent} as int) end"
    parts = bound(exponent, power, lambda e: of_parts(whole, fraction, e))
    parts = bound(group_of(clean, "[.]([0-9]*+)", 1), fraction, lambda _: parts)
    parts = bound(group_of(clean, "^[+-]?+0*+([0-9]*+)", 1), whole, lambda _: parts)
    return bound(replaced(text, _NO_PART), clean, lambda _: parts)


def float_of_text(text: str, kind: str) -> str:
    """Return the SQL of the nearest FLOAT or DOUBLE; what is too large is none."""
    number = f"try_cast({replaced(text, _NO_PART)} as {kind})"
    finite = bound(number, "dbt_triton_near", lambda x: f"case when {is_finite(x, kind)} then {x} end")
    word = replaced(f"lower({text})", r"[+\s]")
    word = (
        f"case when {word} like '%nan' then {constant('NaN', kind)} "
        f"when {word} like '-%' then {constant('-Infinity', kind)} else {constant('Infinity', kind)} end"
    )
    return f"case when {whole_match(text, NUMBER)} then {finite} when {whole_match(text, _SPECIAL)} then {word} end"
