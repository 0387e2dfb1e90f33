"""What test_dagster.py runs in Dagster's environment: two runs of the example's assets, told in told.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd() / "orchestration"))

import dagster_assets
from dagster import AssetSelection, materialize


def run(selection: AssetSelection) -> dict[str, Any]:
    """Materialize assets, and return what Dagster has recorded."""
    result = materialize(
        [dagster_assets.movie_reviews],
        selection=selection,
        resources=dagster_assets.defs.resources,
        raise_on_error=False,
    )
    materialized = {
        event.materialization.asset_key.to_user_string(): {
            name: getattr(value, "value", None)
            for name, value in event.materialization.metadata.items()
            if name.startswith("ml_predict/")
        }
        for event in result.get_asset_materialization_events()
    }
    checks = result.get_asset_check_evaluations()
    return {
        "success": result.success,
        "materialized": materialized,
        "checks": len(checks),
        "failed_checks": [check.check_name for check in checks if not check.passed],
        "errors": [str(event.event_specific_data.error) for event in result.all_events if event.is_step_failure],
    }


def main() -> None:
    """Tell the lineage and two runs: all assets but the strict one, then that one with one that can be built."""
    strict = AssetSelection.assets("strict")
    specs = dagster_assets.movie_reviews.specs
    lineage = {
        spec.key.to_user_string(): sorted(dependency.asset_key.to_user_string() for dependency in spec.deps)
        for spec in specs
    }
    told = {
        "lineage": lineage,
        "lenient": run(AssetSelection.all() - strict),
        "strict": run(strict | AssetSelection.assets("refused")),
    }
    Path("told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
