from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_triton.credentials import mask_options
from dbt_triton.errors import ConfigurationError
from dbt_triton.option_maps import BY_COLUMN
from dbt_triton.options import NAMES, PREFIXES, Options, parse_options

REQUIRED = {"provider": "triton", "endpoint": "http://localhost:8000", "model-name": "m"}
SECRET = "s3cret-t0ken"  # noqa: S105 - a made-up one that must show up nowhere


def parse(**given_options: Any) -> Options:
    """Parse options written with underscores, added to the required ones."""
    return parse_options(REQUIRED | {key.replace("_", "-"): value for key, value in given_options.items()}, "model m")


def problems(raw: dict[str, Any]) -> list[str]:
    """Return the problems of options that must be refused."""
    with pytest.raises(ConfigurationError) as caught:
        parse_options(raw, 'inference model "m"')
    assert str(caught.value).startswith('inference model "m":')
    return caught.value.problems


def test_defaults() -> None:
    """Only provider, endpoint and model-name are needed; every other option has the default of the manual."""
    options = parse().model_dump(by_alias=True, exclude={"provider", "endpoint", "model_name"})
    expected = {
        "model-version": "latest",
        "timeout": 30_000,
        "max-retries": 3,
        "batch-size": None,
        "batch-by": "length",
        "batch-tokens": None,
        "priority": None,
        "sequence-id": None,
        "sequence-start": False,
        "sequence-end": False,
        "binary-data": None,
        "compression": "none",
        "auth-token": None,
        "custom-headers": {},
        "max-concurrent-operations": None,
        "on-error": "fail",
        "default-value": None,
        "max-response-bytes": None,
        "max-error-ratio": 1.0,
        "cache": "run",
        "tls-ca": None,
        "tls-cert": None,
        "tls-key": None,
        "preflight": True,
        "tensors": {},
    }
    assert {key: options[key] for key in expected} == expected


def test_required() -> None:
    """What is required and missing is said, all of it at once."""
    assert problems({}) == ["provider is required", "endpoint is required", "model-name is required"]


