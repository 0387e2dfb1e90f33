"""The options of an inference model: what ``WITH (…)``, YAML and ``MAP[…]`` may say, and what it means.

Keys are written as users write them (``model-name``). Every problem is reported at once, unknown keys with the
nearest known one.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dbt_triton.errors import ConfigurationError

TENSOR_PREFIX = "tensor."
STUB_PREFIX = "stub."
#: The provider that asks no server.
STUB = "stub"
# What a stub need not be told.
_STUB_DEFAULTS = {"endpoint": "http://stub.invalid", "model-name": "stub"}
MAX_UINT64 = 2**64 - 1
#: Triton answers 501 to a longer one (triton 2.51, measured).
MAX_SEQUENCE_ID_LENGTH = 128

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h)?\s*$", re.IGNORECASE)
_MILLISECONDS = {"ms": 1, "s": 1000, "sec": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
# Triton does not decode %-escapes (measured), so a name is sent as it is: RFC 3986's pchar without "%".
_PATH_SEGMENT = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: What the value of a header cannot carry (RFC 9110, 5.5: anything but ASCII is history, and clients refuse it).
NOT_IN_HEADERS = re.compile(r"[^\t\x20-\x7e]")
_OWN_HEADERS = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "inference-header-content-length",
    "transfer-encoding",
}


def _milliseconds(value: object) -> object:
    """Read a duration: a bare number is milliseconds, ``10s`` has a unit."""
    match = _DURATION.match(str(value))
    if isinstance(value, bool) or not match:
        raise ValueError("write a duration such as 10000 (milliseconds), 500ms, 10s or 2min")
    return float(match[1]) * _MILLISECONDS[(match[2] or "ms").lower()]


def _boolean(value: object) -> object:
    """Read a boolean, as YAML's own or as SQL text; no 1, 0, yes or no, as in Flink."""
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("write true or false")


def _text(value: object) -> object:
    """Let YAML's numbers stand where a text is wanted (``model-version: 1``)."""
    if value == "":
        raise ValueError("it is empty")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _auto_or_integer(value: object) -> object:
    """Read ``auto`` as None."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    return _integer(value)


def _integer(value: object) -> object:
    if isinstance(value, bool) or not re.fullmatch(r"\s*[+-]?\d+\s*", str(value)):
        raise ValueError("write a whole number")
    return int(str(value))


def _none_is_null(value: object) -> object:
    """Read YAML's bare ``null`` as the word."""
    return "null" if value is None else value


def _off(value: object) -> object:
    """Read YAML's bare ``off``, which is false there."""
    return "off" if value is False else value


def _ratio(value: object) -> object:
    try:
        return float(str(value))
    except ValueError:
        raise ValueError("write a number from 0 to 1") from None


def _scalar_text(value: object) -> object:
    """Write YAML's booleans as SQL does; the text, perhaps empty, is cast to the type of the OUTPUT column."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if value == "" else _text(value)


def _stub_values(value: object) -> object:
    """Read the values that a stub chooses from: one, a JSON array, or YAML's own list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"write one value, or a JSON array of values ({error})") from None
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("write at least one value")
    return [item if isinstance(item, str) else json.dumps(item) for item in values]


def _columns(value: object) -> object:
    """Read column names: a text with commas, or YAML's list. ``a desc`` orders the other way round."""
    names = value if isinstance(value, list | tuple) else str(value).split(",")
    columns = [str(name).strip() for name in names]
    if not all(columns):
        raise ValueError("write a column, or several with commas between them")
    return columns


def _base_url(value: object) -> object:
    """Reduce an endpoint to what stands before ``/v2``."""
    text = str(value).strip()
    parts = urlsplit(text)
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise ValueError("write http(s)://host[:port], with or without /v2 or /v2/models")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"the port is not usable: {error}") from None
    if port == 0:
        raise ValueError("the port must be between 1 and 65535")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a user name or password does not belong here; use auth-token or custom-headers")
    if parts.query or parts.fragment:
        raise ValueError("a query or fragment does not belong here")
    path = re.sub(r"/v2(/models)?$", "", parts.path.rstrip("/"))
    if "/v2/models/" in parts.path.rstrip("/") + "/" and path.count("/v2/models"):
        raise ValueError("name the server only; the model goes into model-name")
    return f"{parts.scheme.lower()}://{parts.netloc}{path}"


def _model_name(value: object) -> object:
    text = str(value)
    if not _PATH_SEGMENT.fullmatch(text) or text in {".", ".."}:
        raise ValueError(
            "Triton reads the name from the URL and does not decode %-escapes, so it may hold only letters, "
            "digits and -._~!$&'()*+,;=:@"
        )
    return text


def _model_version(value: object) -> object:
    text = str(value).strip().lower()
    if text == "latest":
        return text
    if isinstance(value, bool) or not re.fullmatch(r"\d+", text) or int(text) == 0:
        raise ValueError("write latest, or a version number from 1")
    return str(int(text))


