"""`dbt-triton init` against a real Triton with every model of the test repositories: what it writes builds as it is."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from support.dbt import DbtProject, DbtResult
from support.every_model import language_models, write_every_model, write_formulas
from support.formulas import FormulaModel

from dbt_triton.cli import main
from dbt_triton.server import TritonServer

pytestmark = pytest.mark.duckdb_only("what is written for Spark is other text, which tests/unit/test_init_texts.py has")

#: Models of the example that want more of a text than to be one, and those that are at fault by design.
REFUSE_EXAMPLES = {
    *("audio_preprocessing", "dial_tone_ensemble", "digit_ensemble", "image_preprocessing"),
    *("wrong_datatype", "wrong_output", "wrong_rows"),
    *("decoder_cache", "promptable_segmentation", "recommender_forty_inputs"),
}


MISREAD = "{{ run_query(1) }} `q` it's"
#: Names that SQL, Jinja or dbt would read, and a picture.
UNUSUAL = FormulaModel(
    "3D-Unet.v2",
    "max_batch_size: 4\n"
    f'input {{ name: "{MISREAD}" data_type: TYPE_STRING dims: [ 1 ] }}\n'
    'input { name: "select" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }\n'
    'output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }\n'
    'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }\n'
    'output { name: "{% raw %}" data_type: TYPE_STRING dims: [ 1 ] }\n'
    'output { name: "ml_key" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }\n',
    {
        "Y": "inputs['select'].max((1, 2, 3))[:, None]",
        "y": "inputs['select'].max((1, 2, 3))[:, None] * 2",
        "{% raw %}": f'inputs["{MISREAD}"]',
        "ml_key": "inputs['select']",
    },
)


@dataclass(frozen=True)
class Everything:
    """What came of it: the models' names, the build with the server, and the unit tests without it."""

    names: list[str]
    project: DbtProject
    listed: str
    build: DbtResult
    unit_tests: DbtResult


def load(url: str, names: list[str]) -> None:
    """Load models, ensembles with what they are made of."""
    with httpx.Client(base_url=f"{url}/v2/repository/models", timeout=300, trust_env=False) as client:

        def post(name: str) -> None:
            answer = client.post(f"/{name}/load")
            assert answer.is_success, f"{name}: {answer.text}"

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(post, names))


@pytest.fixture(scope="module")
def everything(module_project: Callable[..., DbtProject], tmp_path_factory: pytest.TempPathFactory) -> Everything:
    """One server of all models, one project with the files of all of them, one build, and then the server is gone."""
    repository = tmp_path_factory.mktemp("every_model")
    write_formulas(UNUSUAL, repository)
    names = write_every_model(repository)
    project = module_project()
    # They are loaded one by one, since a busy machine takes longer for all of them than a start may take.
    with TritonServer(repository, extra_args=["--model-control-mode=explicit"]) as server:
        load(server.url, names)
        models = [argument for name in names for argument in ("--model", name)]
        assert main(["init", "--project-dir", str(project.root), "--endpoint", server.url, *models]) == 0
        with contextlib.redirect_stdout(io.StringIO()) as listed:
            assert main(["init", "--all", "--endpoint", server.url]) == 0
        build = project.dbt("build", "--exclude-resource-type", "unit_test")
    # The warehouse is an empty one, in which nothing was ever built.
    target = {"type": "duckdb", "path": str(project.root / "empty.duckdb"), "threads": 4}
    project.write("profiles.yml", json.dumps({"shop": {"target": "dev", "outputs": {"dev": target}}}))
    return Everything(names, project, listed.getvalue(), build, project.dbt("test", "--select", "test_type:unit"))


@pytest.mark.timeout(600)
def test_every_model_builds_as_it_is(everything: Everything) -> None:
    """CREATE MODEL and the predicting model of whatever is served build with no edit, and predict the examples."""
    assert everything.build.code == 0, everything.build.printed
    names = {name.removesuffix("_predicted") for name in everything.build.results if name.endswith("_predicted")}
    assert len(names) == len(everything.names)
    assert "warn" not in everything.build.output.lower().replace("warn=0", "")
    errors = " union all ".join(f"select '{name}', ml_error from {name}_predicted" for name in names)
    failed = everything.project.query(f"select distinct * from ({errors}) as t(name, error) where error is not null")
    assert {name for name, _ in failed} == REFUSE_EXAMPLES, failed


def test_every_unit_test_passes_without_a_server(everything: Everything) -> None:
    """The unit test of each passes when the server is gone, and where no table was ever built."""
    assert everything.unit_tests.code == 0, everything.unit_tests.printed
    assert f"PASS={len(everything.names)} " in everything.unit_tests.output


def test_columns_are_called_like_tensors(everything: Everything) -> None:
    """The tables have the outputs under their own names, whatever these are."""
    columns = everything.project.columns("scene_text_predicted")
    assert list(columns) == ["id", "feature_fusion/Conv_7/Sigmoid:0", "feature_fusion/concat_3:0", "ml_error"]
    assert columns["feature_fusion/concat_3:0"] == "FLOAT[5][][]"
    assert everything.project.query("select TOTAL from running_total_predicted order by id") == [(1,), (3,)]
    assert everything.project.columns("identity_fixed_predicted")["OUT_BF16"] == "FLOAT[3][2]"


def test_unusual_names_are_names(everything: Everything) -> None:
    """Names that SQL, Jinja or dbt would read are names in dbt, too: of the model, of tensors, of columns."""
    columns = "Y, y_2, raw, len(ml_key_2), ml_error"
    rows = everything.project.query(f"select {columns} from model_3d_unet_v2_predicted order by id")
    assert rows == [(1.5, 3.0, "example 1", 3, None), (2.5, 5.0, "example 2", 3, None)]


def test_language_models_are_known(everything: Everything) -> None:
    """Each interface of a language model has its parameters, and answers the examples."""
    for model in language_models():
        text = (everything.project.root / "models" / f"{model.name}.sql").read_text()
        assert "'max-tokens' = '64'" in text
        (answers,) = everything.project.query(f"select count(text_output) from {model.name}_predicted")
        assert answers == (2,)
    kinds = {line.split()[0]: line for line in everything.listed.splitlines() if "language model" in line}
    assert "(vLLM)" in kinds["vllm_25"]
    assert "(TensorRT-LLM)" in kinds["llmapi"]
