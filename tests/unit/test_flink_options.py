"""Every option that a Flink takes, as it is written there."""

import json
from typing import Any

import pytest
from support.session import Session, StepError
from unit.http_server import Answer

from dbt_triton.ddl import parse_create_model, parse_ml_predict
from dbt_triton.ddl.create_model import definition_from_yaml
from dbt_triton.engine.source import Request, SequenceMarker
from dbt_triton.errors import ConfigurationError, SqlSyntaxError
from dbt_triton.flink_options import NOT_NEEDED, RENAMED, reasons_not_needed
from dbt_triton.inference_model import InferenceModel, model_from_row
from dbt_triton.inference_model.row import metadata_row
from dbt_triton.options import Options, parse_options

REQUIRED: dict[str, Any] = {"provider": "triton", "endpoint": "http://h", "model-name": "m"}
OK = Answer(body=b'{"outputs":[]}')
#: Those of the released Flinks and of its main branch, with values of its manual.
OPTIONS = {
    "endpoint": "http://triton-server:8000/v2/models",
    "model-version": "latest",
    "timeout": "30 s",
    "flatten-batch-dim": "true",
    "priority": "200",
    "compression": "gzip",
    "auth-token": "Bearer ${TOKEN}",
    "custom-headers": "X-Custom-Header:${HEADER},X-Another:${OTHER}",
    "max-retries": "2",
    "retry-initial-backoff": "100 ms",
    "retry-max-backoff": "30 s",
    "default-value": "FAILED",
    "connection-pool-max-idle": "20",
    "connection-pool-keep-alive": "300s",
    "connection-pool-max-total": "100",
    "connection-pool-monitoring-enabled": "false",
    "connection-timeout": "10 s",
    "connection-reuse-enabled": "TRUE",
    "health-check-enabled": "true",
    "health-check-interval": "10 s",
    "circuit-breaker-enabled": "true",
    "circuit-breaker-failure-threshold": "0.25",
    "circuit-breaker-timeout": "5 s",
    "circuit-breaker-half-open-requests": "2",
    "async": "true",
    "output-mode": "ALLOW_UNORDERED",
    "max-concurrent-operations": "10",
}
SEQUENCE = {
    "sequence-id": "job-1",
    "sequence-start": "true",
    "sequence-end": "true",
    "sequence-id-auto-increment": "true",
    "sequence-id-counter-init-strategy": "NANO_TIME",
}


def parse(**given: Any) -> Options:
    """Parse options written with underscores, added to the required ones."""
    return parse_options(REQUIRED | {key.replace("_", "-"): value for key, value in given.items()}, "m")


@pytest.mark.parametrize("options", [OPTIONS, SEQUENCE], ids=["all", "sequence"])
def test_every_option_is_taken(options: dict[str, str]) -> None:
    """All of them together, in WITH and in MAP, one after the other and from the metadata row."""
    pairs = REQUIRED | options
    written = ", ".join(f"'{key}' = '{value}'" for key, value in pairs.items())
    text = f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) WITH ({written})"
    model = InferenceModel.from_definition(parse_create_model(text))
    assert model_from_row(metadata_row(model, None)).options == model.options
    written = ", ".join(f"'{key}', '{value}'" for key, value in options.items())
    (call,) = parse_ml_predict(f"select * from ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a), MAP[{written}])").calls
    plain = InferenceModel.from_definition(parse_create_model(text.partition("WITH")[0] + _with(REQUIRED)))
    endpoint = {} if "endpoint" in options else {"endpoint": model.options.endpoint}
    assert plain.with_options(dict(call.config) | endpoint, "m").options == model.options


def _with(options: dict[str, str]) -> str:
    return "WITH (" + ", ".join(f"'{key}' = '{value}'" for key, value in options.items()) + ")"


@pytest.mark.parametrize("value", ["x", "", "-1", "true", "5 parsecs", None, 7, [1]])
@pytest.mark.parametrize("key", [*NOT_NEEDED, "connection-pool-anything-new"])
def test_options_that_are_not_needed(key: str, value: object) -> None:
    """What has no meaning here is taken with any value, changes nothing, and a reason is given."""
    for spelled in (key, key.replace("-", "_")):
        assert parse_options(REQUIRED | {spelled: value}, "m") == parse()
        (reason,) = reasons_not_needed([spelled, "timeout"])
        assert reason.startswith(f"{spelled}: ")


