"""What the Spark of a session can do, where its versions and settings differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

_TIME_TYPE = "spark.sql.timeType.enabled"


@dataclass(frozen=True)
class Features:
    """What differs.

    Args:
        has_time: it has the type TIME: from 4.1 on, where the session's setting says so.
        checks_utf8: it has ``is_valid_utf8``: from 4.0 on. Before, bytes that are no UTF-8 become other ones in a text.
    """

    has_time: bool = False
    checks_utf8: bool = True

    @classmethod
    def of(cls, spark: Any) -> Self:
        """Ask a session."""
        numbers = re.findall(r"\d+", str(spark.version))[:2]
        version = tuple(int(number) for number in numbers)
        has_time = version >= (4, 1) and str(spark.conf.get(_TIME_TYPE, "false")).lower() == "true"
        return cls(has_time=has_time, checks_utf8=version >= (4, 0))
