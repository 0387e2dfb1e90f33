"""Talking to one Triton server over HTTP: what it serves, and inference."""

from dbt_triton.client.client import ClientStats, TritonClient
from dbt_triton.client.transport import PyreqwestTransport

__all__ = ["ClientStats", "PyreqwestTransport", "TritonClient"]
