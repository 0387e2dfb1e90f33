"""What a server says about itself and a model, checked before it is believed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dbt_triton.errors import InferenceError
from dbt_triton.foreign_text import NAME_LENGTH, shown, shown_value

#: The extension of the protocol by which tensors are sent as bytes.
BINARY_DATA = "binary_tensor_data"
_SHOWN_PROBLEMS = 3
_VERSION_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True)
class ServedTensor:
    """One input or output.

    Args:
        name: of the tensor.
        datatype: such as ``BYTES``.
        shape: with the batch dimension if there is one.
        optional: whether an input may be left out.
        labels: whether the classes of an output have labels.
        shape_tensor: whether the values of an input are a shape, as TensorRT has it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    labels: bool = False
    shape_tensor: bool = False

    def __str__(self) -> str:
        return f"{shown(self.name, NAME_LENGTH)} {shown(self.datatype, NAME_LENGTH)}{list(self.shape)}"

    @property
    def sentence(self) -> str:
        """The tensor as the end of a sentence: ``X is FP32[-1, 3]``."""
        return str(self).replace(" ", " is ", 1)

    def row_dims(self, *, batched: bool) -> tuple[int, ...]:
        """Return the shape of one row; ``batched`` says that the first axis is the batch."""
        return self.shape[1:] if batched else self.shape


#: More than these are longer than a sentence, whatever their names are.
_MOST_LISTED = 200


def listed(tensors: Sequence[ServedTensor]) -> str:
    """Name tensors, as many as fit into a sentence."""
    return shown(", ".join(map(str, tensors[:_MOST_LISTED]))) or "none"


