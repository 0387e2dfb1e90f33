"""Which columns of INPUT are the elements of which tensor, where several are those of one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from dbt_triton.client.served import ServedTensor, listed
from dbt_triton.inference_model.model import TypedColumn
from dbt_triton.tensors import Datatype, SqlType, TensorSpec, datatype_of_tensor, fits
from dbt_triton.tensors.datatypes import natural_sql_type
from dbt_triton.tensors.shapes import bind_shape, example
from dbt_triton.tensors.spec import Part

_FLOAT_KINDS = {"FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE"}
_SHOWN_COLUMNS = 4
_SHOWN_AS_EXAMPLE = 3


@dataclass
class InputGroup:
    """The columns of INPUT that are bound to one tensor.

    Args:
        tensor: None where the model has none for the only column.
        columns: in the order of INPUT.
    """

    tensor: ServedTensor | None
    columns: list[TypedColumn] = field(default_factory=list)


def named_tensor(name: str, tensors: Sequence[ServedTensor]) -> ServedTensor | None:
    """Find the tensor of a name, whatever its case; one in the same case wins, and two others are none."""
    exact = [tensor for tensor in tensors if tensor.name == name]
    folded = [tensor for tensor in tensors if tensor.name.lower() == name.lower()]
    return (exact or folded)[0] if exact or len(folded) == 1 else None


def only_tensor(tensors: Sequence[ServedTensor], made: Collection[str] = ()) -> ServedTensor | None:
    """Return the tensor that is meant where none is named: the one that must be there, or the only one.

    Args:
        tensors: of one side.
        made: the names of tensors that need no column.
    """
    others = [tensor for tensor in tensors if tensor.name not in made]
    required = [tensor for tensor in others if not tensor.optional] or others
    return required[0] if len(required) == 1 else None


def groups_of_columns(  # noqa: PLR0913, PLR0917 - the columns, the tensors, and what is said of them
    columns: Sequence[TypedColumn],
    tensors: Sequence[ServedTensor],
    dims_of: Callable[[ServedTensor], Sequence[int]],
    explicit_of: Callable[[TypedColumn], str | None],
    lengths: frozenset[str],
    made: Collection[str] = (),
) -> list[InputGroup]:
    """Group the columns of INPUT by their tensors, in the order of the first column of each.

    ``tensor.<column>`` binds a column, else its name does. Where the model has one input that must be there, what is
    left is bound to it: one column, or as many as it has elements.

    Args:
        columns: INPUT.
        tensors: the model's inputs.
        dims_of: returns the shape of one row of a tensor.
        explicit_of: returns what ``tensor.<column>`` names.
        lengths: names, in lower case, of columns that say lengths; such a column need not be a tensor.
        made: the names of tensors that need no column.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    only = only_tensor(tensors, made)
    found: dict[str, ServedTensor | None] = {}
    left: list[TypedColumn] = []
    for column in columns:
        explicit = explicit_of(column)
        tensor = named_tensor(column.name, tensors) if explicit is None else by_name.get(explicit)
        if tensor is None and explicit is None and column.name.lower() in lengths:
            continue
        found[column.name] = tensor
        if explicit is None and tensor in {None, only}:
            left.append(column)
    together = only is not None and _is_meant(left, only, dims_of(only), len(found) - len(left))
    for column in left if together else ():
        found[column.name] = only
    groups: dict[str, InputGroup] = {}
    for column in columns:
        if column.name not in found:
            continue
        tensor = found[column.name]
        key = f"tensor {tensor.name}" if tensor is not None else f"column {column.name}"
        groups.setdefault(key, InputGroup(tensor)).columns.append(column)
    return list(groups.values())


def _is_meant(left: Sequence[TypedColumn], only: ServedTensor, dims: Sequence[int], others: int) -> bool:
    """Tell whether the columns that are left are the elements of the only tensor, or are meant to be."""
    if len(left) == 1:
        return not others
    if any(column.type.dims for column in left):
        return False
    named = any(column.name.lower() == only.name.lower() for column in left)
    return not named or _elements(dims) in {-1, len(left)}


def _elements(dims: Sequence[int]) -> int | None:
    """Return how many elements a row has that is one list: -1 for any number, None where it has several real axes."""
    fixed = [size for size in dims if size not in {1, -1}]
    if len(fixed) > 1:
        return None
    return fixed[0] if fixed else -1 if -1 in dims else 1


def sent_as_nan(sql: SqlType) -> SqlType | None:
    """Return the type by which numbers come where NULL is NaN; None for a type that no floating tensor takes."""
    if sql.kind in _FLOAT_KINDS:
        return sql
    double = datatype_of_tensor("FP64")
    if double is None or not fits(sql.element, double, output=False) or sql.kind == "BLOB":
        return None
    return SqlType("DOUBLE", sql.dims)


def label(columns: Sequence[TypedColumn]) -> str:
    """Name columns, as many as fit into a sentence."""
    names = [column.name for column in columns]
    if len(names) <= _SHOWN_COLUMNS:
        return ", ".join(names)
    return f"{', '.join(names[: _SHOWN_COLUMNS - 1])}, … and {names[-1]}"


def combined(
    group: InputGroup, parts: Sequence[Part], datatype: Datatype, dims: Sequence[int], tensors: Sequence[ServedTensor]
) -> TensorSpec | str:
    """Bind several columns as the elements of one tensor.

    Args:
        group: the columns and their tensor.
        parts: the same columns, with how many elements each gives.
        datatype: of the tensor; it holds the types of the columns.
        dims: the shape of one row as it is served.
        tensors: all inputs of the model.
    """
    assert group.tensor is not None  # noqa: S101 - what has no tensor is told before
    total, wanted = sum(part.elements for part in parts), _elements(dims)
    if wanted is None or wanted not in {-1, total}:
        return _miscounted(group, total, wanted, datatype, dims, tensors)
    kind = "BLOB" if datatype.numpy is None else natural_sql_type(datatype.name)
    sql = SqlType(kind, (total,))
    shape = bind_shape(sql, datatype, dims, output=False)
    if isinstance(shape, str):
        return _miscounted(group, total, wanted, datatype, dims, tensors)
    return TensorSpec(label(group.columns), group.tensor.name, datatype, shape[0], sql, shape[1], parts=tuple(parts))


def _miscounted(  # noqa: PLR0913, PLR0917 - what is wanted, and what there is
    group: InputGroup,
    total: int,
    wanted: int | None,
    datatype: Datatype,
    dims: Sequence[int],
    tensors: Sequence[ServedTensor],
) -> str:
    count = len(group.columns)
    made = f"{count} columns" if total == count else f"{count} columns of {total} elements"
    begin = f"INPUT has {made} ({label(group.columns)}) for the server's {group.tensor}"
    array = example(natural_sql_type(datatype.name), dims)
    if wanted is None:
        return f"{begin}, whose rows are no list; declare one column {array}"
    others = f". The model has the inputs {listed(tensors)}" if len(tensors) > 1 else ""
    elements = "1 element" if wanted == 1 else f"{wanted} elements"
    if wanted == 1:
        return f"{begin}, which has {elements} a row; declare one column {array}{others}"
    names = [column.name for column in group.columns[:_SHOWN_AS_EXAMPLE]]
    more = ", …" if wanted > len(names) else ""
    return (
        f"{begin}, which has {elements} a row; declare {wanted} columns, in the order of the elements, or one "
        f"column {array} and give it [{', '.join(names)}{more}]{others}"
    )
