"""What to do next about a server that cannot be asked: one sentence below its own words."""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit

from dbt_triton.errors import InferenceError
from dbt_triton.options import Options

_DENIED = {401, 403, 407}
_NOT_FOUND = 404


def with_advice(error: InferenceError, options: Options) -> str:
    """Return the error's text with what to do about it."""
    return f"{error}\n  {_advice(error, options)}"


def _advice(error: InferenceError, options: Options) -> str:
    if error.status in _DENIED:
        return (
            f"Status {error.status}: the server, or what stands before it, refuses the request. "
            "Check auth-token and custom-headers"
        )
    if error.status == _NOT_FOUND:
        return (
            "Check model-name and model-version, and that the server has loaded the model; "
            f"`curl -X POST {options.endpoint}/v2/repository/index` lists what it has"
        )
    if error.status is not None:
        return "The server's log says more; run again when it answers"
    if "did not answer" in str(error):
        return "Look at the server's load, or raise 'timeout'"
    if "is not JSON" in str(error):
        return "Check endpoint: it must be the HTTP port of Triton (8000 by default), with nothing else before it"
    tls = "; write http:// if it has no TLS" if options.endpoint.startswith("https:") else ""
    return f"Check endpoint, and that the server runs and can be reached from here{tls}{_proxy(options)}"


def _proxy(options: Options) -> str:
    """Name the proxy that the environment puts before the server, which few remember."""
    parts = urlsplit(options.endpoint)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return ""
    return (
        f"; {parts.scheme.upper()}_PROXY of the environment leads requests through a proxy, "
        f"and NO_PROXY={parts.hostname} would keep them off it"
    )
