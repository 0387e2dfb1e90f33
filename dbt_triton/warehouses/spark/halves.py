"""The FLOAT that rounds to the same 16 bits as a number itself does, as SQL.

The nearest FLOAT may lie halfway between two 16-bit numbers though the number does not. Such a FLOAT has at most 12
significant digits of base 2, which the next one in the direction of the number has not.
"""

from __future__ import annotations

from dbt_triton.warehouses.spark.expressions import Sql, bound, is_finite

#: Multiplied by it and taken apart again, a DOUBLE keeps 12 of its 53 binary digits.
_SPLIT = 2**41 + 1
#: Of a FLOAT, more than half and less than one and a half of the distance to the next.
_STEP = repr(1.5 * 2**-24)
_LEAST = repr(2.0**-149)


def moved_off(near: str, is_below: str, is_above: str) -> str:
    """Return the SQL of a FLOAT, or of its neighbour in the direction of the number that it is not exactly.

    Args:
        near: the name of the nearest FLOAT.
        is_below: the SQL that is true where it is below the number.
        is_above: the same, where it is above.
    """
    wide = f"cast({near} as double)"
    product = f"({wide} * {_SPLIT}D)"
    has_few_digits = f"{product} - ({product} - {wide}) = {wide}"
    step = f"greatest(abs({wide}) * {_STEP}D, {_LEAST}D)"
    return (
        f"case when {is_finite(near, 'FLOAT')} and {has_few_digits} and {is_below} then cast({wide} + {step} as float) "
        f"when {is_finite(near, 'FLOAT')} and {has_few_digits} and {is_above} then cast({wide} - {step} as float) "
        f"else {near} end"
    )


def half_of(x: str, single: Sql, compared: Sql, number: Sql) -> str:
    """Return the SQL of the FLOAT that rounds to 16 bits as a number does.

    Args:
        x: the SQL of the number.
        single: from it, the SQL of the nearest FLOAT.
        compared: from that FLOAT, what is to be compared with the number.
        number: from the number, what that is compared with.
    """

    def off(near: str) -> str:
        return moved_off(near, f"{compared(near)} < {number(x)}", f"{compared(near)} > {number(x)}")

    return bound(single(x), "dbt_triton_single", off)
