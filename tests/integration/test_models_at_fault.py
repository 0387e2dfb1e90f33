"""Models that answer other tensors than they declare: no row is blamed, and no answer is taken for another row's."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import httpx
import pytest
from support.session import StepError, Steps
from support.triton import Triton

_IMAGES = "INPUT (images FLOAT[2][2]) OUTPUT (output FLOAT[3])"
_CALL = "select * from ML_PREDICT(TABLE photos, MODEL m, DESCRIPTOR(photo))"


def _photos(session: Steps, things: list[int]) -> None:
    rows = ", ".join(f"({number}, [[{count}, {number}], [0, 0]])" for number, count in enumerate(things))
    session.table("photos", f"select id, photo::float[2][2] as photo from (values {rows}) v(id, photo)")


def test_batch_dim_where_the_axis_counts_detections(
    session: Steps, triton: Triton, serve: Callable[[str], str]
) -> None:
    """A model whose first axis counts what it found is no batch: nothing is kept, and it is said what to write."""
    options = {"endpoint": triton.url, "model-name": serve("detections"), "batch-dim": "true", "batch-size": "4"}
    _photos(session, [1, 1, 1, 1, 3, 1, 0, 2, 2, 1])
    session.create_model("m", _IMAGES, options | {"cache": "persistent"})
    with pytest.raises(StepError, match=r"Leave 'batch-dim' out.*FLOAT\[7\]\[\](.|\n)*Nothing is kept"):
        session.build("predicted", _CALL, ["m"])
    assert session.sql("select * from predicted__ml_predictions") == []


def test_detections_one_row_a_request(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """As the message says: without batch-dim, and with the axis declared, each row has its own detections."""
    options = {"endpoint": triton.url, "model-name": serve("detections")}
    things = [1, 3, 0, 2]
    _photos(session, things)
    session.create_model("m", _IMAGES.replace("FLOAT[3]", "FLOAT[3][]"), options)
    rows = session.build("predicted", "select id, output from" + _CALL.split("from", 1)[1], ["m"])
    assert sorted(rows) == session.read(
        (number, [(0.0, float(count), float(thing)) for thing in range(count)]) for number, count in enumerate(things)
    )


def test_a_mended_model_gets_its_rows_again(session: Steps, triton: Triton, serve: Callable[[str], str]) -> None:
    """Rows that failed for a wrong datatype are sent again by the next build, whatever the version is called."""
    wrong, right = serve("wrong_datatype"), serve("upper")
    options = {"endpoint": triton.url, "model-name": wrong, "cache": "persistent"}
    session.sql("create table texts as select unnest(['a', 'b', 'c']) as name")
    session.create_model("m", "INPUT (name STRING) OUTPUT (label STRING)", options)
    call = "select * from ML_PREDICT(TABLE texts, MODEL m, DESCRIPTOR(name))"
    with pytest.raises(StepError, match=r"expected BYTES(.|\n)*Mend the model(.|\n)*sends these rows again"):
        session.build("predicted", call, ["m"])
    shutil.copy(triton.repository / right / "1" / "model.py", triton.repository / wrong / "1" / "model.py")
    for action in ("unload", "load"):
        url = f"{triton.url}/v2/repository/models/{wrong}/{action}"
        httpx.post(url, timeout=60, trust_env=False).raise_for_status()
    assert sorted(session.build("predicted", call, ["m"])) == [("a", "A"), ("b", "B"), ("c", "C")]
