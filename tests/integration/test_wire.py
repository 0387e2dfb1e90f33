"""Every option does what the README says on the wire or at the real server: one build, a proxy before each model."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.dbt import DbtProject, DbtResult
from support.proxy import Exchange, Message, RecordingProxy, answer_message
from support.triton import Triton

pytestmark = pytest.mark.duckdb_only("a request is the same on each warehouse")

REVIEWS = 50
WORDS = 300
AMOUNTS = 20
ESSAYS = 200
BUDGET = 400
BATCHES: dict[str, dict[str, str]] = {
    "by_length": {},
    "as_they_come": {"batch_by": "none"},
    "budgeted": {"batch_tokens": str(BUDGET)},
}
TOKEN, KEY = "token-of-the-environment", "key-of-the-environment"
DATATYPES = {
    "BOOL": ("BOOLEAN", "id % 2 = 0"),
    "INT8": ("TINYINT", "-id"),
    "INT16": ("SMALLINT", "-id * 1000"),
    "INT32": ("INT", "-id * 100000000"),
    "INT64": ("BIGINT", "-9007199254740993 - id"),
    "UINT8": ("UTINYINT", "id + 200"),
    "UINT16": ("USMALLINT", "id + 65000"),
    "UINT32": ("UINTEGER", "id + 4294967000"),
    "UINT64": ("UBIGINT", "18446744073709551000 + id"),
    "FP32": ("FLOAT", "id / 3"),
    "FP64": ("DOUBLE", "id / 7"),
    "STRING": ("STRING", "'ä\"\\\n' || id || '评'"),
}


class Wire:
    """The one build of this file: a proxy, an inference model ``<case>`` and its table ``p_<case>`` for each case."""

    def __init__(self, project: DbtProject, triton: Triton, serve: Callable[[str], str], stack: ExitStack) -> None:
        self.project = project
        self.triton = triton
        self.proxies: dict[str, RecordingProxy] = {}
        self.result: DbtResult
        self._serve = serve
        self._stack = stack
        self._shared: dict[str, str] = {}

    def served(self, kind: str, *, alone: bool = False) -> str:
        """Serve a model; cases share it unless one wants its counters for itself."""
        if alone or kind not in self._shared:
            self._shared[kind] = self._serve(kind)
        return self._shared[kind]

    def proxy(self, case: str, hook: Callable[[Exchange], Message | bytes | None] | None = None) -> str:
        """Put a proxy before the server, and return its endpoint."""
        self.proxies[case] = self._stack.enter_context(RecordingProxy(self.triton.url, hook))
        return self.proxies[case].url

    def text(self, case: str, kind: str = "upper", *, path: str = "", table: str = "reviews", **options: str) -> None:
        """Add a case with one text in and one text out."""
        hook = options.pop("hook", None)
        endpoint = self.proxy(case, hook) + path  # type: ignore[arg-type]
        name = options.pop("served", None) or self.served(kind)
        self.project.inference_model(case, endpoint, name, **options)
        self.predict(case, "review", table)

    def predict(self, case: str, columns: str, table: str, config: str = "", call: str = "") -> None:
        """Add the predicting model of a case."""
        self.project.model(
            f"p_{case}",
            f"{{{{ config(materialized='ml_predict'{config}) }}}}\nselect * from ML_PREDICT(TABLE "
            f"{{{{ ref('{table}') }}}}, MODEL {{{{ ref('{case}') }}}}, DESCRIPTOR({columns}){call})",
        )

    def sent(self, case: str) -> list[Message]:
        """Return the inference requests of a case."""
        requests = [exchange.request for exchange in self.proxies[case].inferences]
        assert requests, f"nothing was sent for {case}"
        return requests

    def pairs(self, case: str) -> list[tuple[Any, ...]]:
        """Return a case's reviews and predictions."""
        return self.project.query(f"select review, output from p_{case} order by id")


