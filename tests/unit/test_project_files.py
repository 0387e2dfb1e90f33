from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dbt_triton import __version__
from dbt_triton.errors import DbtTritonError
from dbt_triton.project import git_entry, listed_entry, local_entry, with_dispatch, with_package

ENTRY = "- local: ../x"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "packages:\n  - local: ../x\n"),
        ("# none yet\n", "# none yet\n\npackages:\n  - local: ../x\n"),
        ("packages:\n- package: a/b\n  version: 1\n", "packages:\n- local: ../x\n- package: a/b\n  version: 1\n"),
        (
            "packages: # ours\n    # first\n    - package: a/b\n",
            "packages: # ours\n    - local: ../x\n    # first\n    - package: a/b\n",
        ),
        ("packages:\n  - local: ../x\n", "packages:\n  - local: ../x\n"),
    ],
)
def test_entry_is_added_and_the_rest_stays(tmp_path: Path, before: str, after: str) -> None:
    """The entry goes into the list of packages in the list's own indentation; comments and other entries stay."""
    file = tmp_path / "packages.yml"
    file.write_text(before, encoding="utf-8")
    assert with_package(tmp_path, ENTRY).write() == (file, before != after)
    assert file.read_text(encoding="utf-8") == after


def test_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    """A project without packages gets a packages.yml."""
    assert with_package(tmp_path, ENTRY).write() == (tmp_path / "packages.yml", True)


def test_packages_in_dependencies_yml_stay_there(tmp_path: Path) -> None:
    """Where dependencies.yml lists the packages, the entry goes there: dbt takes one of the two files only."""
    (tmp_path / "dependencies.yml").write_text("packages:\n  - package: a/b\n", encoding="utf-8")
    assert with_package(tmp_path, ENTRY).write() == (tmp_path / "dependencies.yml", True)


def test_list_in_another_form_is_left_to_the_user(tmp_path: Path) -> None:
    """A list in flow style is not rewritten; the entry to add is shown."""
    (tmp_path / "packages.yml").write_text("packages: [{package: a/b}]\n", encoding="utf-8")
    with pytest.raises(DbtTritonError, match=r"left to you; add this to it:\n- local: \.\./x"):
        with_package(tmp_path, ENTRY)


def test_entry_is_relative_within_reach_of_the_project(tmp_path: Path) -> None:
    """A package in or beside the project is listed by a relative path, which others can use; else by the whole one."""
    assert local_entry(tmp_path / "project", tmp_path / "dbt-triton") == '- local: "../dbt-triton"'
    far = tmp_path / "a" / "b" / "project"
    assert local_entry(far, tmp_path / "dbt-triton") == f'- local: "{tmp_path}/dbt-triton"'


def test_git_entry_is_of_this_version() -> None:
    """From a repository, the revision of the installed version is listed."""
    assert git_entry("https://example.com/x.git") == f'- git: "https://example.com/x.git"\n  revision: v{__version__}'


def test_dispatch_goes_into_dbt_project_yml_once(tmp_path: Path) -> None:
    """The line for unit tests and `dbt show` names the project first."""
    file = tmp_path / "dbt_project.yml"
    file.write_text("name: 'shop'\nprofile: x\n", encoding="utf-8")
    assert with_dispatch(tmp_path).write() == (file, True)
    assert file.read_text(encoding="utf-8") == (
        "name: 'shop'\nprofile: x\n\ndispatch:\n  - macro_namespace: dbt\n    search_order: [shop, dbt_triton, dbt]\n"
    )
    assert with_dispatch(tmp_path).write() == (file, False)


