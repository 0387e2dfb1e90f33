"""What the command line says about servers and options, as the options of WITH."""

from __future__ import annotations

import re
from argparse import Namespace

from dbt_triton.credentials import is_masked, mask_options
from dbt_triton.errors import DbtTritonError
from dbt_triton.options import Options, parse_options

_SUBJECT = "dbt-triton init"
#: What stands in headers and is no secret, as far as its name says.
_SECRET_WORDS = (
    "auth",
    "token",
    "key",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "cookie",
    "credential",
    "session",
    "jwt",
)
#: How a value begins that is a secret, whatever its header is called: with a scheme, or as a signed token does.
_SECRET_VALUE = re.compile(r"\s*(?:(?:bearer|basic|token|digest|apikey)\s+(?!\$\{)|eyJ)", re.IGNORECASE)


def said_options(arguments: Namespace, model_name: str) -> dict[str, str]:
    """Return the options of WITH that the command line says, in the order in which they are written.

    Args:
        arguments: of the command line.
        model_name: as the server calls the model.

    Raises:
        DbtTritonError: an argument is no option, or holds a secret by itself, which would stand in the file.
    """
    said = {"provider": "triton", "endpoint": ", ".join(arguments.endpoint), "model-name": model_name}
    if arguments.model_version is not None:
        said["model-version"] = arguments.model_version
    for argument in arguments.option:
        key, equals, value = argument.partition("=")
        key = key.strip()
        if not equals:
            raise DbtTritonError("--option is KEY=VALUE, such as --option 'timeout=5s'; an equals sign is missing")
        if key in said:
            raise DbtTritonError(f"--option {key}= is said twice, or has an argument of its own")
        said[key] = value
    options = parse_options(said, _SUBJECT)
    _refuse_secrets(said, options)
    return said | {"endpoint": options.endpoint}


def _refuse_secrets(said: dict[str, str], options: Options) -> None:
    masked = mask_options(options)
    literal = [key for key in ("auth-token",) if is_masked({key: masked.get(key)})]
    headers = {
        name: value
        for name, value in masked["custom-headers"].items()
        if any(word in name.lower() for word in _SECRET_WORDS) or _SECRET_VALUE.match(options.custom_headers[name])
    }
    literal += ["custom-headers"] if is_masked({"custom-headers": headers}) else []
    # A header may have an option of its own, such as custom-headers.X-Key.
    if set(literal) & {key.partition(".")[0] for key in said}:
        raise DbtTritonError(
            f"{' and '.join(literal)} would stand in a file with its secret; set a variable of the environment, and "
            f"name it: --option '{literal[0]}={'${TRITON_TOKEN}' if literal[0] == 'auth-token' else '{…: ${TOKEN}}'}' "
            "(in single quotes, so that the shell leaves it as it is)"
        )
