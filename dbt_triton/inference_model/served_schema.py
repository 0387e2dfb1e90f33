"""INPUT and OUTPUT where a definition leaves them out: taken from the server when the model is built.

OUTPUT is then as it is served. Which columns INPUT has is known when a call names the columns of its DESCRIPTOR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dbt_triton.client.served import ServedModel, ServedTensor, listed
from dbt_triton.ddl import Column, ModelDefinition
from dbt_triton.errors import ConfigurationError
from dbt_triton.foreign_text import NAME_LENGTH, shown
from dbt_triton.generation_options import ALIASES
from dbt_triton.inference_model.language_model import (
    TEXT_INPUT,
    TEXT_OUTPUT,
    flag_of,
    is_language_model,
    is_setting,
    is_told_anyway,
)
from dbt_triton.inference_model.made_tensors import names_of_made
from dbt_triton.inference_model.model import RESERVED_OUTPUTS, InferenceModel, typed_columns
from dbt_triton.inference_model.parameters import names_of_parameters
from dbt_triton.inference_model.served_columns import GivenColumn, ServedColumn, clause
from dbt_triton.known_names import listed_names
from dbt_triton.tensors import datatype_of_tensor
from dbt_triton.tensors.datatypes import natural_sql_type

#: One column is an input as a whole.
_FEWEST_ELEMENTS = 2


def require_schema(model: InferenceModel) -> None:
    """Refuse a model without INPUT or OUTPUT where no server is asked.

    Raises:
        ConfigurationError: naming what is to be declared.
    """
    if model.left_out:
        why = "a stub asks no server" if model.is_stub else "with preflight = false no server is asked"
        raise ConfigurationError(
            [f"{' and '.join(model.left_out)} can be left out only where a server says the schema, but {why}"],
            f'inference model "{model.name}"',
        )


def with_served_schema(model: InferenceModel, served: ServedModel) -> InferenceModel:
    """Return the model with what it leaves out as the server serves it; a model with all of it as it is.

    Columns are called like their tensors, or as ``tensor.<column>`` says. INPUT has the inputs that are required.

    Raises:
        ConfigurationError: a tensor cannot be a column; with what can be declared in its place.
    """
    sides = model.left_out
    if not sides:
        return model
    problems = _unknown_tensors(model, served)
    found = {}
    for side in sides:
        of_side: list[str] = []
        found[side] = _columns(side, model, served, of_side)
        if of_side and found[side] and side == "OUTPUT":  # an input that cannot be a column is one that must be there
            of_side.append(f"or declare {clause(side, found[side])}")
        problems += of_side
    if "INPUT" in sides and model.options.shapes and not problems:
        problems.append(_blob_to_declare(model, found["INPUT"]))
    if problems:
        raise ConfigurationError(
            problems,
            f'inference model "{model.name}" cannot take {" and ".join(sides)} from model "{served.name}" '
            f"version {served.shown_version} at {model.options.endpoint}",
        )
    inputs, outputs = found.get("INPUT", ()), found.get("OUTPUT", ())
    definition = ModelDefinition(
        (model.name,),
        tuple(column.declared for column in inputs if not column.optional) or _declared(model, "INPUT"),
        tuple(column.declared for column in outputs) or _declared(model, "OUTPUT"),
        model.raw_options,
        model.comment,
    )
    return InferenceModel.from_definition(definition, served_inputs=inputs, served_outputs=outputs)


def for_descriptor(model: InferenceModel, given: Sequence[GivenColumn]) -> InferenceModel | str:
    """Return the model with the INPUT that the columns of a DESCRIPTOR mean; one that declares INPUT as it is.

    Columns that have the names of inputs are these. Else each stands for the required input in its place, or, as many
    values as the only required input has elements, for one of these. An optional input is sent where it is named.

    Returns:
        The model, or a sentence that says what is to be named.
    """
    if not model.served_inputs:
        return model
    bound = _bound(model.served_inputs, given)
    if bound is None:
        return _unclear(model.served_inputs, given)
    problems: list[str] = []
    columns = tuple(Column(column.name, column.type_for(one)) for column, one in zip(bound, given, strict=True))
    inputs = typed_columns(columns, "INPUT", problems)
    return "; ".join(problems) or replace(model, inputs=inputs)


def served_clauses(model: InferenceModel, served: ServedModel) -> str:
    """Write INPUT and OUTPUT as they are served, for a definition; nothing where a tensor cannot be a column."""
    problems: list[str] = []
    bare = replace(model, inputs=(), outputs=(), served_inputs=(), served_outputs=())
    columns = {side: _columns(side, bare, served, problems) for side in ("INPUT", "OUTPUT")}
    required = [column for column in columns["INPUT"] if not column.optional]
    if problems or not required:
        return ""
    return f"{clause('INPUT', required)} {clause('OUTPUT', columns['OUTPUT'])}"


def _blob_to_declare(model: InferenceModel, inputs: Sequence[ServedColumn]) -> str:
    """Say that a shape is told of a BLOB, which no server calls an input, with the INPUT to declare."""
    shapes = {name.lower(): lengths for name, lengths in model.options.shapes.items()}
    columns = [
        f"`{column.name.replace('`', '``')}` {'BLOB' if column.name.lower() in shapes else column.sql_type}"
        for column in inputs
        if not column.optional or column.name.lower() in shapes
    ]
    lengths = dict.fromkeys(length for told in shapes.values() for length in told if isinstance(length, str))
    columns += [f"`{name}` INT" for name in lengths if name.lower() not in {column.name.lower() for column in inputs}]
    named = ", ".join(f"shape.{name}" for name in model.options.shapes)
    return f"{named} is for a BLOB that INPUT declares: declare INPUT ({listed_names(columns, 100)})"


def _declared(model: InferenceModel, side: str) -> tuple[Column, ...]:
    columns = model.inputs if side == "INPUT" else model.outputs
    return tuple(Column(column.name, column.sql_type) for column in columns)


def _columns(side: str, model: InferenceModel, served: ServedModel, problems: list[str]) -> tuple[ServedColumn, ...]:
    """Return the columns of one side; what cannot be one goes to the problems, but for optional inputs."""
    output = side == "OUTPUT"
    kind = side.lower()
    made = () if output else names_of_made(model.options, served.inputs) | names_of_parameters(model.options, served)
    tensors = [one for one in (served.outputs if output else served.inputs) if one.name not in made]
    if is_language_model(served):
        tensors = [one for one in tensors if _is_column(one, model, served, output=output)]
    if not tensors:
        problems.append(f"the model has no {kind}")
    if output and model.options.response_format == "json":
        problems.append("response-format is json, whose keys nobody but you knows: declare OUTPUT, a column for each")
        return ()
    if output and model.options.classification:
        problems.append(_classes(model.options.classification, tensors))
        return ()
    batched = served.batched or model.options.batch_dim
    taken: dict[str, str] = {}
    found: dict[str, list[ServedColumn]] = {}
    for tensor in sorted(tensors, key=lambda tensor: tensor.optional):
        names = _names(side, tensor, model, served)
        problem = _problem(kind, tensor, names, taken)
        if problem is not None:
            problems += [] if tensor.optional else [problem]
            continue
        taken |= {name.lower(): tensor.name for name in names}
        # Several columns of one tensor are its elements.
        dims = () if len(names) > 1 or _is_one_text(tensor, model, served) else tensor.row_dims(batched=batched)
        optional = not output and _may_be_left_out(tensor, tensors, served)
        found[tensor.name] = [
            ServedColumn(name, tensor.datatype, dims, output=output, optional=optional) for name in names
        ]
    return tuple(column for tensor in tensors for column in found.get(tensor.name, []))


def _may_be_left_out(tensor: ServedTensor, inputs: Sequence[ServedTensor], served: ServedModel) -> bool:
    """Tell whether a call need not have the column of an input: it is sent anyway, or optional and not the only one."""
    told_anyway = is_language_model(served) and is_told_anyway(tensor)
    return told_anyway or (tensor.optional and len(inputs) > 1)  # a request without any input is refused


def _is_column(tensor: ServedTensor, model: InferenceModel, served: ServedModel, *, output: bool) -> bool:
    """Tell whether a tensor of a language model is a column: no setting, and no output that nobody asks for."""
    if tensor.name in model.options.tensors.values():
        return True
    if not output:
        return not is_setting(tensor)
    flag = flag_of(tensor.name, served)
    return tensor.name == TEXT_OUTPUT or (flag is not None and model.options.parameters.get(flag.name) is True)


def _is_one_text(tensor: ServedTensor, model: InferenceModel, served: ServedModel) -> bool:
    """Tell whether a tensor of any length is one text: the prompt of a language model, and its only answer."""
    said = [*(model.options.parameters.get(name) for name in ALIASES["n"]), model.options.n]
    several = any(isinstance(count, int | float) and count > 1 for count in said)
    return is_language_model(served) and tensor.name in ({TEXT_INPUT} if several else {TEXT_INPUT, TEXT_OUTPUT})


def _names(side: str, tensor: ServedTensor, model: InferenceModel, served: ServedModel) -> list[str]:
    """Return what the column of a tensor is called, or its columns: as ``tensor.<column>`` says, or like the tensor."""
    sides = {"INPUT": (model.outputs, served.outputs), "OUTPUT": (model.inputs, served.inputs)}
    declared, others = sides[side]
    # A column that the other side declares is meant there, if that has a tensor of this name.
    theirs = {column.name.lower() for column in declared if tensor.name in {one.name for one in others}}
    options = model.options.tensors
    named = [column for column, name in options.items() if name == tensor.name and column.lower() not in theirs]
    return named or [tensor.name]


def _problem(kind: str, tensor: ServedTensor, names: Sequence[str], taken: dict[str, str]) -> str | None:
    """Say why a tensor cannot be a column; None if it can."""
    called = shown(tensor.name, NAME_LENGTH)
    mending = f"name its column: 'tensor.<column>' = '{called}'"
    if datatype_of_tensor(tensor.datatype) is None:
        return f"the {kind} {tensor} has a datatype without a SQL type"
    if names == [tensor.name]:
        if called != tensor.name:
            return f"the name of the {kind} {called} cannot be that of a column; {mending}"
        if kind == "output" and tensor.name.lower() in RESERVED_OUTPUTS:
            return f"the output {called} has a name that the prediction store needs; {mending}"
    if kind == "output" and len(names) > 1:
        return (
            f"{', '.join(f'tensor.{name}' for name in names)} are for one output, {called}, which is one column; "
            "keep one, and take its elements in SQL"
        )
    clash = next((taken[name.lower()] for name in names if name.lower() in taken), None)
    if clash is not None:
        return f"the {kind}s {shown(clash, NAME_LENGTH)} and {called} would be columns of one name; {mending}"
    return None


def _classes(count: int, tensors: Sequence[ServedTensor]) -> str:
    """Say what a classified output may be declared as: which parts of a class are wanted is the user's choice."""
    if all(natural_sql_type(tensor.datatype) in {"STRING", "BOOLEAN"} for tensor in tensors):
        return f"classification is for outputs of numbers, but the model has {listed(tensors)}"
    array = "" if count == 1 else f"[{count}]"
    label = f"`label` STRING{array}, " if any(tensor.labels for tensor in tensors) else ""
    return (
        "classification needs OUTPUT, which says what of a class is wanted: "
        f"declare OUTPUT ({label}`score` FLOAT{array}, `position` INT{array}), or some of these columns"
    )