def _busy_twice() -> Callable[[Exchange], Message | None]:
    refused: Iterator[int] = iter(range(2))

    def hook(exchange: Exchange) -> Message | None:
        if exchange.path.endswith("/infer") and next(refused, None) is not None:
            return answer_message(503, b'{"error": "Exceeds maximum queue size"}', {"Retry-After": "0"})
        return None

    return hook


@pytest.fixture(scope="module")
def wire(
    triton: Triton, serve: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Wire, None, None]:
    """Build every case, once for this file."""
    with ExitStack() as stack:
        project = DbtProject(tmp_path_factory.mktemp("wire") / "project")
        made = Wire(project, triton, serve, stack)
        _write_cases(made)
        made.result = project.build(WIRE_TOKEN=TOKEN, WIRE_KEY=KEY)
        yield made


def _write_cases(wire: Wire) -> None:
    table = "{{ config(materialized='table') }}\n"
    wire.project.model("reviews", f"{table}select i as id, 'review ' || i as review from range(1, {REVIEWS + 1}) t(i)")
    wire.project.model("words", f"{table}select i as id, 'word ' || i as review from range(1, {WORDS + 1}) t(i)")
    wire.project.model("amounts", f"{table}select i as id, i * i as amount from range(1, {AMOUNTS + 1}) t(i)")
    wire.project.model(
        "essays",
        f"{table}select i as id, repeat('word ', 1 + (i * 7919) % 101) || i as review from range(1, {ESSAYS + 1}) t(i)",
    )
    wire.text("plain")
    for compression in ("gzip", "deflate"):
        wire.text(compression, compression=compression)
        wire.text(f"json_{compression}", compression=compression, binary_data="false")
    wire.text("json", binary_data="false")
    wire.text("binary", binary_data="true")
    wire.text("priority", priority="3")
    wire.text("latest", "versioned")
    wire.text("first_version", "versioned", model_version="1", path="/v2/models/")
    wire.text("token", auth_token="abc.def")  # noqa: S106 - a test's own
    wire.text("bearer", auth_token="Bearer abc.def", path="/v2")  # noqa: S106 - a test's own
    wire.text("environment_token", auth_token="${WIRE_TOKEN}")  # noqa: S106 - a test's own
    wire.text("headers", custom_headers='{"X-Team": "reviews", "X-Key": "k-${WIRE_KEY}"}')
    wire.text("sevens", served=wire.served("upper_plain", alone=True), batch_size="7")
    wire.text("ones", served=wire.served("upper_plain", alone=True), batch_size="1")
    wire.text("auto", served=wire.served("upper_plain", alone=True), table="words")
    wire.text("single", "upper_single")
    for case, options in BATCHES.items():
        wire.text(case, table="essays", batch_size="16", binary_data="false", max_concurrent_operations="1", **options)
    wire.text("two_in_flight", "slow", batch_size="5", max_concurrent_operations="2")
    wire.text("busy", hook=_busy_twice())  # type: ignore[arg-type]
    wire.text("map", batch_size="10")
    wire.predict("map", "review", "reviews", ", meta={'ml_predict': {'batch-size': 5}}", ", MAP['batch-size', '3']")
    wire.text("meta", batch_size="10")
    wire.predict("meta", "review", "reviews", ", meta={'ml_predict': {'batch-size': 5}}")
    for case, sequence in (("number_sequence", "42"), ("text_sequence", "user-7")):
        wire.project.model(
            case,
            "{{ config(materialized='inference_model') }}\nCREATE MODEL "
            f"{case} INPUT (amount BIGINT) OUTPUT (total BIGINT) WITH ('provider' = 'triton', 'endpoint' = "
            f"'{wire.proxy(case)}', 'model-name' = '{wire.served('running_total')}', 'sequence-id' = '{sequence}', "
            "'sequence-start' = 'true', 'sequence-end' = 'true')",
        )
        wire.project.model(
            f"p_{case}",
            "{{ config(materialized='ml_predict') }}\nselect * from ML_PREDICT("
            "TABLE (select * from {{ ref('amounts') }} order by id desc), "
            f"MODEL {{{{ ref('{case}') }}}}, DESCRIPTOR(amount))",
        )
    _write_datatypes(wire)