def _headers(value: object) -> object:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"write a JSON object of names and values ({error})") from None
    if not isinstance(value, Mapping):
        raise ValueError('write a JSON object such as {"X-Team": "reviews"}, or a YAML map')  # noqa: TRY004
    headers = {}
    for name, content in value.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name} is set by dbt-triton itself")
        if isinstance(content, bool | list | dict) or content is None:
            raise ValueError(f"the value of {name} must be a text")
        if NOT_IN_HEADERS.search(str(content)):
            raise ValueError(f"the value of {name} holds a control character, or one that is not ASCII")
        headers[name] = str(content)
    return headers


def _auth_token(value: object) -> object:
    """Drop ``Bearer``: it is added once, however the token was written."""
    text = re.sub(r"^bearer(\s+|$)", "", str(value).strip(), flags=re.IGNORECASE)
    if not text:
        raise ValueError("the token is empty")
    if re.search(r"[^\x21-\x7e]", text):
        raise ValueError("the token holds white space, a control character, or one that is not ASCII")
    return text


Milliseconds = Annotated[float, BeforeValidator(_milliseconds), Field(ge=1, le=86_400_000)]
Flag = Annotated[bool, BeforeValidator(_boolean)]
Text = Annotated[str, BeforeValidator(_text)]
Columns = Annotated[tuple[str, ...], BeforeValidator(_columns)]
AutoOrCount = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_auto_or_integer)]


