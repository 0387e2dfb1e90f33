"""A predicting model of a user's dbt project, found in what dbt has parsed, and run with another step in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from dbt_triton.errors import DbtTritonError
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.known_names import did_you_mean, listed_names
from dbt_triton.project import invoke_dbt, not_read, quiet_dbt

#: dbt's and the macros' own words before ours: "Compilation Error in model m (models/m.sql)", "dbt-triton, m: ".
_PREFIX = re.compile(r"^\s*(?:\w+ )?\w+ Error in model [^\n]*\n\s*(?:dbt-triton, [^:\n]*: )?")
_SUFFIX = re.compile(r"\n\s*\n?\s*> in macro .*", re.DOTALL)


@dataclass(frozen=True)
class PredictingModel:
    """A node with materialized='ml_predict', and the inference models that it refers to."""

    manifest: Any
    node: Any

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.node.name)

    @property
    def file(self) -> str:
        """Its file, as dbt names it."""
        return str(self.node.original_file_path)

    @property
    def meta(self) -> Mapping[str, Any]:
        """The options of its own."""
        found = (self.node.config.meta or {}).get("ml_predict")
        return found if isinstance(found, Mapping) else {}

    @property
    def has_own_meta(self) -> bool:
        """Whether these stand in its own file, and not in the YAML of its properties or of its folder."""
        return "ml_predict" in ((self.node.config_call_dict or {}).get("meta") or {})

    def inference_model(self, name: str) -> Any | None:  # noqa: ANN401 - a node of dbt's
        """Return the node of an inference model that it refers to, by the name of the CREATE MODEL."""
        nodes = [self.manifest.nodes.get(key) for key in self.node.depends_on.nodes]
        found = [node for node in nodes if node is not None and node.config.materialized == "inference_model"]
        named = [node for node in found if name.lower() in {node.name.lower(), str(node.alias).lower()}]
        return (named or (found if len(found) == 1 else []) or [None])[0]


def predicting_model(name: str, dbt_arguments: Sequence[str]) -> PredictingModel:
    """Parse the project, and find a predicting model by its name, alias or version.

    Raises:
        DbtTritonError: dbt cannot parse it, or the name is that of something else; with what to name.
    """
    manifest, said = invoke_dbt(["parse", "--no-write-json", *quiet_dbt(dbt_arguments), *dbt_arguments])
    if not hasattr(manifest, "nodes"):
        raise not_read("dbt cannot read this project", said, dbt_arguments)
    models = [node for node in manifest.nodes.values() if node.resource_type == "model"]
    wanted = name.strip().lower()
    latest = [node for node in models if node.name.lower() == wanted and _is_latest(node)]
    versioned = [node for node in models if node.version is not None and wanted in _names_of_version(node)]
    found = latest or versioned or [node for node in models if str(node.alias).lower() == wanted]
    predicting = sorted(node.name for node in models if node.config.materialized == "ml_predict")
    if len(found) != 1:
        some = f"several models are called {name}" if found else f"no model is called {shown(name, NAME_LENGTH)}"
        near = "" if found else did_you_mean(name, predicting)
        raise DbtTritonError(
            f"{some}{near.replace('?', '? The') if near else '; the'} predicting models of this project are "
            f"{listed_names(predicting) or 'none'}"
        )
    (node,) = found
    if node.config.materialized == "inference_model":
        callers = sorted(
            one.name
            for one in models
            if one.config.materialized == "ml_predict" and node.unique_id in one.depends_on.nodes
        )
        what = (
            f"name a model that predicts with it: {listed_names(callers)}" if callers else "no model predicts with it"
        )
        raise DbtTritonError(
            f"{node.name} is an inference model; how it is asked depends on the rows of who asks, so {what}"
        )
    if node.config.materialized != "ml_predict":
        in_python = (
            ". The call of a Python model is tuned as an 'ml_predict' model with the same input, and its options are "
            "then written in config"
            if node.language == "python"
            else ""
        )
        raise DbtTritonError(
            f"{node.name} has materialized='{node.config.materialized}', and only models with 'ml_predict' can be "
            f"tuned: {listed_names(predicting) or 'this project has none'}{in_python}"
        )
    if manifest.metadata.adapter_type == "spark":
        raise DbtTritonError(
            "dbt-triton tune works on DuckDB only so far: on Spark the requests come from executors, whose part this "
            "process cannot play. Tune with a target on DuckDB, or compare runs with the option 'sample'"
        )
    return PredictingModel(manifest, node)


def run_alone(model: PredictingModel, variable: str, dbt_arguments: Sequence[str]) -> str | None:
    """Let dbt run one model with a variable set to true, without the project's own hooks.

    An incremental model reads the whole of its input, as if for the first time; its new rows may be none.

    Returns:
        What went wrong, in our words or dbt's; None where nothing did.
    """
    manifest = model.manifest
    manifest.nodes = {key: node for key, node in manifest.nodes.items() if node.resource_type != "operation"}
    arguments = list(dbt_arguments)
    variables: dict[str, Any] = {}
    if "--vars" in arguments:
        place = arguments.index("--vars")
        variables = yaml.safe_load(arguments[place + 1]) or {}
        del arguments[place : place + 2]
    told = ["--vars", yaml.safe_dump({**variables, variable: True}, default_flow_style=True, width=10**6)]
    select = ["--select", "fqn:" + ".".join(model.node.fqn)]
    result, said = invoke_dbt(
        ["run", "--full-refresh", *select, "--no-write-json", *quiet_dbt(dbt_arguments), *told, *arguments],
        manifest=manifest,
    )
    results = getattr(result, "results", None) or []
    failed = [one for one in results if str(one.status) not in {"success", "pass"}]
    if failed:
        return _SUFFIX.sub("", _PREFIX.sub("", str(failed[0].message))).strip()
    return None if results else said


def _is_latest(node: Any) -> bool:  # noqa: ANN401 - a node of dbt's
    return node.version is None or node.version == node.latest_version


def _names_of_version(node: Any) -> set[str]:  # noqa: ANN401 - a node of dbt's
    return {f"{node.name}.v{node.version}".lower(), f"{node.name}_v{node.version}".lower()}
