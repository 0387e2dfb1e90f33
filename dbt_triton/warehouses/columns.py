"""The names of a prediction store's own columns, the same in every warehouse. No OUTPUT column may be called so."""

from __future__ import annotations

#: By what a prediction is found again: a hash of its inputs, and what the inference model was that made it.
KEY = "ml_key"
FINGERPRINT = "ml_fingerprint"
#: What keys are hashed with, where a warehouse needs it.
SALT = "ml_salt"
#: Whether a row is a prediction or a failure, where rows are forgotten by partitions.
KIND = "ml_kind"
#: Why a row failed, the kind of the reason, the HTTP status, and how often it was sent.
ERROR = "ml_error"
REASON = "ml_reason"
HTTP_STATUS = "ml_http_status"
ATTEMPTS = "ml_attempts"