def test_init_leaves_the_entry_of_a_checkout(tmp_path: Path) -> None:
    """A project that lists a checkout of the package, as the README has it, is left as it is."""
    checkout = tmp_path / "dbt-triton"
    checkout.mkdir()
    (checkout / "dbt_project.yml").write_text("name: dbt_triton\n")
    folder = tmp_path / "shop"
    folder.mkdir()
    written = "packages:\n  - local: ../dbt-triton\n"
    (folder / "packages.yml").write_text(written)
    assert with_package(folder, '- local: "elsewhere"').write() == (folder / "packages.yml", False)
    assert (folder / "packages.yml").read_text() == written


@pytest.mark.parametrize(
    ("written", "entry"),
    [
        ('- local: "../x"', ENTRY),
        (
            "- git: https://example.com/dbt-triton.git\n    revision: v0.0.1",
            git_entry("https://example.com/dbt-triton"),
        ),
        ("- git: git@example.com:team/dbt-triton", ENTRY),
        ("- git: https://example.com/fork\n    revision: main", git_entry("https://example.com/Fork.git/")),
        ("- package: team/dbt_triton\n    version: 0.1.0", ENTRY),
    ],
)
def test_entry_of_ours_is_named_as_the_file_has_it(tmp_path: Path, written: str, entry: str) -> None:
    """An entry that leads to the package is left, whatever it looks like, and is the one that is named."""
    text = f"packages:\n  {written}\n"
    (tmp_path / "packages.yml").write_text(text)
    assert with_package(tmp_path, entry).write() == (tmp_path / "packages.yml", False)
    assert (tmp_path / "packages.yml").read_text() == text
    assert yaml.safe_load(listed_entry(tmp_path, entry) or "") == yaml.safe_load(text)["packages"]


def test_other_packages_are_not_ours(tmp_path: Path) -> None:
    """Of packages that are others, none is named, and the entry is added."""
    (tmp_path / "packages.yml").write_text("packages:\n  - local: elsewhere\n  - git: https://example.com/x\n")
    assert listed_entry(tmp_path, ENTRY) is None
    assert with_package(tmp_path, ENTRY).write() == (tmp_path / "packages.yml", True)


def test_line_ends_of_windows_stay(tmp_path: Path) -> None:
    """A file with the line ends of Windows keeps them, in every line."""
    file = tmp_path / "packages.yml"
    file.write_bytes(b"packages: # ours\r\n  - package: a/b\r\n")
    assert with_package(tmp_path, ENTRY).write() == (file, True)
    assert file.read_bytes() == b"packages: # ours\r\n  - local: ../x\r\n  - package: a/b\r\n"


@pytest.mark.parametrize("add", [lambda folder: with_package(folder, ENTRY), with_dispatch])
def test_file_that_is_no_yaml_is_said_so(tmp_path: Path, add: Callable[[Path], object]) -> None:
    """A file that cannot be read is one sentence with its name."""
    for name in ("packages.yml", "dbt_project.yml"):
        (tmp_path / name).write_text("name: [shop\n")
    with pytest.raises(DbtTritonError, match=r"(packages|dbt_project)\.yml is no YAML: "):
        add(tmp_path)


def test_dispatch_in_another_form_is_found(tmp_path: Path) -> None:
    """A dispatch of dbt with our package is found in any form; one without it, or a comment, is not taken for it."""
    file = tmp_path / "dbt_project.yml"
    before = "name: shop\n# [shop, dbt_triton, dbt]\n"
    file.write_text(
        before
        + "dispatch:\n  - search_order:\n      - shop\n      - dbt_triton\n      - dbt\n    macro_namespace: dbt\n"
    )
    assert with_dispatch(tmp_path).write() == (file, False)
    for order in ("[shop, dbt]", "[shop, dbt, dbt_triton]", "[]"):  # behind dbt, dbt would never look at it
        file.write_text(f"{before}dispatch:\n  - macro_namespace: dbt\n    search_order: {order}\n")
        with pytest.raises(DbtTritonError, match="write dbt_triton before dbt in its search_order"):
            with_dispatch(tmp_path)
    file.write_text(before)
    assert with_dispatch(tmp_path).write() == (file, True)