def _unknown_tensors(model: InferenceModel, served: ServedModel) -> list[str]:
    known = {tensor.name for tensor in (*served.inputs, *served.outputs)}
    return [
        f"tensor.{column}: the model has no tensor {name}; it serves {listed((*served.inputs, *served.outputs))}"
        for column, name in model.options.tensors.items()
        if name not in known
    ]


def _bound(inputs: Sequence[ServedColumn], given: Sequence[GivenColumn]) -> Sequence[ServedColumn] | None:
    """Return the input of each given column; None where they do not say it."""
    by_name = {column.name.lower(): column for column in inputs}
    named = [by_name.get(one.name.lower()) for one in given]
    required = [column for column in inputs if not column.optional]
    found = [column for column in named if column is not None]
    if len(set(found)) < len(found):
        return None
    if len(found) == len(given) and set(required) <= set(found):
        return found
    others = [(column, one) for column, one in zip(named, given, strict=True) if column is None or not column.optional]
    bound = _in_order(required, [column for column, _ in others], [one for _, one in others])
    if bound is None:
        return None
    in_order = iter(bound)
    return [column if column is not None and column.optional else next(in_order) for column in named]


def _in_order(
    required: Sequence[ServedColumn], named: Sequence[ServedColumn | None], given: Sequence[GivenColumn]
) -> Sequence[ServedColumn] | None:
    """Return the required inputs in their places, or the elements of the only one."""
    if len(required) == len(given) and all(name in {None, place} for name, place in zip(named, required, strict=True)):
        return required
    return _elements(required[0], given) if len(required) == 1 else None


