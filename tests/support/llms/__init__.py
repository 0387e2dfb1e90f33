"""Language models behind the interfaces that people deploy, on the real server; their texts are computed.

The tensors are those of vLLM's backend (24.10 and 25.12), and of TensorRT-LLM's ensemble, its ``tensorrt_llm_bls`` and
its ``llmapi`` model. ``model/`` holds what runs in Triton; ``model/commands.py`` says what a prompt can ask for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from support.llms.tensors import BLS, ENSEMBLE, LLMAPI, VLLM_24_10, VLLM_25_12, Signature
from support.triton import Triton

_CODE = Path(__file__).parent / "model"
#: At most one request waits at a time behind a model that blocks, and for at most a tenth of a second.
_SHORT_QUEUE = (
    "dynamic_batching { default_queue_policy { timeout_action: REJECT "
    "default_timeout_microseconds: 100000 max_queue_size: %d } }\n"
)


@dataclass(frozen=True)
class LanguageModel:
    """A model to serve.

    Args:
        name: of the model.
        interface: which of ``model/interfaces.py`` reads requests and makes answers.
        signature: its tensors.
        decoupled: whether it may give any number of answers.
        max_batch_size: 0 where the model has no batch.
        is_ensemble: whether the code is a step of an ensemble, which has the name and the tensors.
        more: further lines of its config.
        blocks: whether requests wait for each other.
    """

    name: str
    interface: str
    signature: Signature
    decoupled: bool = True
    max_batch_size: int = 0
    is_ensemble: bool = False
    more: str = ""
    blocks: bool = False

    @property
    def engine(self) -> str:
        """The name of the model that runs the code."""
        return f"{self.name}_engine" if self.is_ensemble else self.name

    def write(self, repository: Path) -> None:
        """Write it into a model repository."""
        head = f"max_batch_size: {self.max_batch_size}\n{self.signature.config}"
        said = {"interface": self.interface, "blocks": json.dumps(self.blocks)}
        parameters = "".join(
            f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n' for key, value in said.items()
        )
        shutil.copytree(_CODE, repository / self.engine / "1", ignore=shutil.ignore_patterns("__pycache__"))
        (repository / self.engine / "config.pbtxt").write_text(
            f'backend: "python"\n{head}{parameters}{self.more}'
            f"model_transaction_policy {{ decoupled: {json.dumps(self.decoupled)} }}\n"
            "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
        )
        if self.is_ensemble:
            (repository / self.name / "1").mkdir(parents=True)
            steps = "".join(
                f'{kind}_map {{ key: "{name}" value: "{name}" }}\n'
                for kind, names in (("input", self.signature.inputs), ("output", self.signature.outputs))
                for name in names
            )
            (repository / self.name / "config.pbtxt").write_text(
                f'platform: "ensemble"\n{head}'
                f'ensemble_scheduling {{ step [ {{ model_name: "{self.engine}" model_version: -1\n{steps} }} ] }}\n'
            )


class Served:
    """A language model on the server.

    Args:
        url: the server's endpoint.
        repository: its model repository.
        model: what it serves.
    """

    def __init__(self, url: str, repository: Path, model: LanguageModel) -> None:
        self.name = model.name
        self.url = url
        self._folder = repository / model.engine
        self._model = model

    @property
    def came(self) -> list[dict[str, Any]]:
        """What reached the model: for each prompt ``prompt``, ``inputs`` and ``parameters``, in order."""
        file = self._folder / "prompts.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def prompts(self) -> list[str]:
        """The prompts that reached the model."""
        return [str(one["prompt"]) for one in self.came]

    def forget(self) -> None:
        """Forget what reached the model."""
        (self._folder / "prompts.jsonl").unlink(missing_ok=True)

    def take(self, seconds: float) -> None:
        """Let each answer take so long from now on."""
        (self._folder / "seconds").write_text(str(seconds))

    def die(self) -> None:
        """Let its process end at the next prompt; `live` lets it go on once it is loaded again."""
        (self._folder / "die").touch()

    def live(self) -> None:
        """Let its process live from now on."""
        (self._folder / "die").unlink()

    def load(self) -> None:
        """Load it, or load it again after its process has died."""
        with httpx.Client(base_url=f"{self.url}/v2/repository/models", timeout=60, trust_env=False) as client:
            for name in dict.fromkeys((self._model.engine, self.name)):
                answer = client.post(f"/{name}/load")
                assert answer.is_success, f"{name}: {answer.text}"

    def unload(self) -> None:
        """Unload it."""
        with httpx.Client(base_url=f"{self.url}/v2/repository/models", timeout=60, trust_env=False) as client:
            for name in dict.fromkeys((self.name, self._model.engine)):
                client.post(f"/{name}/unload")


def vllm(name: str, version: str = "25_12") -> LanguageModel:
    """Return a model with the interface of vLLM's backend, of release ``24_10`` or ``25_12``."""
    return LanguageModel(name, f"vllm_{version}", VLLM_25_12 if version == "25_12" else VLLM_24_10)


def ensemble(name: str, *, decoupled: bool) -> LanguageModel:
    """Return a model with the interface of TensorRT-LLM's ensemble."""
    return LanguageModel(name, "tensorrt_llm", ENSEMBLE, decoupled, max_batch_size=8, is_ensemble=True)


def bls(name: str) -> LanguageModel:
    """Return a model with the interface of ``tensorrt_llm_bls``, decoupled."""
    return LanguageModel(name, "tensorrt_llm", BLS, max_batch_size=8)


def llmapi(name: str, *, decoupled: bool = False) -> LanguageModel:
    """Return a model with the interface of TensorRT-LLM's ``llmapi`` model, which has no batch."""
    return LanguageModel(name, "llmapi", LLMAPI, decoupled)


def short_queue(name: str, length: int) -> LanguageModel:
    """Return a decoupled model that has one prompt at a time, and refuses those that wait too long or are too many."""
    return LanguageModel(name, "vllm_25_12", VLLM_25_12, max_batch_size=1, more=_SHORT_QUEUE % length, blocks=True)


@contextmanager
def serving_llms(triton: Triton, *models: LanguageModel) -> Generator[list[Served], None, None]:
    """Serve language models under their names, which nobody else may use."""
    served = []
    for model in models:
        model.write(triton.repository)
        served.append(Served(triton.url, triton.repository, model))
    with ThreadPoolExecutor(4) as pool:
        try:
            list(pool.map(Served.load, served))
            yield served
        finally:
            list(pool.map(Served.unload, served))
