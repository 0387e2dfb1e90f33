"""The picture of the README and the docs' home: a terminal in which two models are built, from a real run.

``make picture`` writes terminal-light.svg and terminal-dark.svg beside this file. A real dbt and a real Triton say what
it shows; only clock times, runs of dots and lines that say nothing of the models are left out.
"""

# ruff: noqa: T201 - a command that says what it wrote

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from dbt_triton.server import TritonServer

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
EXAMPLE = REPOSITORY / "example_project"
WIDTH = 104
DESCRIPTION = (
    "A terminal: a CREATE MODEL statement and a SELECT from ML_PREDICT in two dbt models, what dbt build says of them, "
    "and how people have rated what was classified."
)
MODELS = {
    "models/review_sentiment.sql": """{{ config(materialized='inference_model') }}
CREATE MODEL review_sentiment
INPUT (review STRING) OUTPUT (sentiment STRING)
WITH ('provider' = 'triton', 'endpoint' = 'http://localhost:8000',
      'model-name' = 'movie-review-sentiment')
""",
    "models/classified_reviews.sql": """{{ config(materialized='ml_predict') }}
SELECT id, review, rating, sentiment
FROM ML_PREDICT(TABLE {{ ref('reviews') }}, MODEL {{ ref('review_sentiment') }}, DESCRIPTOR(review))
""",
}
LOOK = (
    "select sentiment, count(*) as reviews, round(avg(rating), 2) as rating_by_people "
    "from {{ ref('classified_reviews') }} group by sentiment"
)
#: Names of Pygments whose colours read well on the backgrounds below.
SCHEMES = {"light": "default", "dark": "monokai"}
_ANSI = (
    (0, 0, 0),
    (180, 30, 30),
    (20, 110, 40),
    (140, 90, 0),
    (20, 80, 170),
    (130, 40, 140),
    (0, 110, 120),
    (90, 96, 105),
)
_ANSI_DARK = (
    *((13, 17, 23), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
    *((121, 192, 255), (210, 168, 255), (86, 212, 221), (139, 148, 158)),
)
THEMES = {
    "light": TerminalTheme((246, 248, 250), (31, 35, 40), list(_ANSI), list(_ANSI)),
    "dark": TerminalTheme((13, 17, 23), (230, 237, 243), list(_ANSI_DARK), list(_ANSI_DARK)),
}
# The fonts are the reader's own: a picture that loads one from elsewhere shows nothing where it may not.
TEMPLATE = """<svg xmlns="http://www.w3.org/2000/svg" class="t" viewBox="0 0 {width} {height}" role="img" \
aria-labelledby="title desc">
<title id="title">dbt build with dbt-triton</title>
<desc id="desc">DESCRIPTION</desc>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass
class Session:
    """What was typed, and what was answered: each line is a command, a file of SQL, or a text."""

    parts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Add a part: ``command``, ``sql`` or ``output``."""
        self.parts.append((kind, text.rstrip("\n")))


def main(folder: Path) -> None:
    """Run the session, and write its pictures into a folder."""
    session = run()
    for scheme, theme in THEMES.items():
        file = folder / f"terminal-{scheme}.svg"
        file.write_text(drawn(session, SCHEMES[scheme], theme), encoding="utf-8")
        print(f"wrote {file}")


def run() -> Session:
    """Build the two models on the real reviews with a real server, in a folder that is gone afterwards."""
    session = Session()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        served = Path("model_repository", "movie-review-sentiment")
        shutil.copytree(EXAMPLE / served, root / served)
        shutil.copytree(EXAMPLE / "seeds", root / "seeds")
        train = [sys.executable, "-c", f"import pathlib, train; train.train(pathlib.Path({name!r}))"]
        subprocess.run(train, cwd=EXAMPLE, check=True)  # noqa: S603 - the command is built above
        project = _project(root / "project")
        with TritonServer(root / "model_repository") as server:
            for file, text in MODELS.items():
                (project / file).write_text(text, encoding="utf-8")
                session.add("command", f"cat {file}")
                session.add("sql", text)
            session.add("command", "dbt build")
            # The statement names port 8000; the server has one that is free.
            variables = json.dumps({"dbt_triton_endpoint": server.url})
            session.add("output", _of_interest(_dbt(project, "build", "--vars", variables)))
            session.add("command", f'dbt show --inline "{LOOK}"')
            shown = _dbt(project, "show", "--inline", LOOK)
            session.add("output", shown[shown.index("| ") :])
    return session


def _project(root: Path) -> Path:
    """Write a project with the reviews, and the package as `dbt deps` puts it there."""
    (root / "models").mkdir(parents=True)
    (root / "seeds").mkdir()
    (root / "dbt_packages").mkdir()
    (root / "dbt_packages" / "dbt_triton").symlink_to(REPOSITORY, target_is_directory=True)
    target = {"type": "duckdb", "path": str(root / "warehouse.duckdb"), "threads": 1}
    seeds = {"picture": {"reviews": {"+fast": False, "+quote_columns": False}}}
    for file, content in {
        "dbt_project.yml": {"name": "picture", "version": "1.0.0", "profile": "picture", "seeds": seeds},
        "profiles.yml": {"picture": {"target": "dev", "outputs": {"dev": target}}},
        "packages.yml": {"packages": [{"local": str(REPOSITORY)}]},
    }.items():
        (root / file).write_text(json.dumps(content), encoding="utf-8")
    reviews = (EXAMPLE / "seeds" / "movie_review_snippets.csv").read_text("utf-8")
    header, _, rows = reviews.partition("\n")
    (root / "seeds" / "reviews.csv").write_text(f"{header.replace('user_review', 'review')}\n{rows}", encoding="utf-8")
    return root


def _dbt(project: Path, *arguments: str) -> str:
    """Return what a dbt command prints.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    command = [str(Path(sys.executable).parent / "dbt"), *arguments, "--project-dir", str(project)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DBT_", "VERBOSE"))}
    environment |= {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(  # noqa: S603 - the command is built above
        [*command, "--profiles-dir", str(project), "--no-use-colors"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout


def _of_interest(printed: str) -> str:
    """Return the lines that say what became of each node, without the clock."""
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in printed.splitlines()]
    kept = [line for line in lines if re.match(r"\d+ of \d+ OK |Completed |Done\.", line)]
    return "\n".join(re.sub(r" \.{2,} ", " … ", line) for line in kept)


def drawn(session: Session, highlighting: str, theme: TerminalTheme) -> str:
    """Return a session as SVG."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system="truecolor")
        for kind, text in session.parts:
            if kind == "command":
                console.print(Text.assemble(("$ ", "bold green"), (text, "bold")))
            elif kind == "sql":
                console.print(Syntax(text, "sql", theme=highlighting, background_color="default"), end="")
                console.print()
            else:
                console.print(_coloured(text))
                console.print()
        code = TEMPLATE.replace("DESCRIPTION", DESCRIPTION)
        return console.export_svg(title="", theme=theme, code_format=code, unique_id="t")


def _coloured(text: str) -> Text:
    """Let what went well, and what was predicted, stand out."""
    shown = Text(text, no_wrap=True)
    shown.highlight_regex(r"\bOK\b|Completed successfully", "bold green")
    shown.highlight_regex(r"ML_PREDICT [^\]]*", "bold blue")
    shown.highlight_regex(r"\bpositive\b", "green")
    shown.highlight_regex(r"\bnegative\b", "red")
    return shown


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE)
    main(parser.parse_args().folder)
