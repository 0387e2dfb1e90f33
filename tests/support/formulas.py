"""Models of any interface, whose outputs are formulas of their inputs, so that every value can be foreseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from support.triton import MODELS, Triton

_FORMULAS = MODELS / "formulas"


@dataclass(frozen=True)
class FormulaModel:
    """A model to serve.

    Args:
        name: of the model.
        interface: max_batch_size, inputs and outputs, as in a config.pbtxt.
        formulas: for each output a Python expression of the inputs, which have the batch first.
        labels: the text of labels.txt, if it has one.
        copy_of: the folder of another model, to serve its code with this interface in place of formulas.
    """

    name: str
    interface: str
    formulas: Mapping[str, str] = field(default_factory=dict)
    labels: str = ""
    copy_of: Path | None = None

    @property
    def is_ensemble(self) -> bool:
        """Whether it is made of other models."""
        return "ensemble_scheduling" in self.interface

    @property
    def config(self) -> str:
        """The text of config.pbtxt."""
        if self.is_ensemble or self.copy_of:
            return self.interface
        parameters = "".join(
            f"parameters {{ key: {json.dumps(name)} value: {{ string_value: {json.dumps(formula)} }} }}\n"
            for name, formula in self.formulas.items()
        )
        return f'{self.interface}\nbackend: "python"\n{parameters}instance_group [ {{ kind: KIND_CPU, count: 1 }} ]\n'


@contextmanager
def serving_formulas(triton: Triton, models: list[FormulaModel]) -> Generator[None, None, None]:
    """Serve models under their names, which only one file of tests may use; ensembles after what they are made of."""
    for model in models:
        folder = triton.repository / model.name
        shutil.copytree((model.copy_of or _FORMULAS) / "1", folder / "1")
        (folder / "config.pbtxt").write_text(model.config)
        if model.labels:
            (folder / "labels.txt").write_text(model.labels)
    with httpx.Client(base_url=f"{triton.url}/v2/repository/models", timeout=120, trust_env=False) as client:

        def post(model: FormulaModel, action: str) -> None:
            answer = client.post(f"/{model.name}/{action}")
            assert answer.is_success, f"{model.name}: {answer.text}"

        ensembles = [model for model in models if model.is_ensemble]
        others = [model for model in models if model not in ensembles]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda model: post(model, "load"), others))
        for model in ensembles:
            post(model, "load")
        try:
            yield
        finally:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda model: post(model, "unload"), models))
