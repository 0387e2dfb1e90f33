r"""How the SQL around a call is written: which quotes are names and which are texts, and what a backslash is.

ML_PREDICT is Flink's in every warehouse; the statement that it stands in is the warehouse's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.spark import Spark


class FlinkOnDuckDB(DuckDB):
    """DuckDB's SQL, with Flink's backticks for identifiers as well."""

    class Tokenizer(DuckDB.Tokenizer):
        """DuckDB's tokenizer with backticks."""

        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ['"', "`"]
        #: Of E'…', as DuckDB's has it: a subclass does not inherit it before sqlglot 30.30.
        BYTE_STRING_ESCAPES: ClassVar[list[str]] = ["'", "\\"]


class FlinkOnSpark(Spark):
    """Spark's SQL, in which a doubled quote within a text is a quote, as in Flink's and in Spark 4."""

    class Tokenizer(Spark.Tokenizer):
        """Spark's tokenizer with doubled quotes."""

        STRING_ESCAPES: ClassVar[list[str]] = ["'", '"', "\\"]


@dataclass(frozen=True)
class Lexis:
    r"""One way to write SQL.

    Args:
        dialect: whose tokenizer reads it.
        double_quotes_name: "x" is a name; else it is a text, and only backticks are around names.
        backslash_escapes: \' within a text is a quote, and r'…' is a text without escapes.
        dollar_quotes: $$…$$ is a text.
    """

    dialect: type[Dialect]
    double_quotes_name: bool
    backslash_escapes: bool
    dollar_quotes: bool

    def quote(self, name: str) -> str:
        """Quote a name."""
        mark = '"' if self.double_quotes_name else "`"
        return mark + name.replace(mark, 2 * mark) + mark


DUCKDB = Lexis(FlinkOnDuckDB, double_quotes_name=True, backslash_escapes=False, dollar_quotes=True)
SPARK = Lexis(FlinkOnSpark, double_quotes_name=False, backslash_escapes=True, dollar_quotes=False)
