"""No error repeats what an option holds, however the option is misspelt or misquoted."""

import itertools
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from dbt_triton.ddl import parse_create_model, parse_ml_predict
from dbt_triton.ddl.create_model import definition_from_yaml
from dbt_triton.errors import ConfigurationError, SqlSyntaxError
from dbt_triton.inference_model import InferenceModel
from dbt_triton.options import parse_options

REQUIRED = {"provider": "triton", "endpoint": "http://h", "model-name": "m"}
WITH = ", ".join(f"'{key}' = '{value}'" for key, value in REQUIRED.items())
KEYS = [
    "auth-token",
    "auth_token",
    "Auth-Token",
    "AUTH-TOKEN",
    "auth-tokn",
    "authtoken",
    "token",
    "Authorization",
    "api-key",
    "openai.api-key",
    "custom-headers",
    "custom_headers",
    "headers",
    "timeout",
    "",
    "a b",
    "x.y",
]
SECRETS = [
    "s3cret-t0ken",
    "hunter2",
    "SECRET",
    "correct-horse-battery",
    "my-secret-token",
    "Bearer abcdefgh12345678",
    "eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl",
    "1234567890123",
]
#: An option in WITH: a key and a value, well or badly written. ``{s}`` is the separator, ``=`` or a comma.
WRITTEN = [
    "'{k}' {s} '{v}'",
    "'{k}' {s} \"{v}\"",
    "'{k}' {s} $${v}$$",
    "'{k}' {s} $t${v}$t$",
    "'{k}' {s} {v}",
    "'{k}' {s} `{v}`",
    "'{k}' {s} E'{v}'",
    "'{k}' {s} x'{v}'",
    "'{k}' '{v}'",
    "'{k}' \"{v}\"",
    "'{k}' {v}",
    "'{k}' : '{v}'",
    "'{k}' => '{v}'",
    "'{k}' {s} '{v}",
    "'{k}' {s} '{v}' '{v}'",
    "'{k}' {s} '{v}' {v}",
    "'{k}' {s} '' {v}",
    "'{k}' {s} 'a'{v}'b'",
    "'{k}' {s} {{'{v}'}}",
    "'{k}' {s} MAP['X', '{v}'",
    "'{k}' {s} MAP['{v}']",
    "'{k}' {s} ('{v}')",
    "'{k}' {s} '{v}')",
    "'{k}' {s} '{v}'), ('x' {s} '{v}'",
    "'{k}' {s} '{v}'], {v}",
    "'{k}' {s} '{v}', '{k}' {s} '{v}'",
    "'{k}' {s} '{v}' ; '{v}'",
    "\"{k}\" {s} '{v}'",
    "{k} {s} '{v}'",
    "'{v}' {s} '{k}'",
    "'{v}' '{k}'",
    "\"{v}\" {s} '{k}'",
    "{v} {s} '{k}'",
    "'{v}'",
    "{v}",
    "'{k}' {s} '{v}', '{v}'",
    "'{k}', '{v}', '{v}', 'timeout'",
    "'timeout' {s} '{k}', '{v}' {s} 'max-retries'",
    "'timeout' {s} '{k}', '{v}'",
]
STATEMENTS: dict[str, Callable[[str], object]] = {
    "WITH": lambda option: _defined(f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) WITH ({WITH}, {option})"),
    "WITH first": lambda option: _defined(
        f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING)\nWITH ({option}, {WITH});"
    ),
    "OUTPUT not closed": lambda option: _defined(f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING WITH ({option}))"),
    "no WITH": lambda option: _defined(f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) ({option})"),
    "MAP": lambda option: _called(f"select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(c), MAP[{option}])"),
    "CONFIG": lambda option: _called(
        "select * from ML_PREDICT(CONFIG => MAP['timeout', '1s', "
        f"{option}], INPUT => TABLE t, MODEL => MODEL m, ARGS => DESCRIPTOR(c))"
    ),
    "MAP in parentheses": lambda option: _called(
        f"select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(c), MAP({option}))"
    ),
    "no MAP": lambda option: _called(f"select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(c), [{option}])"),
}


def _defined(text: str) -> object:
    return InferenceModel.from_definition(parse_create_model(text))


def _called(text: str) -> object:
    return [parse_options(REQUIRED | dict(call.config), "m") for call in parse_ml_predict(text).calls]


def _check(read: Callable[[], object], secret: str) -> None:
    """Whatever is read, or an error that has nothing of the secret, not even where it is cut."""
    said = ""
    try:
        read()
    except (SqlSyntaxError, ConfigurationError) as error:
        said = str(error)
        causes = [error.__cause__, None if error.__suppress_context__ else error.__context__]
        said += "".join(str(cause) for cause in causes if cause is not None and not isinstance(cause, ValueError))
    for length in range(min(8, len(secret)), len(secret) + 1):
        assert secret[:length] not in said


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("written", WRITTEN)
def test_statements(statement: str, written: str) -> None:
    """Every spelling of a key, with every mistake of quoting, in every place for options."""
    separator = "=" if "WITH" in statement or "OUTPUT" in statement else ","
    for key, secret in itertools.product(KEYS, SECRETS):
        option = written.replace("{k}", key).replace("{v}", secret).replace("{s}", separator)
        _check(partial(STATEMENTS[statement], option), secret)


