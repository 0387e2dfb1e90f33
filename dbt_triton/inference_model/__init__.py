"""An inference model: its definition, its metadata row, and whether the server serves what it declares."""

from dbt_triton.inference_model.binding import Binding, bind
from dbt_triton.inference_model.model import InferenceModel
from dbt_triton.inference_model.row import description, metadata_row, model_from_row
from dbt_triton.inference_model.served_schema import require_schema, with_served_schema

__all__ = [
    "Binding",
    "InferenceModel",
    "bind",
    "description",
    "metadata_row",
    "model_from_row",
    "require_schema",
    "with_served_schema",
]
