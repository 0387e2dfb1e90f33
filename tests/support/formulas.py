"""Models of any interface, whose outputs are formulas of their inputs, so that every value can be foreseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from support.triton import MODELS, Triton

_FORMULAS = MODELS / "formulas" / "1"


@dataclass(frozen=True)
class FormulaModel:
    """A model to serve.

    Args:
        name: of the model.
        interface: max_batch_size, inputs and outputs, as in a config.pbtxt.
        formulas: for each output a Python expression of the inputs, which have the batch first.
    """

    name: str
    interface: str
    formulas: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> str:
        """The text of config.pbtxt."""
        if "ensemble_scheduling" in self.interface:
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
        shutil.copytree(_FORMULAS, folder / "1")
        (folder / "config.pbtxt").write_text(model.config)
    with httpx.Client(base_url=f"{triton.url}/v2/repository/models", timeout=120, trust_env=False) as client:

        def post(model: FormulaModel, action: str) -> None:
            answer = client.post(f"/{model.name}/{action}")
            assert answer.is_success, f"{model.name}: {answer.text}"

        ensembles = [model for model in models if "ensemble_scheduling" in model.interface]
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
