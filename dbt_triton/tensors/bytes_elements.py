"""BYTES elements in binary tensor data, without a Python object an element.

Triton lays a BYTES tensor as a little-endian uint32 length and then the bytes, element after element. So does Parquet:
it is the PLAIN encoding of its BYTE_ARRAY. Arrow reads and writes that in C++, so a tensor is written as the one page
of a Parquet file in memory, and read as one. numpy and Arrow's compute functions need two to three times as long.

Source: the protocol extension "binary tensor data" of Triton; the Apache Parquet format (encodings, parquet.thrift).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dbt_triton.tensors.arrays import Integers
from dbt_triton.tensors.joined import joined

_LENGTH_BYTES = 4
#: What a page can hold, less its header, as its size is an int32, and what pyarrow puts into one row group. More is
#: laid and walked one by one.
_PAGE_BYTES, _GROUP_ELEMENTS = 2**31 - 2**16, 2**26
_MAGIC = b"PAR1"
_NO_LIMIT = 2**31 - 1
_SCHEMA = pa.schema([pa.field("e", pa.large_binary(), nullable=False)])
_ONE_PAGE: dict[str, Any] = {
    "use_dictionary": False,
    "compression": "none",
    "write_statistics": False,
    "column_encoding": "PLAIN",
    "data_page_version": "1.0",
    "data_page_size": _NO_LIMIT,
    "write_batch_size": _NO_LIMIT,
    "store_schema": False,
}
if "max_rows_per_page" in inspect.signature(pq.ParquetWriter).parameters:  # before pyarrow 23 there was no limit
    _ONE_PAGE["max_rows_per_page"] = _NO_LIMIT
_READ: dict[str, Any] = {}
if "binary_type" in inspect.signature(pq.ParquetFile).parameters:  # before pyarrow 21 the offsets are widened later
    _READ["binary_type"] = pa.large_binary()


def encode_bytes(values: pa.Array) -> tuple[memoryview, Integers]:
    """Lay the elements of a large_binary array without NULLs behind their lengths.

    Returns:
        The bytes, and where each element's length starts, with the end behind the last.
    """
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    starts = np.arange(-offsets[0], _LENGTH_BYTES * len(values) - offsets[0] + 1, _LENGTH_BYTES)
    starts += offsets
    size = int(starts[-1])
    if not size:
        return memoryview(b""), starts
    if size > _PAGE_BYTES or len(values) > _GROUP_ELEMENTS:
        return memoryview(b"".join(_one_by_one(values))), starts
    sink = pa.BufferOutputStream()
    metadata: list[pq.FileMetaData] = []
    with pq.ParquetWriter(sink, _SCHEMA, metadata_collector=metadata, **_ONE_PAGE) as writer:
        writer.write_table(pa.Table.from_arrays([values], schema=_SCHEMA), row_group_size=len(values))
    chunk = metadata[0].row_group(0).column(0)
    end = chunk.data_page_offset + chunk.total_compressed_size
    return memoryview(sink.getvalue())[end - size : end], starts


def decode_bytes(parts: Sequence[memoryview], counts: Integers) -> pa.Array | None:
    """Decode BYTES elements to large_binary.

    Args:
        parts: the data of some answers.
        counts: the number of elements of each.

    Returns:
        The elements, or None where their lengths do not add up to the sizes of the parts.
    """
    sizes = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
    size, elements = int(sizes.sum()), int(counts.sum())
    if size < _LENGTH_BYTES * elements or (size and not elements):
        return None
    if not elements:
        return pa.array([], type=pa.large_binary())
    array = _read_page(parts, size, elements) if size <= _PAGE_BYTES else _walk(b"".join(parts), elements)
    if array is None:
        return None
    # A length may lie and the next ones make up for it, so every part must begin with an element of its own.
    firsts, begins = np.append(0, np.cumsum(counts)), np.append(0, np.cumsum(sizes))
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)[firsts]
    return array if np.array_equal(offsets + _LENGTH_BYTES * firsts, begins) else None


def _read_page(parts: Sequence[memoryview], size: int, elements: int) -> pa.Array | None:
    header = _page_header(size, elements)
    footer = _file_metadata(len(header) + size, elements)
    file = joined([_MAGIC, header, *parts, footer, len(footer).to_bytes(4, "little"), _MAGIC])
    try:
        column = pq.ParquetFile(pa.BufferReader(file), **_READ).read(use_threads=False).column(0)
    except (OSError, pa.ArrowException):
        return None
    column = column.cast(pa.large_binary())
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _one_by_one(values: pa.Array) -> Iterable[bytes | pa.Buffer]:
    for value in values:
        buffer = value.as_buffer()
        yield buffer.size.to_bytes(_LENGTH_BYTES, "little")
        yield buffer


def _walk(data: bytes, elements: int) -> pa.Array | None:
    """Decode what no page can hold: the elements are large, so they are few."""
    found, place, view = [], 0, memoryview(data)
    for _ in range(elements):
        length = int.from_bytes(view[place : place + _LENGTH_BYTES], "little")
        place += _LENGTH_BYTES + length
        if place > len(data):
            return None
        found.append(view[place - length : place])
    return pa.array(found, type=pa.large_binary())


# Parquet's headers, in Thrift's compact protocol.
_I32, _I64, _TEXT, _LIST, _STRUCT = 5, 6, 8, 9, 12
_BYTE_ARRAY, _REQUIRED, _PLAIN, _RLE, _UNCOMPRESSED, _DATA_PAGE = 6, 0, 0, 3, 0, 0


def _page_header(size: int, elements: int) -> bytes:
    data = [(1, _I32, elements), (2, _I32, _PLAIN), (3, _I32, _RLE), (4, _I32, _RLE)]
    return _struct((1, _I32, _DATA_PAGE), (2, _I32, size), (3, _I32, size), (5, _STRUCT, _struct(*data)))


def _file_metadata(size: int, elements: int) -> bytes:
    """Describe a file with one column of one page, which has ``size`` bytes with its header."""
    root = _struct((4, _TEXT, b"r"), (5, _I32, 1))
    leaf = _struct((1, _I32, _BYTE_ARRAY), (3, _I32, _REQUIRED), (4, _TEXT, b"e"))
    chunk = _struct(
        (1, _I32, _BYTE_ARRAY),
        (2, _LIST, _list(_I32, _number(_PLAIN))),
        (3, _LIST, _list(_TEXT, _text(b"e"))),
        (4, _I32, _UNCOMPRESSED),
        (5, _I64, elements),
        (6, _I64, size),
        (7, _I64, size),
        (9, _I64, len(_MAGIC)),
    )
    column = _struct((2, _I64, len(_MAGIC)), (3, _STRUCT, chunk))
    row_group = _struct((1, _LIST, _list(_STRUCT, column)), (2, _I64, size), (3, _I64, elements))
    return _struct(
        (1, _I32, 1),
        (2, _LIST, _list(_STRUCT, root, leaf)),
        (3, _I64, elements),
        (4, _LIST, _list(_STRUCT, row_group)),
    )


def _struct(*fields: tuple[int, int, int | bytes]) -> bytes:
    content, last = bytearray(), 0
    for number, kind, value in fields:
        content.append((number - last) << 4 | kind)
        content += _number(value) if isinstance(value, int) else _text(value) if kind == _TEXT else value
        last = number
    return bytes(content) + b"\0"


def _list(kind: int, *items: bytes) -> bytes:
    return bytes([len(items) << 4 | kind]) + b"".join(items)


def _text(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _number(value: int) -> bytes:
    """Write a number that is not negative as a zigzag varint."""
    value, content = value << 1, bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(content) + bytes([value])