def test_one_reason_for_options_of_one_kind() -> None:
    """Options of one kind share their reason, and an option that stands twice is told once."""
    reasons = reasons_not_needed(["async", "connection-pool-max-idle", "connection-reuse-enabled", "async", "timeout"])
    assert [reason.partition(":")[0] for reason in reasons] == [
        "async",
        "connection-pool-max-idle, connection-reuse-enabled",
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"max_parallelism": "20"}, {"max-concurrent-operations": "20"}),
        ({"capacity": "100"}, {"max-concurrent-operations": "100"}),
        ({"retry_count": "5"}, {"max-retries": "5"}),
        ({"client_timeout": "60"}, {"timeout": "60s"}),
        ({"client_timeout": "500 ms"}, {"timeout": "500ms"}),
        ({"max-retries": "1", "retry_count": "5"}, {"max-retries": "5"}),
        ({"retry_count": "5", "max-retries": "1"}, {"max-retries": "1"}),
    ],
)
def test_other_names(written: dict[str, str], read: dict[str, str]) -> None:
    """Confluent's names of an option mean the option, and its bare timeout is seconds; of two the later counts."""
    assert parse_options(REQUIRED | written, "m") == parse_options(REQUIRED | read, "m")
    model = InferenceModel.from_definition(
        parse_create_model(f"CREATE MODEL m INPUT (a INT) OUTPUT (b INT) {_with(REQUIRED | {'max-retries': '9'})}")
    )
    assert model.with_options(written, "m").options == model.with_options(read, "m").options
    assert set(RENAMED.values()) <= {str(field.alias) for field in Options.model_fields.values()}


@pytest.mark.parametrize("key", ["api-key", "model", "retry-num", "openai.temperature", "openai.endpoint"])
def test_options_of_other_providers(key: str) -> None:
    """An option of a language model's provider is told to be one."""
    with pytest.raises(ConfigurationError, match="of another provider than Triton") as caught:
        parse_options(REQUIRED | {key: "1"}, "m")
    assert len(caught.value.problems) == 1
    with pytest.raises(ConfigurationError, match="provider: write 'triton' or 'stub'"):
        parse_options(REQUIRED | {"provider": "openai"}, "m")


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("10000", 10_000),
        ("10 s", 10_000),
        ("10s", 10_000),
        ("10 sec", 10_000),
        ("30 seconds", 30_000),
        ("1 second", 1_000),
        ("100ms", 100),
        ("100 milliseconds", 100),
        ("1 milli", 1),
        ("5000 µs", 5),
        ("5000 micros", 5),
        ("5000000 ns", 5),
        ("1 min", 60_000),
        ("2 minutes", 120_000),
        ("1 h", 3_600_000),
        ("2 hours", 7_200_000),
        ("1 d", 86_400_000),
        ("1 day", 86_400_000),
        ("PT10S", 10_000),
        ("PT1M30S", 90_000),
        ("pt0.5s", 500),
        ("P1D", 86_400_000),
        (1_500, 1_500),
    ],
)
def test_durations(written: object, milliseconds: float) -> None:
    """Durations are read as Flink writes them, wherever an option is one."""
    for key in ("timeout", "connection-timeout", "circuit-breaker-timeout", "run-timeout", "retry-max-backoff"):
        assert parse_options(REQUIRED | {key: written}, "m").model_dump(by_alias=True)[key] == milliseconds


@pytest.mark.parametrize(
    "written", ["", "P", "PT", "10 x", "s", "1 mss", "1e3", "-1s", "PT-1S", "٣ parsecs", "9" * 5_000]
)
def test_no_durations(written: str) -> None:
    """What is no duration is told how to write one."""
    with pytest.raises(ConfigurationError, match=r"^m:\n  - timeout: write"):
        parse(timeout=written)