def _elements(column: ServedColumn, given: Sequence[GivenColumn]) -> Sequence[ServedColumn] | None:
    """Return a column for each element of an input, called like the given ones; None where they are not that many."""
    lengths = [size for size in column.dims if size not in {1, -1}]
    as_many = lengths == [len(given)] or (not lengths and -1 in column.dims)
    bytes_of_numbers = column.datatype != "BYTES" and any(one.kind == "BLOB" for one in given)
    if len(given) < _FEWEST_ELEMENTS or not as_many or bytes_of_numbers or any(one.levels for one in given):
        return None
    taken: set[str] = set()
    elements = []
    for one in given:
        name, number = one.name, 0
        while name.lower() in taken:
            name, number = f"{one.name}{number}", number + 1
        taken.add(name.lower())
        elements.append(replace(column, name=name, dims=()))
    return elements


def _unclear(inputs: Sequence[ServedColumn], given: Sequence[GivenColumn]) -> str:
    required = [column for column in inputs if not column.optional]
    optional = listed_names(f"{column.name} {column.sql_type}" for column in inputs if column.optional)
    said = listed_names(one.name for one in given)
    wanted = listed_names(f"{column.name} {column.sql_type}" for column in required) or "none that is required"
    in_order = ", or name as many columns in this order" if required else ""
    every = [*required, *(column for column in inputs if column.optional)]
    declared = every if len(given) > len(required) else required
    return (
        f"DESCRIPTOR({said}) does not say which column is which input. INPUT is left out, and the model's inputs are "
        f"{wanted}{f' (optional: {optional})' if optional else ''}: give the columns these names in the TABLE "
        f"operand{in_order}, or declare {clause('INPUT', declared)}"
    )
