"""A new version behind `latest`, which the server serves while a run is on its way."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import httpx
import pytest
from support.proxy import Exchange, RecordingProxy
from support.session import StepError, Steps
from support.triton import Triton

_CALL = "select * from ML_PREDICT(TABLE texts, MODEL m, DESCRIPTOR(name))"


def test_no_table_of_two_versions(triton: Triton, serve: Callable[[str], str], session: Steps) -> None:
    """The run ends, and nothing of the new version is kept as the old one's; the next run has the new one alone."""
    model = serve("versioned")
    seen: list[str] = []

    def release(exchange: Exchange) -> None:
        seen.append(exchange.path)
        if exchange.path.endswith("/infer") and sum(path.endswith("/infer") for path in seen) == 4:
            shutil.copytree(triton.repository / model / "1", triton.repository / model / "3")
            url = f"{triton.url}/v2/repository/models/{model}/load"
            httpx.post(url, timeout=60, trust_env=False).raise_for_status()

    with RecordingProxy(triton.url, release) as proxy:
        options = {"endpoint": proxy.url, "model-name": model, "batch-size": "1", "max-concurrent-operations": "1"}
        session.sql("create table texts as select 'text ' || i as name from range(10) r(i)")
        session.create_model("m", "INPUT (name STRING) OUTPUT (label STRING)", options | {"cache": "persistent"})
        with pytest.raises(StepError, match=r"answers with version 3 of the model, but the run began with version 2"):
            session.build("predicted", _CALL, ["m"])
        assert session.sql("select distinct left(label, 2) from predicted__ml_predictions") == [("v2",)]
        rows = session.build("predicted", _CALL, ["m"])
        assert sorted(rows) == [(f"text {number}", f"v3 text {number}") for number in range(10)]
