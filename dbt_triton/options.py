"""The options of an inference model: what ``WITH (…)``, YAML and ``MAP[…]`` may say, and what it means.

Keys are written as users write them (``model-name``). Every problem is reported at once, unknown keys with the
nearest known one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from dbt_triton import flink_options, header_values
from dbt_triton import option_values as read
from dbt_triton.endpoint_value import SEPARATOR, endpoint_text
from dbt_triton.errors import ConfigurationError
from dbt_triton.generation_options import GENERATE_TIMEOUT, TIMEOUT, GenerationOptions
from dbt_triton.option_contradictions import contradictions, is_number
from dbt_triton.option_maps import nearest_by_column
from dbt_triton.option_names import is_like_an_option, is_no_secret, nearest

TENSOR_PREFIX = "tensor."
STUB_PREFIX = "stub."
PAD_PREFIX = "pad."
TRIM_PREFIX = "trim."
MASK_PREFIX = "mask."
ZEROS_PREFIX = "zeros."
SHAPE_PREFIX = "shape."
#: Options whose keys hold the name of a column, or of a tensor, by their field.
PREFIXES = {
    "tensors": TENSOR_PREFIX,
    "stubs": STUB_PREFIX,
    "pads": PAD_PREFIX,
    "trims": TRIM_PREFIX,
    "masks": MASK_PREFIX,
    "zeros": ZEROS_PREFIX,
    "shapes": SHAPE_PREFIX,
}
#: The provider that asks no server.
STUB = "stub"
#: So many unknown keys are told; comparing names costs some time each.
_MOST_TOLD = 20
_MOST_COMPARED = 200
#: Options whose value may be the name of another.
_NAMING = {"model-name", "cache-scope"}
# What a stub need not be told.
_STUB_DEFAULTS = {"endpoint": "http://stub.invalid", "model-name": "stub"}
# How pydantic's sentences begin, and how ours do.
_ADVICE = (
    ("Input should be greater", "write a number greater"),
    ("Input should be less", "write a number less"),
    ("Input should be a valid", "write a"),
    ("Input should be", "write"),
)


Milliseconds = Annotated[float, BeforeValidator(read.milliseconds), Field(ge=1, le=86_400_000)]
#: Flink takes a wait of 0, too.
Wait = Annotated[float, BeforeValidator(read.milliseconds), Field(ge=0, le=86_400_000)]
Flag = Annotated[bool, BeforeValidator(read.boolean)]
Text = Annotated[str, BeforeValidator(read.text_value)]
Columns = Annotated[tuple[str, ...], BeforeValidator(read.columns)]
#: A request of more rows would be held in memory as a whole, several times, and no server is known to take it.
MOST_BATCH_ROWS = 2**20
#: So many requests in flight, each with a connection of its own, are more than any server bears.
MAX_CONCURRENT = 10_000
AutoOrBytes = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(read.auto_or_bytes)]


class Options(GenerationOptions):
    """The validated options of one ML_PREDICT call or inference model.

    ``batch_size``, ``binary_data``, ``max_concurrent_operations`` and ``max_response_bytes`` are None for ``auto``.
    ``batch_tokens`` bounds the rows of a request times its longest row, as `dbt_triton.tensors.lengths` estimates it.
    ``endpoint`` is the server's base URL, without ``/v2``, or those of several with commas. Timeouts and waits are in
    milliseconds; ``timeout`` is that of one attempt as a whole, ``connection_timeout`` of its connection (None: no more
    than the attempt's).
    """

    provider: Annotated[Literal["triton", "stub"], BeforeValidator(read.lower)]
    endpoint: Annotated[str, BeforeValidator(endpoint_text)]
    model_name: Annotated[str, BeforeValidator(read.text_value), BeforeValidator(read.model_name)]
    model_version: Annotated[str, BeforeValidator(read.model_version)] = "latest"
    timeout: Milliseconds = TIMEOUT
    connection_timeout: Milliseconds | None = None
    max_retries: Annotated[int, BeforeValidator(read.integer), Field(ge=0, le=100)] = 3
    retry_initial_backoff: Wait = 100
    retry_max_backoff: Wait = 30_000
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=MOST_BATCH_ROWS)] | None, BeforeValidator(read.auto_or_integer)
    ] = None
    batch_by: Annotated[Literal["length", "none"], BeforeValidator(read.lower)] = "length"
    batch_tokens: Annotated[int, BeforeValidator(read.integer), Field(ge=1)] | None = None
    priority: Annotated[int, BeforeValidator(read.integer), Field(ge=0, le=255)] | None = None
    sequence_id: Text | None = None
    sequence_start: Flag = False
    sequence_end: Flag = False
    sequence_id_auto_increment: Flag = False
    sequence_by: Columns = ()
    order_by: Columns = ()
    binary_data: Annotated[
        bool | None, BeforeValidator(lambda v: None if read.lower(v) == "auto" else read.boolean(v))
    ] = None
    compression: Annotated[Literal["none", "gzip", "deflate"], BeforeValidator(read.lower)] = "none"
    # Whatever prints options, a log or a traceback, prints no secret.
    auth_token: Annotated[str | None, BeforeValidator(header_values.auth_token)] = Field(default=None, repr=False)
    custom_headers: Annotated[dict[str, str], BeforeValidator(header_values.headers)] = Field(
        default_factory=dict, repr=False
    )
    max_concurrent_operations: Annotated[
        Annotated[int, Field(ge=1, le=MAX_CONCURRENT)] | None, BeforeValidator(read.auto_or_integer)
    ] = None
    spark_tasks: Annotated[int, BeforeValidator(read.integer), Field(ge=1, le=MAX_CONCURRENT)] | None = None
    on_error: Annotated[Literal["fail", "null"], BeforeValidator(read.none_is_null), BeforeValidator(read.lower)] = (
        "fail"
    )
    default_value: Annotated[str | None, BeforeValidator(read.scalar_text), BeforeValidator(read.literal_null)] = None
    max_response_bytes: AutoOrBytes = None
    max_error_ratio: Annotated[float, BeforeValidator(read.ratio), Field(ge=0, le=1)] = 1.0
    retry_errors: Flag = False
    circuit_breaker_timeout: Milliseconds = 60_000
    run_timeout: Milliseconds | None = None
    cache: Annotated[Literal["run", "persistent", "off"], BeforeValidator(read.off), BeforeValidator(read.lower)] = (
        "run"
    )
    cache_scope: Annotated[Literal["endpoint", "model"], BeforeValidator(read.lower)] = "endpoint"
    cache_version: Text | None = None
    pad: Annotated[str | None, BeforeValidator(read.scalar_text)] = None
    trim: Flag = True
    null_as: Annotated[Literal["nan"] | None, BeforeValidator(read.lower)] = None
    batch_dim: Flag = False
    classification: Annotated[int, BeforeValidator(read.integer), Field(ge=1)] | None = None
    tls_ca: Text | None = None
    tls_cert: Text | None = None
    tls_key: Text | None = None
    preflight: Flag = True
    sample: Annotated[int, BeforeValidator(read.integer), Field(ge=1)] | None = None
    task: (
        Annotated[
            Literal["classification", "clustering", "embedding", "regression", "text_generation"],
            BeforeValidator(read.lower),
        ]
        | None
    ) = None
    tensors: dict[str, Text] = Field(default_factory=dict)
    shapes: dict[str, Annotated[tuple[int | str, ...], BeforeValidator(read.lengths)]] = Field(default_factory=dict)
    stubs: dict[str, Annotated[list[str], BeforeValidator(read.stub_values)]] = Field(default_factory=dict)
    pads: dict[str, Annotated[str, BeforeValidator(read.scalar_text)]] = Field(default_factory=dict)
    trims: dict[str, Annotated[Text, BeforeValidator(read.scalar_text)]] = Field(default_factory=dict)
    masks: dict[str, Text] = Field(default_factory=dict)
    zeros: dict[str, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        problems = [text for contradiction, text in contradictions(self) if contradiction]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def by_route(self, route: str) -> Self:
        """Return the options with the timeout that suits a route, where none is written."""
        if route != "generate" or "timeout" in self.model_fields_set:
            return self
        return self.model_copy(update={"timeout": GENERATE_TIMEOUT})

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The base URL of each server."""
        return tuple(self.endpoint.split(SEPARATOR))

    def at(self, endpoint: str) -> Self:
        """Return the options for one of the servers."""
        return self if endpoint == self.endpoint else self.model_copy(update={"endpoint": endpoint})

    @property
    def in_sequence(self) -> bool:
        """Whether rows are the steps of one sequence, or of one for each key."""
        return self.sequence_id is not None or bool(self.sequence_by)

    @property
    def wire_sequence_id(self) -> int | str | None:
        """The sequence id as it is sent: a number where it is all digits, since ``"42"`` is not ``42`` to Triton."""
        if self.sequence_id is not None and is_number(self.sequence_id):
            return int(self.sequence_id)
        return self.sequence_id


KEYS: tuple[str, ...] = tuple(str(field.alias) for name, field in Options.model_fields.items() if name not in PREFIXES)


#: Every name that may stand as an option, whatever it does.
NAMES: frozenset[str] = frozenset(KEYS) | flink_options.NAMES


def parse_options(raw: Mapping[str, Any], subject: str) -> Options:
    """Validate options as a user wrote them.

    Args:
        raw: keys as in the option table, values as texts (SQL) or YAML's own types. What `flink_options` knows of other
            systems' options is read, too.
        subject: what the options belong to, for the error.

    Raises:
        ConfigurationError: with one sentence for each problem.
    """
    deep = [key for key, value in raw.items() if read.is_too_deep(value)]
    if deep:
        raise ConfigurationError([f"{key} is nested too deeply" for key in _shown(deep, raw)], subject)
    # An endpoint has a sentence of its own.
    unreadable = [key for key, value in raw.items() if key != "endpoint" and read.is_no_text((key, value))]
    if unreadable:
        problems = [f"{key} holds a NUL or another character that is no text" for key in _shown(unreadable, raw)]
        raise ConfigurationError(problems, subject)
    unknown: list[str] = []
    known: dict[str, Any] = {}
    named: dict[str, dict[str, Any]] = {field: {} for field in PREFIXES}
    for key, value in flink_options.translated(raw).items():
        field = next((field for field, prefix in PREFIXES.items() if key.startswith(prefix)), None)
        if field is not None:
            named[field][key.removeprefix(PREFIXES[field])] = value
        elif key in KEYS:
            known[key] = value
        else:
            unknown.append(key)
    if read.lower(known.get("timeout")) == "auto":
        del known["timeout"]
    problems = [*flink_options.refused(unknown), *_unknown_keys(unknown, raw)]
    if read.lower(known.get("provider")) == STUB:
        known = _STUB_DEFAULTS | known
    options: Options | None = None
    try:
        options = Options.model_validate(known | named)
    except ValidationError as error:
        problems.extend(_sentences(error))
        problems.extend(_contradictions_of_rest(known, error))
    if problems or options is None:
        raise ConfigurationError(problems, subject)
    return options


def _unknown_keys(unknown: Sequence[str], raw: Mapping[str, Any]) -> list[str]:
    """Say which keys are no option: with the nearest one each, and the others once where all are listed."""
    if not unknown:
        return []
    unknown = [key for key in unknown if not flink_options.is_refused(key)]
    foreign = [key for key in unknown if flink_options.is_of_another_provider(key)]
    others = [key for key in unknown if key not in foreign][:_MOST_TOLD]
    problems, strange = [], []
    if foreign:
        named = ", ".join(_shown(foreign[:_MOST_TOLD], raw))
        problems.append(f"{named}: of another provider than Triton, whose models have settings of their own")
    for key, shown in zip(others, _shown(others, raw), strict=True):
        near = nearest_by_column(key) or nearest(key, KEYS)
        if near is None:
            strange.append(shown)
        else:
            problems.append(f"unknown option {shown}; did you mean {near}?")
    if strange:
        many = "s" if len(strange) > 1 else ""
        problems.append(f"unknown option{many} {', '.join(strange)}; docs/options.md lists those that there are")
    return problems


def _shown(keys: Sequence[str], raw: Mapping[str, Any]) -> list[str]:
    """Return keys for an error, but for those that may be values: a map that has lost a text is shifted."""
    texts = (value for name, value in raw.items() if name not in _NAMING and isinstance(value, str) and len(value) > 1)
    is_shifted = any(is_like_an_option(text, NAMES) for text in islice(texts, _MOST_COMPARED))
    return [
        key
        if key in NAMES or (is_no_secret(key, NAMES) and not is_shifted)
        else "(not shown, since it may be a value in the place of its key)"
        for key in keys
    ]


def _contradictions_of_rest(known: Mapping[str, Any], error: ValidationError) -> list[str]:
    """Return the contradictions among the options that are valid; pydantic looks for them only where all are."""
    wrong = {str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]}
    if not wrong:
        return []  # contradictions are all that was found
    required = {"provider": "triton", "endpoint": "http://localhost", "model-name": "any"}
    try:
        Options.model_validate(required | {key: value for key, value in known.items() if key not in wrong})
    except ValidationError as rest:
        # What is said of an option that is wrong itself would follow from its default.
        return [text for text in _sentences(rest) if not any(key in text for key in wrong)]
    return []


def _sentences(error: ValidationError) -> list[str]:
    """Turn pydantic's errors into one sentence each; values are left out, since they may be secrets."""
    sentences = []
    for item in error.errors(include_url=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        key = PREFIXES[key] + str(item["loc"][1]) if key in PREFIXES else key
        text = item["msg"].removeprefix("Value error, ")
        if item["type"] == "missing":
            sentences.append(f"{key} is required")
        elif not key:
            sentences.extend(text.split("\n"))
        else:
            ours = item["type"] == "value_error"
            sentences.append(f"{key}: {text if ours else _as_advice(text)}")
    return sentences


def _as_advice(text: str) -> str:
    """Say what to write, where pydantic says what its input should have been."""
    for begin, words in _ADVICE:
        if text.startswith(begin):
            return words + text.removeprefix(begin)
    return f"{text[0].lower()}{text[1:]}"
