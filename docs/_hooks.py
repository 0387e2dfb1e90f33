"""What mkdocs calls: a page of the navigation that is not written yet is left out, and any other page is added."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:  # noqa: ANN401 - mkdocs has no types
    """Let the navigation hold exactly the pages that exist."""
    folder = Path(config["docs_dir"])
    pages = [entry for entry in config["nav"] if (folder / next(iter(entry.values()))).exists()]
    listed = {next(iter(entry.values())) for entry in pages}
    config["nav"] = [*pages, *(file.name for file in sorted(folder.glob("*.md")) if file.name not in listed)]
    return config