@pytest.mark.parametrize(
    ("written", "headers"),
    [
        ("X-A:1,X-B:2", {"X-A": "1", "X-B": "2"}),
        (" X-A : 1 , X-B : 2 ", {"X-A": "1", "X-B": "2"}),
        ("X-A:1", {"X-A": "1"}),
        ("X-A:", {"X-A": ""}),
        ("'X-A':'1','X-B':\"2\"", {"X-A": "1", "X-B": "2"}),
        ("X-Url:http://h:8000/a?b=c", {"X-Url": "http://h:8000/a?b=c"}),
        ("X-Url:'http://h,i','X-B':'it''s'", {"X-Url": "http://h,i", "X-B": "it's"}),
        ("'X-A:''a,b''',X-B:2", {"X-A": "a,b", "X-B": "2"}),
        ("X-A:it's,X-B:2", {"X-A": "it's", "X-B": "2"}),
        ("{X-A: 1, X-B: 2}", {"X-A": "1", "X-B": "2"}),
        ("{X-A: \"1\", 'X-B': '2'}", {"X-A": "1", "X-B": "2"}),
        ("X-Token:${TOKEN},X-B:${B}", {"X-Token": "${TOKEN}", "X-B": "${B}"}),
        ('{"X-A": "1", "X-B": 2}', {"X-A": "1", "X-B": "2"}),
    ],
)
def test_headers(written: str, headers: dict[str, str]) -> None:
    """Headers are JSON, or a map as Flink writes one, with quotes where a name or value has a comma or colon."""
    assert parse(custom_headers=written).custom_headers == headers


def test_headers_of_a_map() -> None:
    """WITH takes MAP['name', 'value'] for headers, as Flink's manual has it."""
    text = (
        "CREATE MODEL m INPUT (a INT) OUTPUT (b INT) WITH ('provider' = 'triton', 'endpoint' = 'http://h', "
        "'model-name' = 'm', 'custom-headers' = MAP[\n'X-API-Key', 'your-api-key',\n'X-Client-ID', 'flink-job-123'])"
    )
    headers = {"X-API-Key": "your-api-key", "X-Client-ID": "flink-job-123"}
    assert InferenceModel.from_definition(parse_create_model(text)).options.custom_headers == headers
    with pytest.raises(SqlSyntaxError, match="expected the value of 'timeout' in single quotes, found a word"):
        parse_create_model(text.replace("custom-headers", "timeout"))


def test_an_option_for_each_header() -> None:
    """Flink takes a map as one option a key, too; beside the whole map it is an error, as there are two answers."""
    options = parse(**{"custom-headers.X-Team": "reviews", "custom-headers.X-Run": 7})
    assert options.custom_headers == {"X-Team": "reviews", "X-Run": "7"}
    with pytest.raises(ConfigurationError, match=r"unknown option custom-headers.X-Team"):
        parse(**{"custom-headers.X-Team": "reviews", "custom-headers": "X-Run:7"})
    with pytest.raises(ConfigurationError, match="Host is set by dbt-triton itself"):
        parse(**{"custom-headers.Host": "h"})


@pytest.mark.parametrize(
    "written", ["X-A:SECRET,X-A:2", '{"X-A": "SECRET", "X-A": "2"}', "'X-A':'SECRET',\"X-A\":2", "x-a:SECRET,X-A:2"]
)
def test_header_that_is_given_twice(written: str) -> None:
    """Neither of two values wins without a word."""
    with pytest.raises(ConfigurationError, match="given twice") as caught:
        parse(custom_headers=written)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        *(("1024", 1024), (2048, 2048), ("100 b", 100), ("100bytes", 100), ("64 mb", 64 * 2**20), ("64MB", 64 * 2**20)),
        *((" 1 g ", 2**30), ("2kibibytes", 2048), ("1 gibibytes", 2**30), ("1t", 2**40), ("auto", None)),
    ],
)
def test_sizes(written: object, size: int | None) -> None:
    """A size has Flink's units, of which each is 1,024 of the one before."""
    assert parse(max_response_bytes=written).max_response_bytes == size


@pytest.mark.parametrize("written", ["64 mib", "1.5 gb", "-1 mb", "0 mb", "mb", True, "1 m b", ""])
def test_no_sizes(written: object) -> None:
    """What is no size of Flink's is an error."""
    with pytest.raises(ConfigurationError, match="max-response-bytes: write a"):
        parse(max_response_bytes=written)


def test_waits_of_nothing() -> None:
    """Flink takes a backoff of 0."""
    options = parse(retry_initial_backoff="0 ms", retry_max_backoff="0s")
    assert (options.retry_initial_backoff, options.retry_max_backoff) == (0, 0)


@pytest.mark.parametrize("token", ["${SECRET:triton-token}", "${}", "Bearer ${A B}", "${1}"])
def test_placeholders_that_are_none(token: str) -> None:
    """A placeholder of another system is an error, and is not sent as a token."""
    with pytest.raises(ConfigurationError, match=r"auth-token: .*must hold the name of an environment variable"):
        parse(auth_token=token)