HEADERS = [
    '{{"X-Key": "{v}"',
    '{{"X-Key": {v}}}',
    "{{'X-Key': '{v}'}}",
    '{{"X-Key" "{v}"}}',
    '["{v}"]',
    '{{"X-Key": ["{v}"]}}',
    '{{"X-Key": {{"{v}": "{v}"}}}}',
    '{{"{v} {v}": "X-Key"}}',
    '{{"X-Key": "{v}\\n"}}',
    '{{"X-Key": "{v}é"}}',
    '{{"host": "{v}"}}',
    "{v}",
    "X-Key={v}",
    "X-Key:{v},{v}",
    "X-Key:'{v}",
    "X Key:{v}",
    ":{v}",
    "X-Key {v}",
    "-H X-Key: {v}\nX-Other: {v}",
]


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("secret", SECRETS)
def test_headers(headers: str, secret: str) -> None:
    """Headers in a form that is none."""
    text = headers.format(v=secret)
    _check(lambda: parse_options(REQUIRED | {"custom-headers": text}, "m"), secret)
    try:
        value = json.loads(text)
    except ValueError:
        return
    _check(lambda: parse_options(REQUIRED | {"custom-headers": value}, "m"), secret)


YAML: list[dict[str, Any]] = [
    {"{k}": "{v}"},
    {"{k}": ["{v}"]},
    {"{k}": {"{v}": "{v}"}},
    {"{k}": {"value": ["{v}"]}},
    {"{v}": "{k}"},
    {"{v}": None},
    {"{v}": ["{k}"]},
    {"options": {"{k}": "{v}"}},
    {"on-error": "{v}"},
    {"cache": "{v}", "compression": "{v}", "provider": "{v}"},
    {"timeout": "{v}", "max-retries": "{v}", "priority": "{v}", "batch-size": "{v}", "binary-data": "{v}"},
    {"max-error-ratio": "{v}", "retry-max-backoff": "{v}", "connection-timeout": "{v}", "model-version": "{v}"},
    {"auth-token": "{v} {v}"},
    {"auth-token": "{v}é"},
    {"auth-token": "${{v}}"},
    {"input": {"a": "STRING", "{k}": "{v}"}},
    {"output": {"b": "STRING", "{k}": {"x": "{v}"}}},
    {"output": "{v}"},
    {"stub.b": '["{v}"'},
    {"stub.b": "['{v}']"},
]


@pytest.mark.parametrize("written", YAML, ids=str)
def test_yaml(written: dict[str, Any]) -> None:
    """Options in YAML: misspelt, nested, swapped, or among the columns where the indentation is wrong."""
    meta = REQUIRED | {"input": {"a": "STRING"}, "output": {"b": "STRING"}}
    # A column may have any name but an option's; its type is no secret then.
    keys = [key for key in KEYS if "-" in key and key in {"auth-token", "custom-headers", "api-key"}]
    for key, secret in itertools.product(keys if {"input", "output"} & written.keys() else KEYS, SECRETS):
        texts = {"{k}": key, "{v}": secret}
        filled = _filled(written, texts)
        _check(partial(_from_yaml, meta | filled), secret)


def _from_yaml(meta: dict[str, Any]) -> object:
    return InferenceModel.from_definition(definition_from_yaml("m", meta))


def _filled(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {_filled(key, texts): _filled(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, texts) for item in value]
    if isinstance(value, str):
        for mark, text in texts.items():
            value = value.replace(mark, text)
    return value


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            "'auth_token' = \"SECRET\"",
            "expected the value of 'auth_token' in single quotes, found a text in double quotes",
        ),
        ("'auth-token' = $$SECRET$$", "expected the value of 'auth-token' in single quotes, found a text in $"),
        ("'auth-token' 'SECRET'", "expected = after 'auth-token', found a text in single quotes"),
        ("'auth-tokn' = SECRET", "expected the value of 'auth-tokn' in single quotes, found a word"),
        ("'SECRET' = 'auth-token", "a quote or comment is opened here and never closed"),
        ("'SECRET' 'auth-token'", "expected = after an option, found \"'auth-token'\""),
        ("'auth-token' = 123456", "expected the value of 'auth-token' in single quotes, found a number"),
        ("timeout = '1s'", "expected an option in single quotes, found 'timeout'"),
    ],
)
def test_what_is_said_instead(option: str, said: str) -> None:
    """The line, what was expected, what kind of thing was found, and keys that are spelled like an option."""
    with pytest.raises(SqlSyntaxError) as caught:
        parse_create_model(f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING)\nWITH (\n{option})")
    assert str(caught.value) == f"line 3: {said}"
