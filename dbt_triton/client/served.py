"""What a server says about itself and a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServedTensor:
    """One input or output.

    Args:
        name: of the tensor.
        datatype: such as ``BYTES``.
        shape: with the batch dimension if there is one.
        optional: whether an input may be left out.
        labels: whether the classes of an output have labels.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    labels: bool = False


@dataclass(frozen=True)
class ServedModel:
    """One model version as the server describes it.

    ``correlation_id`` is the data type by which a model with sequence batching is told the id of a sequence.
    """

    name: str
    version: str
    inputs: tuple[ServedTensor, ...]
    outputs: tuple[ServedTensor, ...]
    max_batch_size: int
    decoupled: bool
    sequence_batching: bool
    dynamic_batching: bool
    server_version: str
    binary_data: bool
    correlation_id: str = ""

    @property
    def batched(self) -> bool:
        """Whether the first dimension of every tensor is the batch."""
        return self.max_batch_size > 0

    @classmethod
    def from_answers(
        cls, server: Mapping[str, Any], metadata: Mapping[str, Any], config: Mapping[str, Any]
    ) -> ServedModel:
        """Join the answers of ``/v2``, ``/v2/models/M`` and ``/v2/models/M/config``.

        Only the metadata says the shapes with their batch dimension; only the config says what is optional.
        """
        optional = {item.get("name") for item in config.get("input", []) if item.get("optional")}
        labelled = {item.get("name") for item in config.get("output", []) if item.get("label_filename")}
        versions = [str(version) for version in metadata.get("versions", [])]
        return cls(
            name=str(metadata.get("name", "")),
            version=max(versions, key=_version_order, default=""),
            inputs=tuple(_tensor(item, optional=optional) for item in metadata.get("inputs", [])),
            outputs=tuple(_tensor(item, labelled=labelled) for item in metadata.get("outputs", [])),
            max_batch_size=int(config.get("max_batch_size", 0)),
            decoupled=bool(config.get("model_transaction_policy", {}).get("decoupled")),
            sequence_batching="sequence_batching" in config,
            dynamic_batching="dynamic_batching" in config,
            server_version=str(server.get("version", "")),
            binary_data="binary_tensor_data" in server.get("extensions", []),
            correlation_id=_correlation_id(config.get("sequence_batching", {})),
        )


def _version_order(version: str) -> tuple[int, str]:
    """Order versions as Triton does: the unversioned URL leads to the numerically highest."""
    return (int(version), "") if version.isdigit() else (-1, version)


def _correlation_id(sequence_batching: Mapping[str, Any]) -> str:
    for control_input in sequence_batching.get("control_input", []):
        for control in control_input.get("control", []):
            if control.get("kind") == "CONTROL_SEQUENCE_CORRID":
                return str(control.get("data_type", ""))
    return ""


def _tensor(item: Mapping[str, Any], *, optional: Collection[Any] = (), labelled: Collection[Any] = ()) -> ServedTensor:
    name = str(item.get("name", ""))
    shape = tuple(int(size) for size in item.get("shape", []))
    return ServedTensor(name, str(item.get("datatype", "")), shape, name in optional, name in labelled)
