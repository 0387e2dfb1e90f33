"""What to do next about a server that cannot be asked: one sentence below its own words."""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit

from dbt_triton.errors import InferenceError
from dbt_triton.options import Options

_DENIED = {401, 403, 407}
_NOT_FOUND = 404
_REDIRECTS = range(300, 400)


#: How the errors of answers begin that no Triton server gives.
_NO_TRITON = ("is not JSON", "of a Triton server", "is no Triton server's")


def with_advice(error: InferenceError, options: Options, hint: str = "") -> str:
    """Return the error's text with what to do about it; before that, what is known besides."""
    return f"{error}\n  {hint}{_advice(error, options)}"


def _advice(error: InferenceError, options: Options) -> str:
    if error.status == _NOT_FOUND and error.message.endswith(": Not Found"):
        return "Check endpoint: that path is none of Triton's; write http(s)://host[:port], with or without /v2"
    if error.status is not None:
        return advice_on_status(error.status, options)
    if any(words in str(error) for words in _NO_TRITON):
        return "Check endpoint: it must be the HTTP port of Triton (8000 by default), with nothing else before it"
    if "did not answer" in str(error):
        return "Look at the server's load, or raise 'timeout'"
    tls = "; write http:// if it has no TLS" if options.endpoint.startswith("https:") else ""
    return f"Check endpoint, and that the server runs and can be reached from here{tls}{_proxy(options)}"


def advice_on_status(status: int, options: Options) -> str:
    """Return what to do about an answer with an HTTP status."""
    if status in _DENIED:
        return (
            f"Status {status}: the server, or what stands before it, refuses the request. "
            "Check auth-token and custom-headers"
        )
    if status == _NOT_FOUND:
        return (
            "Check model-name and model-version, and that the server has loaded the model; "
            f"`curl -X POST {options.endpoints[0]}/v2/repository/index` lists what it has"
        )
    if status in _REDIRECTS:
        return (
            f"Status {status}: something before the server leads elsewhere. The token would be sent there, so no "
            "redirect is followed; write the address that answers itself as endpoint"
        )
    return f"Status {status}: the server's log says more; run again when it answers"


def _proxy(options: Options) -> str:
    """Name the proxy that the environment puts before the server, which few remember."""
    parts = urlsplit(options.endpoints[0])
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return ""
    return (
        f"; {parts.scheme.upper()}_PROXY of the environment leads requests through a proxy, "
        f"and NO_PROXY={parts.hostname} would keep them off it"
    )