@pytest.mark.parametrize(
    ("key", "written", "read"),
    [
        ("provider", "TRITON", "triton"),
        ("model_name", "text-classification", "text-classification"),
        ("model_name", 7, "7"),
        ("model_name", "a.b_c~!$&'()*+,;=:@-1", "a.b_c~!$&'()*+,;=:@-1"),
        ("model_version", "latest", "latest"),
        ("model_version", " Latest ", "latest"),
        ("model_version", "1", "1"),
        ("model_version", 12, "12"),
        ("model_version", "007", "7"),
        ("timeout", "10000", 10_000),
        ("timeout", 1500, 1500),
        ("timeout", "250ms", 250),
        ("timeout", "10s", 10_000),
        ("timeout", "1.5 S", 1500),
        ("timeout", "2min", 120_000),
        ("timeout", "1 h", 3_600_000),
        ("max_retries", "0", 0),
        ("max_retries", 100, 100),
        ("batch_size", "auto", None),
        ("batch_size", "AUTO", None),
        ("batch_size", "64", 64),
        ("batch_size", 1, 1),
        ("batch_by", "NONE", "none"),
        ("batch_by", "length", "length"),
        ("batch_tokens", "4096", 4096),
        ("batch_tokens", 16384, 16384),
        ("priority", "0", 0),
        ("priority", 255, 255),
        ("sequence_id", "seq-001", "seq-001"),
        ("sequence_id", 42, "42"),
        ("binary_data", "auto", None),
        ("binary_data", "true", True),
        ("binary_data", False, False),
        ("compression", "GZIP", "gzip"),
        ("compression", "deflate", "deflate"),
        ("compression", "none", "none"),
        ("auth_token", "x", "x"),
        ("auth_token", "Bearer x", "x"),
        ("auth_token", "bearer  x ", "x"),
        ("auth_token", "${TOKEN}", "${TOKEN}"),
        ("custom_headers", '{"X-Team": "reviews", "X-Number": 5}', {"X-Team": "reviews", "X-Number": "5"}),
        ("custom_headers", {"X-Team": "${TEAM}\tx"}, {"X-Team": "${TEAM}\tx"}),
        ("custom_headers", "{}", {}),
        ("max_concurrent_operations", "auto", None),
        ("max_concurrent_operations", "8", 8),
        ("on_error", "NULL", "null"),
        ("on_error", None, "null"),
        ("max_error_ratio", "1", 1.0),
        ("max_error_ratio", 1, 1.0),
        ("retry_errors", "true", True),
        ("cache", "persistent", "persistent"),
        ("cache", False, "off"),
        ("preflight", "False", False),
    ],
)
def test_values(key: str, written: object, read: object) -> None:
    """A value may be SQL text or YAML's own type, and means the same."""
    assert getattr(parse(**{key: written}), key) == read


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("provider", "openai", "provider: write 'triton'"),
        ("endpoint", "localhost:8000", "endpoint: write http(s)://host[:port]"),
        ("endpoint", "grpc://localhost:8001", "endpoint: write http(s)://host[:port]"),
        ("endpoint", "http://", "endpoint: write http(s)://host[:port]"),
        ("endpoint", "http://h:0", "endpoint: the port must be between 1 and 65535"),
        ("endpoint", "http://h:70000", "endpoint: the port is not usable"),
        ("endpoint", "http://user:pw@h", "endpoint: a user name or password does not belong here"),
        ("endpoint", "http://h?x=1", "endpoint: a query or fragment does not belong here"),
        ("endpoint", "http://h/v2/models/m", "endpoint: name the server only"),
        ("model-version", "0", "model-version: write latest, or a version number from 1"),
        ("model-version", "-1", "model-version: write latest, or"),
        ("model-version", "v1", "model-version: write latest, or"),
        ("model-version", True, "model-version: write latest, or"),
        ("timeout", "0", "timeout: write a number greater than or equal to 1"),
        ("timeout", "25h", "timeout: write a number less than or equal to 86400000"),
        ("timeout", "-5", "timeout: write a duration such as"),
        ("timeout", "10 parsecs", "timeout: write a duration such as"),
        ("timeout", True, "timeout: write a duration such as"),
        ("max-retries", "-1", "max-retries: write a number greater than or equal to 0"),
        ("max-retries", "101", "max-retries: write a number less than or equal to 100"),
        ("max-retries", "3.5", "max-retries: write a whole number"),
        ("max-retries", True, "max-retries: write a whole number"),
        ("batch-size", "0", "batch-size: write a number greater than or equal to 1"),
        ("batch-size", "2147483647", "batch-size: write a number less than or equal to 1048576"),
        ("batch-size", "many", "batch-size: write a whole number"),
        ("batch-by", "size", "batch-by: write 'length' or 'none'"),
        ("batch-tokens", "0", "batch-tokens: write a number greater than or equal to 1"),
        ("batch-tokens", "auto", "batch-tokens: write a whole number"),
        ("priority", "256", "priority: write a number less than or equal to 255"),
        ("priority", "-1", "priority: write a number greater than or equal to 0"),
        ("priority", "high", "priority: write a whole number"),
        ("sequence-id", "", "sequence-id: it is empty"),
        ("binary-data", "yes", "binary-data: write true or false"),
        ("binary-data", 1, "binary-data: write true or false"),
        ("compression", "zstd", "compression: write 'none', 'gzip' or 'deflate'"),
        ("auth-token", "", "auth-token: the token is empty"),
        ("auth-token", "Bearer ", "auth-token: the token is empty"),
        ("auth-token", "a b", "auth-token: the token holds white space, a control character"),
        ("auth-token", "a\nb", "auth-token: the token holds white space, a control character"),
        ("custom-headers", "X-Team=reviews", "custom-headers: write a JSON object"),
        ("custom-headers", "[1]", "custom-headers: write a JSON object"),
        ("custom-headers", '{"X Team": "x"}', "custom-headers: the name of header 1 is not one that HTTP has"),
        ("custom-headers", '{"X-Team": null}', "custom-headers: the value of X-Team must be a text"),
        ("custom-headers", '{"X-Team": "a\\nb"}', "custom-headers: the value of X-Team holds a control character"),
        (
            "custom-headers",
            {"X-Team": "好"},
            "custom-headers: the value of X-Team holds a control character, or one that",
        ),
        ("auth-token", "好", "auth-token: the token holds white space, a control character, or one that is not ASCII"),
        ("custom-headers", {"X\n": "x"}, "custom-headers: the name of header 1 is not one that HTTP has"),
        ("custom-headers", '{"content-encoding": "gzip"}', "custom-headers: content-encoding is set by dbt-triton"),
        ("max-concurrent-operations", "0", "max-concurrent-operations: write a number greater than or equal to 1"),
        ("on-error", "skip", "on-error: write 'fail' or 'null'"),
        ("max-response-bytes", "0", "max-response-bytes: write a number greater than or equal to 1"),
        ("max-response-bytes", "64 mib", "max-response-bytes: write a whole number of bytes, or a size such as 64 mb"),
        ("max-error-ratio", "5%", "max-error-ratio: write a number from 0 to 1"),
        ("max-error-ratio", "1.1", "max-error-ratio: write a number less than or equal to 1"),
        ("max-error-ratio", "nan", "max-error-ratio: "),
        ("cache", "maybe", "cache: write 'run', 'persistent' or 'off'"),
        ("preflight", "1", "preflight: write true or false"),
        ("tls-ca", "", "tls-ca: it is empty"),
    ],
)
def test_bad_values(key: str, value: object, problem: str) -> None:
    """A value that is out of range or of another type is refused with the option's name and what to write."""
    (found,) = problems(REQUIRED | {key: value})
    assert found.startswith(problem)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../m", ".", "..", "a?b", "a#b", "a%20b", "好", "a\nb", "m\n"])