@dataclass(frozen=True)
class ServedModel:
    """One model version as the server describes it.

    ``correlation_id`` is the data type by which a model with sequence batching is told the id of a sequence;
    ``platform`` is the server's word for what runs it, such as ``ensemble``.
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
    platform: str = ""

    @property
    def shown_version(self) -> str:
        """The version as it is told to people; what is compared is the version itself."""
        return shown(self.version, NAME_LENGTH)

    @property
    def batched(self) -> bool:
        """Whether the first dimension of every tensor is the batch."""
        return self.max_batch_size > 0

    @classmethod
    def from_answers(
        cls, server: Mapping[str, Any], metadata: Mapping[str, Any], config: Mapping[str, Any], url: str = "this"
    ) -> ServedModel:
        """Join the answers of ``/v2``, ``/v2/models/M`` and ``/v2/models/M/config``.

        Only the metadata says the shapes with their batch dimension; only the config says what is optional.

        Args:
            server: the first answer.
            metadata: the second one.
            config: the third one.
            url: of the model, for errors.

        Raises:
            InferenceError: an answer is not what a Triton server says.
        """
        itself = _parsed(_Server, server, "what the server says about itself", url)
        model = _parsed(_Metadata, metadata, "what the server says about the model", url)
        settings = _parsed(_Config, config, "the configuration of the model", url)
        optional = {tensor.name for tensor in settings.input if tensor.optional}
        labelled = {tensor.name for tensor in settings.output if tensor.label_filename}
        shapes = {tensor.name for tensor in settings.input if tensor.is_shape_tensor}
        return cls(
            name=model.name,
            version=_latest(model.versions),
            inputs=tuple(
                ServedTensor(
                    tensor.name,
                    tensor.datatype,
                    tuple(tensor.shape),
                    optional=tensor.name in optional,
                    shape_tensor=tensor.name in shapes,
                )
                for tensor in model.inputs
            ),
            outputs=tuple(
                ServedTensor(tensor.name, tensor.datatype, tuple(tensor.shape), labels=tensor.name in labelled)
                for tensor in model.outputs
            ),
            max_batch_size=settings.max_batch_size,
            decoupled=settings.model_transaction_policy.decoupled,
            sequence_batching=settings.sequence_batching is not None,
            dynamic_batching=settings.dynamic_batching is not None,
            server_version=itself.version,
            binary_data=BINARY_DATA in itself.extensions,
            correlation_id=_correlation_id(settings.sequence_batching),
            platform=model.platform,
        )


def difference(one: ServedModel, other: ServedModel) -> tuple[str, str] | None:
    """Return how two servers' models differ, each side in words; None where the same rows have the same answers.

    Whether requests are put together may differ, and so may the version of Triton.
    """
    sides = [_compared(one), _compared(other)]
    for what, mine in sides[0].items():
        theirs = sides[1][what]
        if mine != theirs:
            return f"{what} {mine}".strip(), f"{what} {theirs}".strip()
    return None


def _compared(model: ServedModel) -> dict[str, str]:
    kinds = {
        "a decoupled model": model.decoupled,
        "a model with sequence batching": model.sequence_batching,
        "binary tensor data": model.binary_data,
    }
    return {
        "version": model.shown_version or "(none)",
        "inputs": listed(sorted(model.inputs, key=str)) + _optional(model.inputs),
        "outputs": listed(sorted(model.outputs, key=str)),
        "max_batch_size": str(model.max_batch_size),
        **{what: "" if holds else "(not)" for what, holds in kinds.items()},
        "a CORRID of type": model.correlation_id,
    }


def _optional(tensors: Sequence[ServedTensor]) -> str:
    names = sorted(tensor.name for tensor in tensors if tensor.optional)
    return f" with {shown(', '.join(names))} optional" if names else ""


# What Triton says has more fields than these, and may lack some. Those that are there have the types of KServe's
# protocol and of Triton's model_config.proto, or nothing that is said can be believed. Numbers are int32 and int64.
class _Said(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), extra="ignore", strict=True, frozen=True)


#: The metadata row keeps it, and errors and requests repeat it.
_Name = Annotated[str, Field(max_length=1024)]
_Text = Annotated[_Name, AfterValidator(lambda text: shown(text, NAME_LENGTH))]


class _Server(_Said):
    version: _Text = ""
    extensions: list[str] = []


class _Tensor(_Said):
    name: Annotated[_Name, Field(min_length=1)]
    datatype: _Name
    shape: Annotated[list[Annotated[int, Field(ge=-1, lt=2**63)]], Field(max_length=64)]


def _named_once(tensors: list[_Tensor]) -> list[_Tensor]:
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise ValueError("two of them have one name")
    return tensors


_Tensors = Annotated[list[_Tensor], AfterValidator(_named_once)]


class _Metadata(_Said):
    name: _Text = ""
    platform: _Text = ""
    versions: list[_Name] = []
    inputs: _Tensors = []
    outputs: _Tensors = []


class _ConfigInput(_Said):
    name: str = ""
    optional: bool = False
    is_shape_tensor: bool = False


class _ConfigOutput(_Said):
    name: str = ""
    label_filename: str = ""


class _TransactionPolicy(_Said):
    decoupled: bool = False


class _Control(_Said):
    kind: str = ""
    data_type: _Text = ""


class _ControlInput(_Said):
    control: list[_Control] = []


class _SequenceBatching(_Said):
    control_input: list[_ControlInput] = []


class _Nothing(_Said):
    """An object whose being there is all that matters."""


def _refuse_null(value: object) -> object:
    if value is None:
        raise ValueError("it should be an object, or not there")
    return value


_NOT_NULL = BeforeValidator(_refuse_null)


class _Config(_Said):
    input: list[_ConfigInput] = []
    output: list[_ConfigOutput] = []
    max_batch_size: Annotated[int, Field(ge=0, lt=2**31)] = 0
    model_transaction_policy: _TransactionPolicy = _TransactionPolicy()
    sequence_batching: Annotated[_SequenceBatching | None, _NOT_NULL] = None
    dynamic_batching: Annotated[_Nothing | None, _NOT_NULL] = None


_S = TypeVar("_S", bound=_Said)


def _parsed(kind: type[_S], answer: Mapping[str, Any], what: str, url: str) -> _S:
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        said = "; ".join(f"{_place(item['loc'])}: {_problem(item)}" for item in problems[:_SHOWN_PROBLEMS])
        more = f" and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise InferenceError(f"{url} is no model of a Triton server: {what} is not usable ({said}{more})") from None


def latest_version(metadata: Mapping[str, Any], url: str) -> str:
    """Return the version that a model's metadata names; empty where there is none.

    Raises:
        InferenceError: it is not what a Triton server says.
    """
    return _latest(_parsed(_Metadata, metadata, "what the server says about the model", url).versions)


def _latest(versions: Sequence[str]) -> str:
    return max(versions, key=_version_order, default="")


def _place(location: Sequence[int | str]) -> str:
    """Name a field; its parts are ours, since others are not looked at."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _problem(item: Mapping[str, Any]) -> str:
    words = item["msg"].removeprefix("Value error, ")
    return f"{words[0].lower()}{words[1:]}, but it is {shown_value(item['input'])}"


def _version_order(version: str) -> tuple[int, str]:
    """Order versions as Triton does: the unversioned URL leads to the numerically highest."""
    return (int(version), "") if _VERSION_NUMBER.fullmatch(version) else (-1, version)


def _correlation_id(sequence_batching: _SequenceBatching | None) -> str:
    for control_input in sequence_batching.control_input if sequence_batching is not None else ():
        for control in control_input.control:
            if control.kind == "CONTROL_SEQUENCE_CORRID":
                return control.data_type
    return ""
