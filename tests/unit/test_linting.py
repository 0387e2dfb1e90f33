"""The recipe of docs/linting.md, with the real sqlfluff."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dbt_triton.client.served import ServedModel, ServedTensor
from dbt_triton.init.draft import draft_of
from dbt_triton.init.texts import create_model, predicting_model
from dbt_triton.warehouses.example_values import example_values

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "linting.md").read_text(encoding="utf-8")
SQLFLUFF = Path(sys.executable).with_name("sqlfluff")
_FILE = re.compile(r"^( *)```(?:ini|python|text)\n *# (\S+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
#: The example project's own macros, which no recipe of ours can know.
OWN_MACROS = """
files = {% macro files(pattern) %}read_blob('x'){% endmacro %}
cosine_similarity = {% macro cosine_similarity(one, other) %}similarity({{ one }}, {{ other }}){% endmacro %}
"""
CREATE_MODEL = "CREATE MODEL m INPUT (a STRING)\nOUTPUT (`b` FLOAT[3]) WITH ('endpoint' = '{{ env_var(\"T\") }}')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the files that the page shows."""
    shown = _FILE.findall(PAGE)
    assert [path for _, path, _ in shown] == [".sqlfluffignore", ".sqlfluff", "sqlfluff_libs/dbt_triton.py"]
    for indent, path, text in shown:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(re.sub(f"^{indent}", "", text, flags=re.MULTILINE))
    return tmp_path


def write(project: Path, path: str, text: str) -> None:
    """Write a file of the project."""
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text(text, encoding="utf-8")


def lint(project: Path, *arguments: str) -> dict[str, Counter[str]]:
    """Return the codes of what sqlfluff says of each file that it has looked at."""
    done = subprocess.run(
        [SQLFLUFF, "lint", "models", "--format", "json", "--nofail", "--disable-progress-bar", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return {
        str(Path(file["filepath"]).relative_to("models")): Counter(one["code"] for one in file["violations"])
        for file in json.loads(done.stdout)
    }


def test_example_project_is_read(project: Path) -> None:
    """With the page's files, sqlfluff reads every file of the example project, and complains of style alone."""
    shutil.copytree(ROOT / "example_project" / "models", project / "models")
    settings = (project / ".sqlfluff").read_text()
    macros = "[sqlfluff:templater:jinja:macros]"
    (project / ".sqlfluff").write_text(settings.replace(macros, macros + OWN_MACROS))
    statements = set()
    for file in (project / "models").rglob("*.sql"):
        text = file.read_text()
        if re.search(r"^CREATE MODEL ", text, re.MULTILINE | re.IGNORECASE):
            statements.add(str(file.relative_to(project / "models")))
            file.write_text("-- noqa: disable=all\n" + text)
    found = lint(project)
    assert len(statements) > 8
    assert len(found) > 2 * len(statements)
    assert not any(found[file] for file in statements)
    said = sum(found.values(), Counter())
    assert not {"PRS", "TMP", "LXR", "CP02", "CP03"} & set(said), {
        file: codes for file, codes in found.items() if codes & Counter(("PRS", "TMP", "CP02", "CP03"))
    }
    assert said["ST03"], "the page says that a CTE of a verbatim call counts as unused"


def test_each_way_to_leave_out_a_statement(project: Path) -> None:
    """A folder, a line, or a word at the top: each leaves CREATE MODEL out, and without any it is a parsing error."""
    write(project, "models/triton/ignored.sql", CREATE_MODEL)
    write(project, "models/by_line.sql", f"{{{{ config(a='b') }}}}\n-- noqa: disable=all\n{CREATE_MODEL}")
    write(project, "models/at_the_top.sql", f"-- sqlfluff:ignore:parsing\n{CREATE_MODEL}")
    write(project, "models/on_the_line.sql", CREATE_MODEL.replace("(a STRING)", "(a STRING) -- noqa: PRS"))
    write(project, "models/by_yaml.sql", "{{ dbt_triton.create_model() }}\n")
    write(project, "models/plain.sql", CREATE_MODEL)
    found = lint(project)
    assert found.pop("plain.sql")["PRS"] == 1
    assert found == {one: Counter() for one in ("by_line.sql", "at_the_top.sql", "on_the_line.sql", "by_yaml.sql")}


def test_fix_leaves_statements_alone(project: Path) -> None:
    """`sqlfluff fix` mends a query, keeps a verbatim call as Flink has it, and does not touch a CREATE MODEL."""
    write(project, "models/plain.sql", CREATE_MODEL)
    write(project, "models/by_line.sql", f"-- noqa: disable=all\n{CREATE_MODEL}")
    call = "ML_PREDICT(TABLE {{ ref('t') }}, MODEL {{ ref('m') }}, DESCRIPTOR(a))"
    write(project, "models/predicted.sql", f"SELECT a,\n  b from {call}\n")
    subprocess.run(
        [SQLFLUFF, "fix", "models", "--disable-progress-bar"],
        cwd=project,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert (project / "models/plain.sql").read_text() == CREATE_MODEL
    assert (project / "models/by_line.sql").read_text().endswith(CREATE_MODEL)
    assert (project / "models/predicted.sql").read_text() == f"SELECT\n    a,\n    b\nFROM {call}\n"


def test_what_init_writes_has_nothing_to_mend(project: Path) -> None:
    """The predicting model that `dbt-triton init` writes is in the style that sqlfluff has by default."""
    inputs = (ServedTensor("review", "BYTES", (-1, 1)), ServedTensor("age", "FP32", (-1, 1)))
    outputs = (ServedTensor("sentiment", "BYTES", (-1, 1)), ServedTensor("scores", "FP32", (-1, 3)))
    served = ServedModel("m", "1", inputs, outputs, 8, False, False, False, "2.51.0", True)  # noqa: FBT003
    said = {"provider": "triton", "endpoint": "http://localhost:8000", "model-name": "m"}
    draft = draft_of("m", said, served)
    write(project, "models/triton/m.sql", create_model(draft))
    write(project, "models/m_predicted.sql", predicting_model(draft, example_values("duckdb")))
    assert lint(project) == {"m_predicted.sql": Counter()}
