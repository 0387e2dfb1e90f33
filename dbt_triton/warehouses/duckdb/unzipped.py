"""Files that may be zipped, by their names, as DuckDB takes them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast


def unzipped(path: Path) -> BinaryIO:
    """Open a file for its bytes, without the gzip of one whose name ends in ``.gz``."""
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")
