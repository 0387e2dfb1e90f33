"""What the generated Python of the two materializations calls.

Nothing is raised into dbt: a result, or an error, is left in the warehouse as JSON, and Jinja raises it as one clean
message.
"""

from dbt_triton.step.run import build_inference_model, dry_run, note, plan, predict, tune, use_memory

__all__ = ["build_inference_model", "dry_run", "note", "plan", "predict", "tune", "use_memory"]