def test_names_that_no_url_carries(name: str) -> None:
    """A model name that a URL path cannot carry, or that would leave the path, is refused before it is sent."""
    (found,) = problems(REQUIRED | {"model-name": name})
    assert found.startswith("model-name: ")
    assert "Triton reads the name from the URL" in found


@pytest.mark.parametrize(
    "written",
    [
        *(f"http://h:{SECRET}", f"http://h:{SECRET}/v2", f"http://u:1234/{SECRET}@host", f"http://u:{SECRET}@host"),
        *(f"http://{SECRET}@host", f"http://host/a@{SECRET}", f"http://h\\@{SECRET}", f"http://h%40{SECRET}"),
        *(f"http://{SECRET} h", f"http://h/{SECRET}\0", f"http://h\n{SECRET}", f"http://h/{SECRET}\x7f", f"{SECRET}"),
        *(
            f"http://b\u00fccher.{SECRET}",
            f"http://h/{SECRET}\u200b",
            f"http://h:\uff11/{SECRET}",
            f"http://h\u3002{SECRET}",
        ),
        *(
            f"http://h?{SECRET}",
            f"http://h#{SECRET}",
            f"http://h/?{SECRET}",
            f"http://[{SECRET}]",
            f"http://[::1]{SECRET}",
        ),
        *(
            f"http://[::1/{SECRET}",
            f"http://::1/{SECRET}",
            f"http://a..b/{SECRET}",
            f"http://-/{SECRET}",
            f"http://./{SECRET}",
        ),
        *(
            f"http://h/%zz{SECRET}",
            f"http://h/{SECRET}%",
            f"http://h/../{SECRET}",
            f"http://h/<{SECRET}>",
            f"http:/h/{SECRET}",
        ),
        *(
            f"http:h/{SECRET}",
            f"https://:80/{SECRET}",
            f"http://h:-1/{SECRET}",
            f"http://h:65536/{SECRET}",
            f"ftp://{SECRET}",
        ),
        *(f"http://h:1:2/{SECRET}", f"http://h:1{'0' * 5000}/{SECRET}", f"http://{{{SECRET}}}", f"http://h|{SECRET}"),
    ],
)
def test_endpoints_that_are_refused(written: str) -> None:
    """What is no plain host, port and path is refused in words that repeat nothing of it: any part may be a secret."""
    (found,) = problems(REQUIRED | {"endpoint": written})
    assert found.startswith("endpoint: ")
    assert SECRET.lower() not in found.lower()
    assert found.isprintable()


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://localhost:8000/v2", "http://localhost:8000"),
        ("http://localhost:8000/v2/", "http://localhost:8000"),
        ("http://localhost:8000/v2/models", "http://localhost:8000"),
        ("https://triton.example.com/v2/models/", "https://triton.example.com"),
        ("HTTP://[::1]:8000/v2/models", "http://[::1]:8000"),
        (" https://gateway.example.com/team/triton/v2/models ", "https://gateway.example.com/team/triton"),
        ("https://gateway.example.com/v2x", "https://gateway.example.com/v2x"),
        ("https://Gateway.Example.COM./Team/v2", "https://gateway.example.com./Team"),
        ("http://triton_1:08000", "http://triton_1:8000"),
        ("http://h:/v2", "http://h"),
        ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("http://[FE80::0:1]:80/x", "http://[fe80::1]:80/x"),
        ("http://[fe80::1%25eth0]:8000", "http://[fe80::1%25eth0]:8000"),
        ("http://h/a%20b;v=1/(c)/v2", "http://h/a%20b;v=1/(c)"),
        ("http://10.0.0.1/v2/models", "http://10.0.0.1"),
    ],
)
def test_endpoint_forms(written: str, base: str) -> None:
    """The endpoint may end with the host, /v2 or /v2/models, with or without a slash, behind any path prefix."""
    assert parse(endpoint=written).endpoint == base


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("model_name", "model-name"),
        ("MODEL-NAME", "model-name"),
        ("batchsize", "batch-size"),
        ("max-retry", "max-retries"),
        ("header", "custom-headers"),
        ("authtoken", "auth-token"),
    ],
)
def test_unknown_key(key: str, near: str) -> None:
    """An unknown option is an error that names the nearest one."""
    assert problems(REQUIRED | {key: "1"}) == [f"unknown option {key}; did you mean {near}?"]