@pytest.mark.parametrize(
    ("options", "on_error", "default"),
    [
        ({"default-value": "FAILED"}, "null", "FAILED"),
        ({"default-value": "null"}, "null", None),
        ({"default-value": None}, "null", None),
        ({"default-value": "NULL"}, "null", "NULL"),
        ({"default-value": "<null>"}, "null", "<null>"),
        ({"default-value": "x", "on-error": "null"}, "null", "x"),
        ({}, "fail", None),
    ],
)
def test_default_value_by_itself(options: dict[str, Any], on_error: str, default: str | None) -> None:
    """A default-value means on-error = null, and the literal null is NULL; in any other case it is a text."""
    model = InferenceModel.from_definition(
        parse_create_model(f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) {_with(REQUIRED)}")
    )
    row = model_from_row(metadata_row(model.with_options(options, "m"), None))
    for found in (parse_options(REQUIRED | options, "m"), row.options):
        assert (found.on_error, found.default_value) == (on_error, default)
    meta = REQUIRED | {"input": {"a": "STRING"}, "output": {"b": "STRING"}} | options
    yaml = InferenceModel.from_definition(definition_from_yaml("m", meta))
    assert (yaml.options.on_error, yaml.options.default_value) == (on_error, default)


@pytest.mark.parametrize(("written", "ids"), [("42", [42, 43, 44]), ("job-1", ["job-1-0-0", "job-1-0-1", "job-1-0-2"])])
def test_sequences_of_one_row(written: str, ids: list[object]) -> None:
    """With sequence-id-auto-increment each request is a sequence of its own, over all batches."""
    marker = SequenceMarker(parse(sequence_id=written, sequence_id_auto_increment="true"))
    requests = [Request([], [], 0, 1)] * 3  # type: ignore[arg-type]
    marked = [*marker.mark(requests[:2], last=False), *marker.mark(requests[2:], last=True)]
    assert [request.parameters for request in marked] == [
        {"sequence_id": number, "sequence_start": True, "sequence_end": True} for number in ids
    ]


STUB = {"provider": "stub", "endpoint": "http://h", "model-name": "m"}


def test_warnings_reach_dbt() -> None:
    """The steps hand what is not needed to dbt: of WITH to the model, of MAP and meta to the predicting model."""
    with Session() as session:
        model = {"name": "m", "alias": "m", "sql": _create(STUB | {"flatten-batch-dim": "x", "timeout": "1s"})}
        result = session._step(_step("build_inference_model"), model)
        assert [reason.partition(":")[0] for reason in result["not_needed"]] == ["flatten-batch-dim"]
        session.create_model("m", "INPUT (a STRING) OUTPUT (b STRING)", STUB)
        args = {
            "name": "p",
            "alias": "p",
            "sql": "select * from ML_PREDICT(TABLE (select 'x' as a), MODEL m, DESCRIPTOR(a), MAP['async', 'true'])",
            "store": {"database": None, "schema": "main", "identifier": "p__ml_predictions"},
            "models": [{"unique_id": "model.t.m", "name": "m", "relations": ["m"]}],
            "meta": {"output-mode": "ORDERED"},
        }
        result = session._step(_step("plan"), args)
        assert [reason.partition(":")[0] for reason in result["not_needed"]] == ["output-mode", "async"]


def _create(options: dict[str, str]) -> str:
    return f"CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) {_with(options)}"


def _step(name: str) -> Any:
    from dbt_triton import step  # noqa: PLC0415 - by its name

    return getattr(step, name)


def test_default_value_of_a_call(recwarn: pytest.WarningsRecorder) -> None:
    """A call's default-value by itself routes its failed rows, though the metadata row says what WITH left out."""
    with Session() as session:
        session.create_model("m", "INPUT (a STRING) OUTPUT (b STRING)", STUB)
        select = (
            "select * from ML_PREDICT(TABLE (select 'x' as a), MODEL m, DESCRIPTOR(a), MAP['default-value', '%s'%s])"
        )
        (row,) = session.build("p", select % ("y", ""), ["m"])
        assert len(row) == 3  # with ml_error
        with pytest.raises(StepError, match="default-value needs 'on-error' = 'null'"):
            session.build("p", select % ("y", ", 'on-error', 'fail'"), ["m"])
    assert not recwarn.list
    assert json.dumps(row[2]) == "null"
