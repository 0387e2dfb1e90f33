"""What mkdocs calls: a page of the navigation that is not written yet is left out, and any other page is added."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: An entry of the navigation: a title, and a page or the entries of a section.
Entry = dict[str, Any]


def pages_of(entries: list[Entry]) -> Iterator[str]:
    """Return the pages of a navigation, those within sections, too."""
    for entry in entries:
        for page in entry.values():
            yield from pages_of(page) if isinstance(page, list) else [page]


def written(entries: list[Entry], folder: Path) -> list[Entry]:
    """Return a navigation without the pages that do not exist, and without sections that have none."""
    kept: list[Entry] = []
    for entry in entries:
        for title, page in entry.items():
            found = written(page, folder) if isinstance(page, list) else page if (folder / page).exists() else None
            if found:
                kept.append({title: found})
    return kept


def on_config(config: Any) -> Any:  # noqa: ANN401 - mkdocs has no types
    """Let the navigation hold exactly the pages that exist."""
    folder = Path(config["docs_dir"])
    nav = written(config["nav"], folder)
    listed = set(pages_of(nav))
    config["nav"] = [*nav, *(file.name for file in sorted(folder.glob("*.md")) if file.name not in listed)]
    return config