def test_unknown_keys_without_neighbour() -> None:
    """Unknown options that are near to none are told once, together, with the page that lists those that exist."""
    assert problems(REQUIRED | {"xyzzy": "1"}) == ["unknown option xyzzy; docs/options.md lists those that there are"]
    many = REQUIRED | {"xyzzy": "1", "tmeout": "1", "qqqq": "1"}
    assert problems(many) == [
        "unknown option tmeout; did you mean timeout?",
        "unknown options xyzzy, qqqq; docs/options.md lists those that there are",
    ]


def test_many_unknown_keys() -> None:
    """However many keys are unknown, no more than some are told."""
    (told,) = problems(REQUIRED | {f"qwxq-{chr(97 + place)}": "1" for place in range(26)})
    assert 1 < told.count("qwxq-") < 26


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"sequence-start": "true"}, "sequence-start needs a sequence-id"),
        ({"sequence-end": True}, "sequence-end needs a sequence-id"),
        ({"sequence-id": "s", "batch-size": "4"}, "batch-size must be 1 with a sequence-id"),
        ({"sequence-id": "s", "batch-tokens": "4"}, "batch-tokens must be left alone with sequences"),
        ({"sequence-by": "s", "batch-tokens": "4"}, "batch-tokens must be left alone with sequences"),
        ({"sequence-id": "s", "max-concurrent-operations": "2"}, "max-concurrent-operations must be 1 with a"),
        ({"sequence-id": "s" * 129}, "sequence-id may have at most 128 characters"),
        ({"sequence-id": "0"}, "sequence-id, where it is a number, must be between 1 and 2^64-1"),
        ({"sequence-id": str(2**64)}, "sequence-id, where it is a number, must be between 1 and 2^64-1"),
        ({"sequence-id": "s", "on-error": "null"}, "on-error and cache must be left alone with a sequence-id"),
        ({"sequence-id": "s", "cache": "persistent"}, "on-error and cache must be left alone with a sequence-id"),
        ({"default-value": "x", "on-error": "fail"}, "default-value needs 'on-error' = 'null'"),
        ({"default-value": "null", "on-error": "fail"}, "default-value needs 'on-error' = 'null'"),
        ({"default-value": "x", "sequence-id": "s"}, "on-error and cache must be left alone with a sequence-id"),
        ({"sequence-id-auto-increment": "true"}, "sequence-id-auto-increment needs a sequence-id"),
        ({"max-error-ratio": "0.5"}, "max-error-ratio needs 'on-error' = 'null'"),
        ({"auth-token": "x", "custom-headers": {"authorization": "y"}}, "auth-token and an Authorization in"),
        ({"tls-cert": "c", "endpoint": "https://h"}, "tls-cert and tls-key go together"),
        ({"tls-ca": "c"}, "tls-ca, tls-cert and tls-key need an https endpoint"),
    ],
)
def test_contradictions(options: dict[str, Any], problem: str) -> None:
    """Options that contradict each other are refused with the reason."""
    (found,) = problems(REQUIRED | options)
    assert found.startswith(problem)


