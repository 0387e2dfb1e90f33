from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from dbt_triton import foreign_text

# pytest would walk into a `.hypothesis` folder at the root, which the plugin reports with a warning.
set_hypothesis_home_dir(Path(__file__).parents[2] / ".pytest_cache" / "hypothesis")
# The same examples on every machine and in every run: a red build is never luck.
settings.register_profile(
    "unit",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the secrets of other tests: made-up ones may be words of any text."""
    monkeypatch.setattr(foreign_text, "_SECRETS", foreign_text._Secrets())
