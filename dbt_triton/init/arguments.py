"""What the command `dbt-triton init` takes; light, since every other command reads it, too."""

from __future__ import annotations

from argparse import ArgumentParser


def add_arguments(parser: ArgumentParser) -> None:
    """Add everything that the command takes."""
    parser.add_argument("--project-dir", help="the folder of dbt_project.yml (default: this one)")
    parser.add_argument(
        "--git", metavar="URL", help="list the package from a git repository, not from this environment"
    )
    parser.add_argument("--dispatch", action="store_true", help="also let dbt's unit tests read ML_PREDICT in SQL")
    served = parser.add_argument_group("models that a server serves")
    served.add_argument(
        "--endpoint", action="append", metavar="URL", help="the server, such as http://localhost:8000; may be repeated"
    )
    served.add_argument(
        "--model", action="append", metavar="NAME", help="write the files of this model; may be repeated"
    )
    served.add_argument("--all", action="store_true", help="list what the server serves, and write nothing")
    served.add_argument("--name", help="what the model is called in dbt (default: after the served one)")
    served.add_argument("--model-version", metavar="N", help="the version (default: the latest)")
    served.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another option of WITH, such as 'auth-token=${TRITON_TOKEN}'; may be repeated",
    )
    served.add_argument("--models-path", metavar="FOLDER", help="where to write (default: the first of model-paths)")
    served.add_argument("--force", action="store_true", help="replace files that are there")
    dbt = parser.add_argument_group("which profile the SQL is for")
    dbt.add_argument("--profiles-dir", help="the folder of profiles.yml, as of dbt")
    dbt.add_argument("--profile", help="as of dbt")
    dbt.add_argument("--target", "-t", help="as of dbt")
