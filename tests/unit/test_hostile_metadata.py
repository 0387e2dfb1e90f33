import asyncio
from typing import Any

import orjson
import pytest
from unit.http_server import Answer, RecordingServer
from unit.nonsense import SECRET, VALUES, changed

from dbt_triton.client import TritonClient
from dbt_triton.client.served import ServedModel
from dbt_triton.ddl import parse_create_model
from dbt_triton.errors import ConfigurationError, DbtTritonError, InferenceError
from dbt_triton.foreign_text import remember_secrets
from dbt_triton.inference_model import InferenceModel, bind, description, metadata_row
from dbt_triton.options import parse_options

SERVER = {"name": "triton", "version": "2.51.0", "extensions": ["classification", "binary_tensor_data"]}
METADATA = {
    "name": "m",
    "versions": ["1", "2"],
    "platform": "python",
    "inputs": [{"name": "X", "datatype": "BYTES", "shape": [-1, 1]}],
    "outputs": [{"name": "Y", "datatype": "BYTES", "shape": [-1, 1]}],
}
CONFIG = {
    "name": "m",
    "max_batch_size": 64,
    "input": [{"name": "X", "data_type": "TYPE_STRING", "optional": False}],
    "output": [{"name": "Y", "label_filename": ""}],
    "model_transaction_policy": {"decoupled": False},
    "dynamic_batching": {"preferred_batch_size": []},
    "sequence_batching": {
        "control_input": [{"name": "C", "control": [{"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_UINT64"}]}]
    },
}
MODEL = InferenceModel.from_definition(
    parse_create_model(
        "CREATE MODEL m INPUT (x STRING) OUTPUT (y STRING) WITH ('provider' = 'triton', 'endpoint' = 'http://h', "
        "'model-name' = 'm', 'sequence-id' = '1')"
    )
)


def _used(server: Any, metadata: Any, config: Any) -> None:
    """Use what a server says of a model, as building an inference model does."""
    served = ServedModel.from_answers(server, metadata, config, "http://h/v2/models/m")
    bind(MODEL, served)
    for text in (description(MODEL, served), *map(str, metadata_row(MODEL, served).values())):
        assert SECRET not in text
        assert text.replace("\n", "").isprintable()
        text.encode()


def _refused(*answers: Any) -> DbtTritonError | None:
    """Return the error of using what a server says."""
    try:
        _used(*answers)
    except (InferenceError, ConfigurationError) as error:
        return error
    return None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_nonsense_in_any_field_of_what_a_server_says(which: int) -> None:
    """Nonsense in one field is an error of one sentence, that this is no Triton or does not fit; or does not matter."""
    remember_secrets([SECRET])
    valid = [SERVER, METADATA, CONFIG]
    _used(*valid)
    refused = 0
    for what, text in changed(valid[which]):
        try:
            answer = orjson.loads(text)
        except ValueError:
            continue
        if not isinstance(answer, dict):
            continue
        error = _refused(*[answer if number == which else other for number, other in enumerate(valid)])
        if error is not None:
            refused += 1
            no_triton = str(error).startswith("http://h/v2/models/m is no model of a Triton server: ")
            assert no_triton is isinstance(error, InferenceError), what
            assert SECRET not in str(error), what
            assert len(str(error)) < (1100 if no_triton else 3000), what
            assert str(error).replace("\n", "").isprintable(), what
    assert refused > 50


@pytest.mark.parametrize(
    ("which", "change", "words"),
    [
        (1, {"versions": None}, "versions: input should be a valid list"),
        (1, {"versions": [1]}, "versions[0]: input should be a valid string"),
        (1, {"inputs": {}}, "inputs: input should be a valid list"),
        (1, {"inputs": [{"name": "X", "datatype": "BYTES", "shape": [True]}]}, "inputs[0].shape[0]: input should be"),
        (1, {"inputs": METADATA["inputs"] * 2}, "inputs: two of them have one name"),  # type: ignore[operator]
        (0, {"extensions": "binary_tensor_data"}, "extensions: input should be a valid list"),
        (2, {"max_batch_size": -1}, "max_batch_size: input should be greater than or equal to 0"),
        (2, {"max_batch_size": 2**40}, "max_batch_size: input should be less than"),
        (2, {"max_batch_size": "8"}, 'max_batch_size: input should be a valid integer, but it is "8"'),
        (2, {"sequence_batching": None}, "sequence_batching: it should be an object"),
        (2, {"model_transaction_policy": {"decoupled": "no"}}, "model_transaction_policy.decoupled: "),
    ],
)
def test_what_is_odd_is_said(which: int, change: dict[str, Any], words: str) -> None:
    """The error names the field and what it holds."""
    valid: list[dict[str, Any]] = [SERVER, METADATA, CONFIG]
    with pytest.raises(InferenceError) as caught:
        _used(*[answer | change if number == which else answer for number, answer in enumerate(valid)])
    assert words in str(caught.value)


def _asked(*answers: Answer, headers: dict[str, str] | None = None, **options: Any) -> str:
    """Return the error of asking a server about its model."""

    async def run() -> str:
        async with RecordingServer(*answers) as server:
            raw = {"provider": "triton", "endpoint": server.url, "model-name": "m", "max-retries": 0}
            async with TritonClient(parse_options(raw | options, "m"), headers) as client:
                with pytest.raises(DbtTritonError) as caught:
                    await client.served_model()
            assert len({received.headers("Host")[0] for received in server.received}) == 1
            return str(caught.value)

    return asyncio.run(run())


@pytest.mark.parametrize("status", [200, 302, 401, 404, 500])
def test_gateway_that_repeats_the_request(status: int) -> None:
    """A page that repeats the request's headers, in its text or in headers of its own, shows no token."""
    page = f"<html><title>Not here</title><pre>authorization: bearer {SECRET}\nx-key: {SECRET.upper()}</pre></html>"
    headers = {"Location": f"http://other.example/?t={SECRET}", "Set-Cookie": f"t={SECRET}", "Retry-After": SECRET}
    answer = Answer(status, page.encode(), headers | {"Content-Encoding": "identity"})
    error = _asked(answer, headers={"Authorization": f"Bearer {SECRET}"})
    assert "Not here" in error
    assert SECRET not in error.lower()


def test_coding_that_is_a_secret() -> None:
    """A header of the answer that gets into an error is masked like its text."""
    error = _asked(Answer(body=b"{}", headers={"Content-Encoding": SECRET}), headers={"X-Key": SECRET})
    assert "Content-Encoding ***" in error


@pytest.mark.parametrize("value", [value for value in VALUES if isinstance(value, str) and value.isprintable()])
def test_retry_after_of_any_text(value: str) -> None:
    """A Retry-After of any text is a time to wait, or nothing."""
    text = value.encode("latin-1", "ignore").decode("latin-1")[:1000]
    assert "busy" in _asked(Answer(503, b"busy", {"Retry-After": text or "-"}))


def test_long_words_are_cut() -> None:
    """An error of megabytes is told in a line, in the words with which it begins."""
    error = _asked(Answer(400, b'{"error":"' + b"bad \\u001b[2J row " * 300_000 + b'"}'))
    assert "says: bad \\x1b[2J row bad" in error
    assert len(error) < 700