class Options(BaseModel):
    """The validated options of one ML_PREDICT call or inference model.

    ``batch_size``, ``binary_data`` and ``max_concurrent_operations`` are None for ``auto``. ``endpoint`` is the
    server's base URL, without ``/v2``. Timeouts are in milliseconds; ``timeout`` is that of one attempt as a whole.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
    )

    provider: Annotated[Literal["triton", "stub"], BeforeValidator(_lower)]
    endpoint: Annotated[str, BeforeValidator(_base_url)]
    model_name: Annotated[str, BeforeValidator(_text), BeforeValidator(_model_name)]
    model_version: Annotated[str, BeforeValidator(_model_version)] = "latest"
    timeout: Milliseconds = 30_000
    max_retries: Annotated[int, BeforeValidator(_integer), Field(ge=0, le=100)] = 3
    batch_size: AutoOrCount = None
    priority: Annotated[int, BeforeValidator(_integer), Field(ge=0, le=255)] | None = None
    sequence_id: Text | None = None
    sequence_start: Flag = False
    sequence_end: Flag = False
    sequence_by: Columns = ()
    order_by: Columns = ()
    binary_data: Annotated[bool | None, BeforeValidator(lambda v: None if _lower(v) == "auto" else _boolean(v))] = None
    compression: Annotated[Literal["none", "gzip", "deflate"], BeforeValidator(_lower)] = "none"
    # Whatever prints options, a log or a traceback, prints no secret.
    auth_token: Annotated[str | None, BeforeValidator(_auth_token)] = Field(default=None, repr=False)
    custom_headers: Annotated[dict[str, str], BeforeValidator(_headers)] = Field(default_factory=dict, repr=False)
    max_concurrent_operations: AutoOrCount = None
    on_error: Annotated[Literal["fail", "null"], BeforeValidator(_none_is_null), BeforeValidator(_lower)] = "fail"
    default_value: Annotated[str | None, BeforeValidator(_scalar_text)] = None
    max_error_ratio: Annotated[float, BeforeValidator(_ratio), Field(ge=0, le=1)] = 1.0
    retry_errors: Flag = False
    circuit_breaker_timeout: Milliseconds = 60_000
    run_timeout: Milliseconds | None = None
    cache: Annotated[Literal["run", "persistent", "off"], BeforeValidator(_off), BeforeValidator(_lower)] = "run"
    pad: Annotated[str | None, BeforeValidator(_scalar_text)] = None
    batch_dim: Flag = False
    classification: Annotated[int, BeforeValidator(_integer), Field(ge=1)] | None = None
    tls_ca: Text | None = None
    tls_cert: Text | None = None
    tls_key: Text | None = None
    preflight: Flag = True
    sample: Annotated[int, BeforeValidator(_integer), Field(ge=1)] | None = None
    tensors: dict[str, str] = Field(default_factory=dict)
    stubs: dict[str, Annotated[list[str], BeforeValidator(_stub_values)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        problems = [text for contradiction, text in self._contradictions() if contradiction]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _contradictions(self) -> list[tuple[bool, str]]:
        sequence, token = self.sequence_id, self.auth_token
        headers = {name.lower() for name in self.custom_headers}
        return [
            (self.sequence_start and sequence is None, "sequence-start needs a sequence-id"),
            (self.sequence_end and sequence is None, "sequence-end needs a sequence-id"),
            (
                sequence is not None and (self.batch_size or 1) > 1,
                "batch-size must be 1 with a sequence-id: Triton's sequence batcher takes one row a request",
            ),
            (
                sequence is not None and (self.max_concurrent_operations or 1) > 1,
                "max-concurrent-operations must be 1 with a sequence-id: the rows of a sequence go in order",
            ),
            (
                sequence is not None and len(sequence) > MAX_SEQUENCE_ID_LENGTH,
                f"sequence-id may have at most {MAX_SEQUENCE_ID_LENGTH} characters",
            ),
            (
                sequence is not None and sequence.isdigit() and not 0 < int(sequence) <= MAX_UINT64,
                "sequence-id, where it is a number, must be between 1 and 2^64-1",
            ),
            (
                sequence is not None and bool(self.sequence_by),
                "sequence-id and sequence-by contradict each other: the rows are one sequence, or one for each key",
            ),
            (bool(self.order_by) and not self.sequence_by, "order-by needs a sequence-by"),
            (
                bool(self.sequence_by) and (self.sequence_start or self.sequence_end),
                "sequence-start and sequence-end must be left alone with sequence-by, which sets them for each key",
            ),
            (
                bool(self.sequence_by) and (self.batch_size or 1) > 1,
                "batch-size must be 1 with sequence-by: Triton's sequence batcher takes one row a request",
            ),
            (
                bool(self.sequence_by) and self.cache == "persistent",
                "cache must be left alone with sequence-by: a sequence is whole or it is nothing",
            ),
            (
                self.default_value is not None and self.on_error != "null",
                "default-value needs 'on-error' = 'null'",
            ),
            (
                self.max_error_ratio < 1 and self.on_error != "null",
                "max-error-ratio needs 'on-error' = 'null'; with fail, any failed row fails the build",
            ),
            (
                sequence is not None and (self.on_error == "null" or self.cache == "persistent"),
                "on-error and cache must be left alone with a sequence-id: a sequence is whole or it is nothing",
            ),
            (
                token is not None and "authorization" in headers,
                "auth-token and an Authorization in custom-headers contradict each other",
            ),
            ((self.tls_cert is None) != (self.tls_key is None), "tls-cert and tls-key go together"),
            (
                any((self.tls_ca, self.tls_cert)) and self.endpoint.startswith("http:"),
                "tls-ca, tls-cert and tls-key need an https endpoint",
            ),
        ]

    @property
    def in_sequence(self) -> bool:
        """Whether rows are the steps of one sequence, or of one for each key."""
        return self.sequence_id is not None or bool(self.sequence_by)

    @property
    def wire_sequence_id(self) -> int | str | None:
        """The sequence id as it is sent: a number where it is all digits, since ``"42"`` is not ``42`` to Triton."""
        if self.sequence_id is not None and self.sequence_id.isdigit():
            return int(self.sequence_id)
        return self.sequence_id


# Options whose keys hold the name of a column.
_BY_COLUMN = {"tensors", "stubs"}
KEYS: tuple[str, ...] = tuple(
    str(field.alias) for name, field in Options.model_fields.items() if name not in _BY_COLUMN
)


def parse_options(raw: Mapping[str, Any], subject: str) -> Options:
    """Validate options as a user wrote them.

    Args:
        raw: keys as in the option table, values as texts (SQL) or YAML's own types.
        subject: what the options belong to, for the error.

    Raises:
        ConfigurationError: with one sentence for each problem.
    """
    problems: list[str] = []
    known: dict[str, Any] = {}
    tensors: dict[str, str] = {}
    stubs: dict[str, Any] = {}
    for key, value in raw.items():
        if key.startswith(TENSOR_PREFIX):
            tensors[key.removeprefix(TENSOR_PREFIX)] = str(value)
        elif key.startswith(STUB_PREFIX):
            stubs[key.removeprefix(STUB_PREFIX)] = value
        elif key in KEYS:
            known[key] = value
        else:
            problems.append(_unknown_key(key))
    if _lower(known.get("provider")) == STUB:
        known = _STUB_DEFAULTS | known
    options: Options | None = None
    try:
        options = Options.model_validate(known | {"tensors": tensors, "stubs": stubs})
    except ValidationError as error:
        problems.extend(_sentences(error))
        problems.extend(_contradictions_of_rest(known, error))
    if problems or options is None:
        raise ConfigurationError(problems, subject)
    return options


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(key.lower().replace("_", "-"), KEYS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; known options are {', '.join(KEYS)}"
    return f"unknown option {key}{hint}"


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
        text = item["msg"].removeprefix("Value error, ")
        if item["type"] == "missing":
            sentences.append(f"{key} is required")
        elif not key:
            sentences.extend(text.split("\n"))
        else:
            ours = item["type"] == "value_error"
            sentences.append(f"{key}: {text}" if ours else f"{key}: {text[0].lower()}{text[1:]}")
    return sentences
