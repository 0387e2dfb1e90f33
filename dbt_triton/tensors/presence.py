"""Which inputs each row has: rows with other optional inputs are other requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dbt_triton.tensors.arrays import Integers
from dbt_triton.tensors.generation import TextParameters
from dbt_triton.tensors.spec import TensorSpec


class Present(NamedTuple):
    """Rows that have the same inputs.

    Args:
        places: of the rows in the record batch; None for all rows.
        inputs: the places of the inputs that they have.
    """

    places: Integers | None
    inputs: tuple[int, ...]


def optional_inputs(inputs: Sequence[TensorSpec]) -> list[int]:
    """Return the places of inputs without which a row is sent: where there is one alone, it must be there."""
    return [at for at, spec in enumerate(inputs) if spec.optional] if len(inputs) > 1 else []


def optional_columns(inputs: Sequence[TensorSpec], text: TextParameters | None = None) -> list[int]:
    """Return the places in INPUT of the columns without which a row is sent.

    Args:
        inputs: the tensors.
        text: the parameters' text, each of whose keys may be left out.
    """
    of_tensors = [inputs[at].parts[0].position if inputs[at].parts else at for at in optional_inputs(inputs)]
    return of_tensors + [column.position for column in (text.columns if text is not None else ())]


def by_presence(left_out: dict[int, pa.Array], inputs: int, rows: int, *, in_order: bool) -> Iterator[Present]:
    """Yield rows that have the same inputs.

    Args:
        left_out: by the place of each input that may be left out, a BOOLEAN for each row: whether it is.
        inputs: how many there are.
        rows: how many rows there are.
        in_order: rows keep their order, so that only neighbours are put together.
    """
    every = tuple(range(inputs))
    flags = {at: flag.to_numpy(zero_copy_only=False).astype(bool) for at, flag in left_out.items()}
    flags = {at: flag for at, flag in flags.items() if flag.any()}
    if not flags:
        yield Present(None, every)
        return
    table = np.stack(list(flags.values()), axis=1)
    for places in _alike(table, rows, in_order=in_order):
        missing = {at for at, is_missing in zip(flags, table[places[0]], strict=True) if is_missing}
        yield Present(places, tuple(at for at in every if at not in missing))


def _alike(table: np.ndarray[tuple[int, int], np.dtype[np.bool_]], rows: int, *, in_order: bool) -> Sequence[Integers]:
    """Return the places of rows that are alike."""
    if in_order:
        return np.split(np.arange(rows), np.flatnonzero((table[1:] != table[:-1]).any(axis=1)) + 1)
    _, kind_of = np.unique(np.packbits(table, axis=1), axis=0, return_inverse=True)
    order = np.argsort(kind_of.ravel(), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(kind_of.ravel()[order])) + 1)
