r"""Names and values as SQL that Spark reads as nothing else, whatever its settings.

Spark replaces `${…}` anywhere in the text of a statement by a setting or by a variable of the environment, and what a
backslash means depends on ``spark.sql.parser.escapedStringLiterals``. So a text with more than harmless characters is
written by its bytes.
"""

from __future__ import annotations

import re

from dbt_triton.errors import DbtTritonError

# A `$` is not among them, nor what ends a literal, escapes, or is no printable ASCII.
_PLAIN = re.compile(r"[ !#%&(-\[\]-~\"]*")


def quote(identifier: str) -> str:
    """Quote an identifier.

    Raises:
        DbtTritonError: Spark would replace a part of it by one of its settings.
    """
    if "${" in identifier:
        raise DbtTritonError(
            f"the name {identifier} has ${{ in it, which Spark replaces by one of its settings wherever it stands; "
            "give the column another name"
        )
    return "`" + identifier.replace("`", "``") + "`"


def text_literal(text: str) -> str:
    """Write a text as SQL of type STRING."""
    return f"'{text}'" if _PLAIN.fullmatch(text) else f"cast({bytes_literal(text.encode())} as string)"


def bytes_literal(data: bytes) -> str:
    """Write bytes as SQL of type BINARY."""
    return f"X'{data.hex().upper()}'"
