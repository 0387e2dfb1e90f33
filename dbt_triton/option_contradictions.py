"""What options cannot mean together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbt_triton.options import Options

MAX_UINT64 = 2**64 - 1
#: Triton answers 501 to a longer one (triton 2.51, measured).
MAX_SEQUENCE_ID_LENGTH = 128


def contradictions(options: Options) -> list[tuple[bool, str]]:
    """Return what options cannot mean together: whether it is so, and the sentence that says it."""
    sequence, token = options.sequence_id, options.auth_token
    headers = {name.lower() for name in options.custom_headers}
    return [
        *options.said_twice(),
        (options.sequence_start and sequence is None, "sequence-start needs a sequence-id"),
        (options.sequence_end and sequence is None, "sequence-end needs a sequence-id"),
        (options.sequence_id_auto_increment and sequence is None, "sequence-id-auto-increment needs a sequence-id"),
        (
            sequence is not None and (options.batch_size or 1) > 1,
            "batch-size must be 1 with a sequence-id: Triton's sequence batcher takes one row a request",
        ),
        (
            sequence is not None and (options.max_concurrent_operations or 1) > 1,
            "max-concurrent-operations must be 1 with a sequence-id: the rows of a sequence go in order",
        ),
        (
            sequence is not None and len(sequence) > MAX_SEQUENCE_ID_LENGTH,
            f"sequence-id may have at most {MAX_SEQUENCE_ID_LENGTH} characters",
        ),
        (
            sequence is not None and is_number(sequence) and not _is_uint64(sequence),
            "sequence-id, where it is a number, must be between 1 and 2^64-1",
        ),
        (
            sequence is not None and bool(options.sequence_by),
            "sequence-id and sequence-by contradict each other: the rows are one sequence, or one for each key",
        ),
        (bool(options.order_by) and not options.sequence_by, "order-by needs a sequence-by"),
        (
            bool(options.sequence_by) and (options.sequence_start or options.sequence_end),
            "sequence-start and sequence-end must be left alone with sequence-by, which sets them for each key",
        ),
        (
            bool(options.sequence_by) and (options.batch_size or 1) > 1,
            "batch-size must be 1 with sequence-by: Triton's sequence batcher takes one row a request",
        ),
        (
            bool(options.sequence_by) and options.cache == "persistent",
            "cache must be left alone with sequence-by: a sequence is whole or it is nothing",
        ),
        (
            "default_value" in options.model_fields_set and options.on_error != "null",
            "default-value needs 'on-error' = 'null', which is what it means where no on-error is written",
        ),
        (
            options.max_error_ratio < 1 and options.on_error != "null",
            "max-error-ratio needs 'on-error' = 'null'; with fail, any failed row fails the build",
        ),
        (
            sequence is not None and (options.on_error == "null" or options.cache == "persistent"),
            "on-error and cache must be left alone with a sequence-id: a sequence is whole or it is nothing"
            + (", and a default-value means 'on-error' = 'null'" if options.default_value is not None else ""),
        ),
        (
            token is not None and "authorization" in headers,
            "auth-token and an Authorization in custom-headers contradict each other",
        ),
        (
            options.response_format == "json" and options.classification is not None,
            "response-format = json and classification contradict each other: a class is no JSON",
        ),
        ((options.tls_cert is None) != (options.tls_key is None), "tls-cert and tls-key go together"),
        (
            any((options.tls_ca, options.tls_cert)) and any(one.startswith("http:") for one in options.endpoints),
            "tls-ca, tls-cert and tls-key need an https endpoint",
        ),
    ]


def is_number(text: str) -> bool:
    """Tell whether a sequence id is a number."""
    return text.isascii() and text.isdecimal()


def _is_uint64(text: str) -> bool:
    return len(text) <= MAX_SEQUENCE_ID_LENGTH and 0 < int(text) <= MAX_UINT64
