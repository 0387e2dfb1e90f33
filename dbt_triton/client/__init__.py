"""Talking to one Triton server over HTTP: what it serves, and inference."""

from dbt_triton.client.client import ClientStats, TritonClient
from dbt_triton.client.http11 import Http11Transport

__all__ = ["ClientStats", "Http11Transport", "TritonClient"]
