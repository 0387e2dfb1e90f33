"""What a data engineer writes by hand with NVIDIA's own client: a loop over batches, some of them in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient

from harness.workload import INPUT, LABEL, MODEL, OUTPUT

Texts = np.ndarray[Any, np.dtype[np.object_]]


async def rows_per_second(endpoint: str, texts: Texts, *, batch_size: int, in_flight: int) -> float:
    """Classify the texts, which are in memory, and keep the labels in memory: no warehouse at either end."""
    starts = iter(range(0, len(texts), batch_size))
    labels: dict[int, Texts] = {}
    async with InferenceServerClient(endpoint.removeprefix("http://"), conn_limit=in_flight) as client:
        started = time.perf_counter()
        await asyncio.gather(*[_work(client, texts, batch_size, starts, labels) for _ in range(in_flight)])
        seconds = time.perf_counter() - started
    assert sum(len(answered) for answered in labels.values()) == len(texts)
    assert labels[0][0, 0] == LABEL.encode()
    return len(texts) / seconds


async def _work(
    client: InferenceServerClient, texts: Texts, batch_size: int, starts: Iterator[int], labels: dict[int, Texts]
) -> None:
    for start in starts:
        labels[start] = await infer(client, texts[start : start + batch_size].reshape(-1, 1))


async def infer(client: InferenceServerClient, texts: Texts, *, binary: bool = True) -> Texts:
    """Send one request as tritonclient's own examples do."""
    tensor = InferInput(INPUT, list(texts.shape), "BYTES")
    tensor.set_data_from_numpy(texts, binary_data=binary)
    outputs = [InferRequestedOutput(OUTPUT, binary_data=binary)]
    answer = await client.infer(MODEL, [tensor], outputs=outputs)
    labels: Texts = answer.as_numpy(OUTPUT)
    return labels
