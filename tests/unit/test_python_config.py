import importlib.util
import linecache
import re
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dbt_triton.errors import ConfigurationError
from dbt_triton.step import python_model
from dbt_triton.step.python_config import check_config

SECRET = "s3cret-TOKEN-of-mine"  # noqa: S105 - of nothing
MODEL = """
from dbt_triton import ml_predict

def model(dbt, session):
    return ml_predict(dbt, session, "reviews", "m", "txxt", config=CONFIG)
"""


@pytest.fixture(autouse=True)
def sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the lines of other files for other tests."""
    monkeypatch.setattr(linecache, "cache", dict(linecache.cache))


@pytest.mark.parametrize(
    "config",
    [
        {"auth-token": SECRET},
        {"auth-token": f"Bearer {SECRET}"},
        {"auth-token": "${TOKEN}" + SECRET},
        {"custom-headers": {"X-Key": SECRET, "X-Other": "${NAME}"}},
        {"custom-headers": f'{{"X-Key": "{SECRET}"}}'},
        {"custom-headers": f"X-Key:{SECRET}"},
        {"custom-headers": f'{{"X-Key": "{SECRET}'},
        {"auth_token": SECRET},
        {"Auth-Token": SECRET},
        {"tokn": SECRET},
        {"endpoint": f"http://user:{SECRET}@127.0.0.1:1"},
        {"auth-token": "${TOKEN}", "batch-size": "many", "custom-headers": {"X Y": SECRET}},
        f"auth-token={SECRET}",
        [("auth-token", SECRET)],
        {1: SECRET},
        {"custom-headers.X-Key": SECRET},
    ],
)
def test_error_shows_no_secret(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with a call, the traceback that dbt prints has no line on which a token is written."""

    def fail(*_: object) -> None:
        raise ConfigurationError(["whatever the options say"], "config")

    monkeypatch.setattr(python_model, "open_warehouse", fail)
    file = tmp_path / "model.py"
    file.write_text(MODEL.replace("CONFIG", repr(config)))
    found = importlib.util.spec_from_file_location("model", file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    with pytest.raises(ConfigurationError) as raised:
        module.model(SimpleNamespace(this=SimpleNamespace(identifier="p")), None)
    printed = "".join(traceback.format_exception(raised.value))
    assert f'File "{file}", line 5, in model' in printed
    assert SECRET not in printed


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"auth-token": "${TOKEN}"},
        {"auth-token": "Bearer ${TOKEN}", "batch-size": 64},
        {"custom-headers": {"X-Key": "${NAME}"}},
        {"custom-headers": "X-Key:${NAME}"},
    ],
)
def test_what_is_read_from_the_environment_is_taken(config: dict[str, Any] | None) -> None:
    """``${NAME}`` is no literal."""
    check_config(config, "p")


@pytest.mark.parametrize("key", ["auth-token", "custom-headers"])
def test_literal_is_refused(key: str) -> None:
    """A literal is refused, by the name of its option."""
    value = SECRET if key == "auth-token" else {"X-Key": SECRET}
    expected = (
        f"config of ml_predict in p:\n  - {key}: write ${{NAME}}, which is read from the environment, not a literal"
    )
    with pytest.raises(ConfigurationError, match=f"^{re.escape(expected)}$"):
        check_config({"batch-size": 64, key: value}, "p")


@pytest.mark.parametrize("table", [None, 5, [1], (1,), {"x": [1]}, b"select 1", True])
def test_what_is_no_table(table: object) -> None:
    """A value that DuckDB could not read as a table is told before anything is asked of the session."""
    dbt = SimpleNamespace(this=SimpleNamespace(identifier="p"))
    with pytest.raises(
        ConfigurationError, match=rf"(?s)table of ml_predict.*not a value of type {type(table).__name__}: pass"
    ):
        python_model.ml_predict(dbt, None, table, None, "x")


def test_lines_of_other_models_stay() -> None:
    """Where no token can be, a traceback shows the line."""
    check_config({"batch-size": 64}, "p")
    assert "check_config" in "".join(linecache.getlines(__file__))