def _write_datatypes(wire: Wire) -> None:
    values = ", ".join(f"cast({sql} as {kind}) as in_{name}" for name, (kind, sql) in DATATYPES.items())
    wire.project.model("values", f"{{{{ config(materialized='table') }}}}\nselect id, {values} from range(1, 21) t(id)")
    for case, binary in (("types_binary", "true"), ("types_json", "false")):
        sides = [", ".join(f"{side}_{name} {kind}" for name, (kind, _) in DATATYPES.items()) for side in ("in", "out")]
        wire.project.model(
            case,
            "{{ config(materialized='inference_model') }}\n"
            f"CREATE MODEL {case} INPUT ({sides[0]}) OUTPUT ({sides[1]}) WITH ('provider' = 'triton', 'endpoint' = "
            f"'{wire.proxy(case)}', 'model-name' = '{wire.served('datatypes')}', 'binary-data' = '{binary}')",
        )
        wire.predict(case, ", ".join(f"in_{name}" for name in DATATYPES), "values")


def shapes(requests: list[Message]) -> list[int]:
    """Return the rows of each request, the largest first."""
    return sorted((request.json["inputs"][0]["shape"][0] for request in requests), reverse=True)


@pytest.mark.slow
def test_server_ran_every_request(wire: Wire) -> None:
    """Every table holds what the real server answered, and the server counts as many requests as were sent."""
    expected = [(f"review {i}", f"REVIEW {i}") for i in range(1, REVIEWS + 1)]
    cases = ["plain", "gzip", "deflate", "json", "json_gzip", "json_deflate", "binary", "priority", "single", "busy"]
    for case in [*cases, "token", "bearer", "environment_token", "headers", "sevens", "ones", "map", "two_in_flight"]:
        assert wire.pairs(case) == expected, case
    by_model = Counter(
        exchange.path.split("/")[3]
        for proxy in wire.proxies.values()
        for exchange in proxy.inferences
        if exchange.status == 200
    )
    assert {model: wire.triton.counters(model).requests for model in by_model} == by_model


def test_compression_compresses(wire: Wire) -> None:
    """Bodies with gzip and deflate are compressed, and say so."""
    plain = wire.sent("plain")[0]
    assert plain.header("Content-Encoding") is None
    for case in ("gzip", "deflate", "json_gzip", "json_deflate"):
        for request in wire.sent(case):
            assert request.header("Content-Encoding") == case.removeprefix("json_")
            assert len(request.body) < len(request.plain_body)
            assert request.json["inputs"][0]["shape"] == [REVIEWS, 1]


def test_binary_data_is_binary(wire: Wire) -> None:
    """Binary tensors have no JSON data: lengths and bytes follow the header, and the answer is binary too."""
    for case in ("binary", "plain"):  # auto is binary where the server can
        request = wire.sent(case)[0]
        tensor = request.json["inputs"][0]
        assert "data" not in tensor
        data = request.body[int(request.header("Inference-Header-Content-Length") or 0) :]
        assert len(data) == tensor["parameters"]["binary_data_size"]
        length = struct.unpack("<I", data[:4])[0]
        assert data[4 : 4 + length].startswith(b"review ")
        answer = wire.proxies[case].inferences[0].answer
        assert answer is not None
        assert answer.header("Inference-Header-Content-Length")


def test_json_is_json(wire: Wire) -> None:
    """'binary-data' = 'false' sends and receives nothing but JSON."""
    exchange = wire.proxies["json"].inferences[0]
    assert exchange.request.header("Inference-Header-Content-Length") is None
    assert sorted(exchange.request.json["inputs"][0]["data"]) == sorted(f"review {i}" for i in range(1, REVIEWS + 1))
    assert exchange.answer is not None
    assert sorted(exchange.answer.json["outputs"][0]["data"]) == sorted(f"REVIEW {i}" for i in range(1, REVIEWS + 1))