def test_sequence_id_on_the_wire() -> None:
    """A sequence id that is all digits is sent as a number, up to the last one that Triton takes; others as text."""
    ids = ["42", str(2**64 - 1), "seq-1", "s" * 128]
    assert [parse(sequence_id=text).wire_sequence_id for text in ids] == [42, 2**64 - 1, "seq-1", "s" * 128]


def test_all_problems_at_once() -> None:
    """Every problem is reported at once: unknown keys, values and what is missing."""
    raw = {"provider": "x", "endpoint": "h", "timeout": "soon", "prioritiy": 1, "compression": "br"}
    found = problems(raw)
    starts = ["unknown option prioritiy; did you mean priority?", "provider: ", "endpoint: ", "model-name is required"]
    assert all(any(text.startswith(start) for text in found) for start in [*starts, "timeout: ", "compression: "])
    assert len(found) == 6
    contradictions = {"sequence-start": "true", "default-value": "x", "max-error-ratio": "0", "on-error": "fail"}
    assert len(problems(REQUIRED | contradictions)) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"auth-token": f"{SECRET} {SECRET}"},
        {"auth-token": f"x\n{SECRET}"},
        {"auth-token": {"token": SECRET}},
        {"auth_token": SECRET},
        {"custom-headers": f"X-Key= {SECRET}"},
        {"custom-headers": [SECRET]},
        {"custom-headers": {"X-Key": [SECRET]}},
        {"custom-headers": {"X-Key": f"{SECRET}\n"}},
        {"auth-token": SECRET, "custom-headers": {"Authorization": SECRET}},
        {"auth-token": SECRET, "timeout": "soon"},
        {"endpoint": f"http://user:{SECRET}@h"},
    ],
)
def test_errors_hide_secrets(options: dict[str, Any]) -> None:
    """No error text holds a token or a header value, whatever is wrong with it or beside it."""
    assert SECRET not in "\n".join(problems(REQUIRED | options))


@pytest.mark.parametrize(
    ("written", "read"), [("n/a", "n/a"), ("", ""), (0, "0"), (1.5, "1.5"), (True, "true"), (None, None)]
)
def test_default_value(written: object, read: str | None) -> None:
    """A default-value may be any text, the empty one too, or YAML's own number or boolean."""
    assert parse(on_error="null", default_value=written).default_value == read


def test_tensor_options() -> None:
    """'tensor.<column>' names the tensor of a column, whatever characters either has."""
    raw = REQUIRED | {"tensor.input": "INPUT_TEXT", "tensor.my.col": "x"}
    assert parse_options(raw, "m").tensors == {"input": "INPUT_TEXT", "my.col": "x"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("h,w,3", ("h", "w", 3)),
        (" 3 , -1,224", (3, -1, 224)),
        (["height, of a", "w", 3], ("height, of a", "w", 3)),
        (16_000, (16_000,)),
        ("n", ("n",)),
    ],
)
def test_shape_options(written: object, read: tuple[int | str, ...]) -> None:
    """'shape.<column>' is a length for each axis: numbers, -1, or columns, as a text or as YAML's list."""
    options = parse_options(REQUIRED | {"shape.image": written}, "m")
    assert options.shapes == {"image": read}
    assert parse_options(REQUIRED | {"shape.image": mask_options(options)["shape.image"]}, "m") == options


@pytest.mark.parametrize("written", ["", "3,", "0", "-2", "3.5", "1e3,", None, True, [[3]], [None], {"h": 1}, [], ",h"])
def test_shapes_that_are_none(written: object) -> None:
    """What is no list of lengths is told how to write one."""
    with pytest.raises(ConfigurationError, match=r"shape\.image: write a"):
        parse_options(REQUIRED | {"shape.image": written}, "m")


