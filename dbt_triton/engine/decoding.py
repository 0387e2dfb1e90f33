"""Which of several servers answers what cannot be decoded, by what came of decoding the answers of all of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from dbt_triton.engine.server import Server
from dbt_triton.errors import InferenceError

#: So many answers in a row that cannot be decoded, while those of others can, are the server's fault. Fewer than of
#: other errors: they are seen some hundred answers later.
_OWN = 4


def to_blame(
    servers: Sequence[Server], well: Collection[object], badly: Sequence[tuple[object, InferenceError]]
) -> dict[Server, InferenceError]:
    """Note what came of decoding, and return the servers that are to blame, with the last of their errors.

    One whose answers cannot be decoded at all, while those of others can, is to blame, and not the rows.

    Args:
        servers: of the run.
        well: those whose answers were decoded, at least one of each.
        badly: the server of each answer that cannot be decoded, and why.
    """
    errors = {server: [error for one, error in badly if one is server] for server in servers}
    for server in servers:
        if server in well:
            server.undecodable, server.decoded_at, server.is_doubtful = 0, time.monotonic(), False
        else:
            server.undecodable += len(errors[server])
    found = {}
    for server in servers:
        others_are_well = any(other.decoded_at > server.decoded_at for other in servers)
        if server not in well and errors[server] and others_are_well:
            server.is_doubtful = server.is_doubtful or server.undecodable >= _OWN
            if server.is_doubtful:
                found[server] = errors[server][-1]
    return found
