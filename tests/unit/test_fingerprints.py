import pytest

from dbt_triton.ddl import parse_create_model
from dbt_triton.inference_model import InferenceModel
from dbt_triton.inference_model.binding import fingerprint
from dbt_triton.tensors.sql_types import supported_sql_types

SERVER = "'provider' = 'triton', 'endpoint' = 'http://localhost:8000', 'model-name' = 'm'"
#: INPUT, OUTPUT, further options, and the fingerprint that stores of earlier releases have.
KNOWN = [
    ("t STRING", "label STRING", "", "47d38f0aceee"),
    ("a FLOAT16, b BFLOAT16, c FLOAT", "p FLOAT[3], q BFLOAT16[2]", "", "04ac6c567f4c"),
    ("pixels UTINYINT[224][224][3]", "boxes FLOAT[100][4]", "", "e80553f5e703"),
    ("audio FLOAT[200000]", "heat FLOAT[512][512], names STRING[5000]", "", "0e92f7923dc1"),
    (
        "t TIMESTAMP_LTZ(3), u TIMESTAMP, d DECIMAL(12, 3)[]",
        "t TIMESTAMP WITH TIME ZONE[2], d DATE",
        "",
        "274f38402ba0",
    ),
    ("a STRING", "b BYTES, j JSON", ", 'auth-token' = '${TOKEN}', 'cache-version' = '2'", "1932a6be03c5"),
    ("a FLOAT, b DOUBLE", "p FLOAT", ", 'null-as' = 'nan', 'cache-scope' = 'model'", "ab33de4aba03"),
]
DECIMALS = {"DECIMAL(p, s)", "NUMERIC", "DEC"}


@pytest.mark.parametrize(("inputs", "outputs", "options", "expected"), KNOWN)
def test_fingerprint_stays(inputs: str, outputs: str, options: str, expected: str) -> None:
    """A prediction that an earlier release has kept is found again: nothing is paid for twice after an upgrade."""
    assert found(inputs, outputs, options) == expected


def test_fingerprint_of_every_type_stays() -> None:
    """The same of every type that can be declared, and of arrays of it."""
    types = ["DECIMAL(12, 3)" if name in DECIMALS else name for name in supported_sql_types()]
    values = ", ".join(f"c{place} {name}" for place, name in enumerate(types))
    arrays = ", ".join(f"c{place} {name}[]" for place, name in enumerate(types))
    assert found(values, arrays, "") == "95600cd1525f"
    assert found(arrays, values, "") == "ec9a269b0312"


def test_fingerprint_of_several_servers() -> None:
    """The order of servers is of no matter to a prediction; which they are is, unless cache-scope says otherwise."""

    def of(endpoint: str, more: str = "") -> str:
        server = f"'provider' = 'triton', 'endpoint' = '{endpoint}', 'model-name' = 'm'{more}"
        statement = f"create model m input (t STRING) output (label STRING) with ({server})"
        return fingerprint(InferenceModel.from_definition(parse_create_model(statement)), "3")

    assert of("http://a, http://b") == of("http://b/v2,http://a")
    assert len({of("http://a, http://b"), of("http://a"), of("http://a, http://c")}) == 3
    assert of("http://localhost:8000") == "47d38f0aceee"
    by_model = ", 'cache-scope' = 'model'"
    assert of("http://a, http://b", by_model) == of("http://a", by_model)


def found(inputs: str, outputs: str, options: str) -> str:
    """Return the fingerprint of a model."""
    statement = f"create model m input ({inputs}) output ({outputs}) with ({SERVER}{options})"
    return fingerprint(InferenceModel.from_definition(parse_create_model(statement)), "3")