def test_null_as() -> None:
    """null-as is nan, or left alone."""
    assert parse().null_as is None
    assert parse(null_as="NaN").null_as == "nan"
    for other in ("0", "null", "", -1):
        with pytest.raises(ConfigurationError, match="null-as: write 'nan'"):
            parse(null_as=other)


def test_every_prefix_may_be_a_map() -> None:
    """Every option by column may be written as a map."""
    assert {f"{name}." for name in BY_COLUMN} == set(PREFIXES.values())


@pytest.mark.parametrize("name", BY_COLUMN)
def test_maps_by_column(name: str) -> None:
    """A map by column means what an option for each column means, which wins over it."""
    one_by_one = parse_options(REQUIRED | {f"{name}.a": "1", f"{name}.b": "2"}, "m")
    assert parse_options(REQUIRED | {name: {"a": "1", "b": "2"}}, "m") == one_by_one
    assert parse_options(REQUIRED | {f"{name}.b": "2", name: {"a": "1", "b": "3"}}, "m") == one_by_one
    assert parse_options(REQUIRED | {name: {"a": "1", "b": "3"}, f"{name}.b": "2"}, "m") == one_by_one


@pytest.mark.parametrize("key", ["tensor", "tensors", "tensors.x", "masks.attention"])
def test_by_column_misspelt(key: str) -> None:
    """An option by column without its column, or misspelt before the point, is told as it is written."""
    wanted = "mask.<tensor>" if key.startswith("mask") else "tensor.<column>"
    assert problems(REQUIRED | {key: "x"}) == [f"unknown option {key}; did you mean {wanted}?"]


@given(
    st.sampled_from(sorted(NAMES)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
)
def test_any_value(key: str, value: object) -> None:
    """Whatever stands as a value, the answer is options or a clean error, never a traceback."""
    try:
        options = parse_options(REQUIRED | {key: value}, "m")
    except ConfigurationError as error:
        sentences = error.problems
    else:
        sentences = ["accepted"] * (parse_options(REQUIRED | {key: value}, "m") == options)
    assert sentences
    assert all(sentence.strip() and "\n" not in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("http://a:8000, http://b:8000", "http://a:8000, http://b:8000"),
        ("http://a:8000/v2/models,HTTPS://B/v2/ ,\nhttp://c", "http://a:8000, https://b, http://c"),
        (["http://a:8000/v2", "http://b:8000"], "http://a:8000, http://b:8000"),
        (["http://a:8000/v2"], "http://a:8000"),
        ("http://a/x,y", "http://a/x,y"),
    ],
)
def test_several_endpoints(written: object, kept: str) -> None:
    """Several servers are a text with commas, or a list; each is read as one alone is."""
    options = parse(endpoint=written)
    assert options.endpoint == kept
    assert options.endpoints == tuple(kept.split(", "))
    assert parse(endpoint=kept).endpoint == kept


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("http://a:8000, http://a:8000/v2", "it names one server twice"),
        ("http://a, http://a:80", "it names one server twice"),
        ("http://a:8000,", "a comma has no server before or after it"),
        ("http://a:8000/v2/models,", "a comma has no server before or after it"),
        ("http://a:8000/v2,, http://b:8000", "a comma has no server before or after it"),
        ("http://a:8000 http://b:8000", "control character; of several servers write each whole"),
        ("http://a:8000, http://u:pw@b", "server 2: a user name or password does not belong here"),
        ("http://a:8000, b:8000", "write each whole, such as http://a:8000, http://b:8000"),
        ([], "write one server at least"),
        ([True], "write a text"),
        ([f"http://h{number}" for number in range(101)], "it names more than 100 servers"),
    ],
)
def test_several_endpoints_that_are_refused(written: object, said: str) -> None:
    """What is wrong is said of the server that it is about; nothing of it is repeated."""
    (found,) = problems(REQUIRED | {"endpoint": written})
    assert found.startswith("endpoint: ")
    assert said in found
    assert "pw" not in found


def test_tls_files_need_https_at_every_server() -> None:
    """A CA is of no use to a server that is asked by http."""
    assert problems(REQUIRED | {"endpoint": "https://a, http://b", "tls-ca": "c"}) == [
        "tls-ca, tls-cert and tls-key need an https endpoint"
    ]
