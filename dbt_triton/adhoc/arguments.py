"""What the command `dbt-triton predict` takes; light, since every other command reads it, too."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

from dbt_triton.known_names import did_you_mean

#: How a result can be written.
FORMATS = ("table", "json", "jsonl", "csv")
#: What a file can be.
FILE_TYPES = ("csv", "json", "parquet", "text")
#: A number that begins with a minus is a value, and no option.
_NEGATIVE = re.compile(r"-(?:\.?\d[\d_.]*(?:e[+-]?\d+)?|inf(?:inity)?)$", re.IGNORECASE)
_USAGE = """dbt-triton predict MODEL VALUE…             a model of the dbt project
       dbt-triton predict --endpoint URL --model-name NAME VALUE…    no project"""
_DESCRIPTION = """\
Predict at hand, and write nothing to the warehouse.

MODEL is an inference model of the project. A VALUE is a text (each is a row; where INPUT has several columns, they are
one row in its order), column=value for a column of INPUT, or - for one text a line of standard input."""
_EXAMPLES = """\
examples:
  dbt-triton predict sentiment 'What a film.'
  dbt-triton predict iris sepal_length=5.1 sepal_width=3.5
  dbt-triton predict sentiment --file reviews.csv --limit 10 --format json
  dbt-triton predict --endpoint http://localhost:8000 --model-name text-classification 'What a film.'
  cat lines.txt | dbt-triton predict sentiment -

Exit codes: 0 every row is predicted, 1 an error, or rows failed, 2 wrong usage, 130 Ctrl-C."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes beside dbt's own."""
    parser.__class__ = _WithWords
    parser.usage, parser.description, parser.epilog = _USAGE, _DESCRIPTION, _EXAMPLES
    parser.formatter_class = RawDescriptionHelpFormatter
    # Of its own, argparse takes -1e-5 for an option.
    vars(parser)["_negative_number_matcher"] = _NEGATIVE
    parser.add_argument("--file", metavar="FILE", help="rows to predict for: CSV, Parquet, JSON, or one text a line")
    parser.add_argument(
        "--file-type", choices=FILE_TYPES, help="what FILE is, where its name does not say it (- is standard input)"
    )
    parser.add_argument(
        "--descriptor",
        action="append",
        metavar="COLUMN",
        help="columns of the file in the order of INPUT, with commas or repeated (default: those of the same names)",
    )
    parser.add_argument("--limit", type=_count, metavar="ROWS", help="only the first rows")
    parser.add_argument("--format", choices=FORMATS, default="table", help="of the output (default: %(default)s)")
    parser.add_argument("--endpoint", metavar="URL", help="of the server; for a MODEL, in place of its own")
    parser.add_argument("--model-name", metavar="NAME", help="what the server calls the model: no project is needed")
    parser.add_argument(
        "--input", metavar="COLUMNS", help="with --model-name: INPUT, such as 'image BYTES' (default: what is served)"
    )
    parser.add_argument(
        "--output", metavar="COLUMNS", help="with --model-name: OUTPUT, such as 'label STRING' (default: as above)"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="KEY=VALUE",
        help="an option as in WITH (…), which wins over the model's; repeatable",
    )


class _WithWords(ArgumentParser):
    """Lets words stand between options, as in ``predict m --format json 'a text'``; after ``--`` come words only."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as argparse has it
        """Parse; whatever is no option is a word."""
        args = list(args or ())
        end = args.index("--") if "--" in args else len(args)
        parsed, others = super().parse_known_args(args[:end], namespace)
        unknown = [other for other in others if _is_option(other)]
        known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        parsed.words = [other for other in others if not _is_option(other)] + args[end + 1 :]
        if unknown:
            self.error(
                f"{unrecognized(unknown, known)} (a value that begins with a minus goes behind --, or as column=value)"
            )
        if parsed.model_name is None and not parsed.words:
            self.error("name a model of the project, or give --endpoint and --model-name")
        if parsed.model_name is not None and parsed.endpoint is None:
            self.error("--model-name needs --endpoint, the server that has it")
        if parsed.model_name is None and (parsed.input or parsed.output):
            self.error("--input and --output go with --model-name: a model of the project says its own")
        return parsed, []


def unrecognized(unknown: Sequence[str], known: Sequence[str]) -> str:
    """Say which arguments there are not, with what the first may mean; without values, which may be secrets."""
    from dbt_triton.options import KEYS  # noqa: PLC0415 - for an error only, since it takes a while

    options = [one.partition("=")[0] for one in unknown if one.startswith("-")] or list(unknown)
    first = options[0]
    if first.startswith("--") and first.removeprefix("--") in KEYS and "--option" in known:
        near = f"; an option of the model is written --option {first.removeprefix('--')}=…"
    else:
        near = did_you_mean(first, known) if first.startswith("--") else ""
    return f"unrecognized arguments: {' '.join(options)}{near}"


def _is_option(text: str) -> bool:
    return len(text) > 1 and text.startswith("-") and " " not in text and not _NEGATIVE.match(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ArgumentTypeError("write a number from 1")
    return int(text)


def _option(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found or not key.strip():
        # Not shown: it may be a secret.
        raise ArgumentTypeError("write key=value, such as timeout=5s")
    return key.strip(), value