def test_priority_is_a_parameter(wire: Wire) -> None:
    """Priority is sent as the request's parameter, and is not there unless asked for."""
    assert all(request.json["parameters"] == {"priority": 3} for request in wire.sent("priority"))
    assert all("parameters" not in request.json for request in wire.sent("plain"))


def test_latest_is_the_unversioned_url(wire: Wire) -> None:
    """Latest leads to the highest version by the URL without a version; a number is in the URL."""
    assert {exchange.path for exchange in wire.proxies["latest"].inferences} == {
        f"/v2/models/{wire.served('versioned')}/infer"
    }
    assert {exchange.path for exchange in wire.proxies["first_version"].inferences} == {
        f"/v2/models/{wire.served('versioned')}/versions/1/infer"
    }
    assert wire.pairs("latest")[0] == ("review 1", "v2 review 1")
    assert wire.pairs("first_version")[0] == ("review 1", "v1 review 1")


def test_bearer_once(wire: Wire) -> None:
    """A token is sent as one Bearer, with every request, however it was written."""
    for case, token in (("token", "abc.def"), ("bearer", "abc.def"), ("environment_token", TOKEN)):
        for exchange in wire.proxies[case].exchanges:
            assert exchange.request.all("Authorization") == [f"Bearer {token}"], exchange.path
    assert wire.sent("plain")[0].all("Authorization") == []


def test_custom_headers_are_sent(wire: Wire) -> None:
    """Custom headers go with every request, with variables of the environment in them."""
    for exchange in wire.proxies["headers"].exchanges:
        assert exchange.request.header("X-Team") == "reviews"
        assert exchange.request.header("X-Key") == f"k-{KEY}"


def test_batches_have_batch_size_rows(wire: Wire) -> None:
    """The server's own statistics show batches of batch-size rows; auto is the server's max_batch_size."""
    assert shapes(wire.sent("sevens")) == [7] * 7 + [1]
    assert shapes(wire.sent("ones")) == [1] * REVIEWS
    assert shapes(wire.sent("auto")) == [256, WORDS - 256]
    for case, sizes in (("sevens", {7: 7, 1: 1}), ("ones", {1: REVIEWS}), ("auto", {256: 1, WORDS - 256: 1})):
        model = wire.proxies[case].inferences[0].path.split("/")[3]
        assert wire.triton.batch_sizes(model) == sizes, case


def test_rows_of_similar_length_share_a_request(wire: Wire) -> None:
    """By default no request has a text shorter than one of the next; batch-by = none leaves rows as they are."""
    for case in BATCHES:
        assert all(review.upper() == output for review, output in wire.pairs(case)), case
        assert len(wire.pairs(case)) == ESSAYS
    lengths = {
        case: [[len(text) for text in request.json["inputs"][0]["data"]] for request in wire.sent(case)]
        for case in BATCHES
    }
    # Numbers at the end of texts differ by a digit or two, which are tokens, and less than a word.
    assert all(min(one) + 5 >= max(other) for one, other in pairwise(lengths["by_length"]))
    assert sorted(map(len, lengths["by_length"])) == [ESSAYS % 16] + [16] * (ESSAYS // 16)
    padded = {case: sum(len(one) * max(one) for one in requests) for case, requests in lengths.items()}
    assert padded["as_they_come"] > 1.5 * padded["by_length"]
    budgets = [len(request) * -(-max(request) // 4) for request in lengths["budgeted"]]
    assert max(budgets) <= BUDGET
    assert max(map(len, lengths["budgeted"])) == 16
    assert min(map(len, lengths["budgeted"])) < 5


def test_call_wins_over_meta_wins_over_with(wire: Wire) -> None:
    """MAP of the call wins over meta of the predicting model, which wins over WITH."""
    assert max(shapes(wire.sent("map"))) == 3
    assert max(shapes(wire.sent("meta"))) == 5


def test_model_without_batching(wire: Wire) -> None:
    """A model with max_batch_size 0 gets one row a request, without a batch dimension."""
    assert all(request.json["inputs"][0]["shape"] == [1] for request in wire.sent("single"))
    assert len(wire.sent("single")) == REVIEWS


def test_requests_in_flight_are_bounded(wire: Wire) -> None:
    """max-concurrent-operations is how many requests are in flight, no more and no less."""
    assert wire.proxies["two_in_flight"].most_in_flight == 2


def test_busy_server_is_asked_again(wire: Wire) -> None:
    """503 is asked again, and dbt's console line and run_results count the retries."""
    assert [exchange.status for exchange in wire.proxies["busy"].inferences] == [503, 503, 200]
    assert wire.result.figures("p_busy")["retries"] == 2
    assert "3 requests, 2 retries" in wire.result.message("p_busy")


@pytest.mark.parametrize(("case", "sequence"), [("number_sequence", 42), ("text_sequence", "user-7")])
def test_rows_of_a_run_are_one_sequence(wire: Wire, case: str, sequence: int | str) -> None:
    """Rows go one a request, one in flight, in the order of the input; start on the first and end on the last."""
    requests = [request.json for request in wire.sent(case)]
    assert [request["inputs"][0]["shape"] for request in requests] == [[1, 1]] * AMOUNTS
    assert [request["parameters"]["sequence_id"] for request in requests] == [sequence] * AMOUNTS
    starts = [request["parameters"].get("sequence_start", False) for request in requests]
    ends = [request["parameters"].get("sequence_end", False) for request in requests]
    assert starts == [True] + [False] * (AMOUNTS - 1)
    assert ends == [False] * (AMOUNTS - 1) + [True]
    assert wire.proxies[case].most_in_flight == 1
    amounts = [i * i for i in range(AMOUNTS, 0, -1)]
    totals = [sum(amounts[: n + 1]) for n in range(AMOUNTS)]
    rows = wire.project.query(f"select amount, total from p_{case} order by id desc")
    assert rows == list(zip(amounts, totals, strict=True))


@pytest.mark.parametrize("case", ["types_binary", "types_json"])
def test_every_datatype_survives(wire: Wire, case: str) -> None:
    """Every supported datatype comes back exactly as it was, in binary and in JSON."""
    for name in DATATYPES:
        assert wire.project.query(
            f"select count(*), count(*) filter (where in_{name} is not distinct from out_{name}) from p_{case}"
        ) == [(20, 20)], name
    types = wire.project.query(f"select typeof(out_uint64), typeof(out_fp32), typeof(out_bool) from p_{case} limit 1")
    assert types == [("UBIGINT", "FLOAT", "BOOLEAN")]


def test_figures_are_in_run_results(wire: Wire) -> None:
    """run_results.json carries the rows, requests, retries, bytes and seconds of each predicting model."""
    figures = wire.result.figures("p_sevens")
    assert figures["rows_predicted"] == REVIEWS
    assert figures["requests"] == len(wire.sent("sevens"))
    assert figures["bytes_sent"] == sum(len(request.body) for request in wire.sent("sevens"))
    assert figures["seconds"] > 0
    assert wire.result.results["p_sevens"]["adapter_response"]["rows_affected"] == REVIEWS
    assert f"ML_PREDICT {REVIEWS} rows, 8 requests, 0 retries" in wire.result.output


def test_connections_are_closed(wire: Wire) -> None:
    """No connection outlives the run."""
    for case, proxy in wire.proxies.items():
        assert proxy.wait_for(lambda p: p.open_connections == 0), case
        assert proxy.connections, case


def test_metadata_holds_no_secret(wire: Wire) -> None:
    """The metadata row masks literal secrets, and keeps ${NAME} as it is written."""
    rows = dict(
        wire.project.query("select 'token', options from token union all select 'env', options from environment_token")
    )
    assert json.loads(rows["token"])["auth-token"] == "***"
    assert json.loads(rows["env"])["auth-token"] == "${WIRE_TOKEN}"
    database = Path(wire.project.database).read_bytes()
    assert TOKEN.encode() not in database
    assert b"abc.def" not in database
