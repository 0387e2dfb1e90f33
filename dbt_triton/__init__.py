"""Flink SQL's CREATE MODEL and ML_PREDICT for dbt, on NVIDIA Triton Inference Server.

dbt imports every top-level module called ``dbt_*`` each time it starts, so nothing heavy is imported here, and
nothing here can raise.
"""

__version__ = "0.1.0"

import os as _os

# numpy sets these for the time of its first import and deletes them again. We import it in one of dbt's threads,
# while another may be iterating over os.environ ("KeyError: 'OPENBLAS_MAIN_FREE'"). It leaves alone what is set.
for _name in ("OPENBLAS_MAIN_FREE", "GOTOBLAS_MAIN_FREE"):
    _os.environ.setdefault(_name, "1")


# As of typing, which is not imported for it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from dbt_triton.step.python_model import ml_predict as ml_predict


def __getattr__(name: str) -> object:
    """Import the function for dbt's Python models, and the plugins that dbt looks for, when they are asked for."""
    if name == "ml_predict":
        from dbt_triton.step.python_model import ml_predict  # noqa: PLC0415 - see above

        return ml_predict
    if name == "plugins":
        try:
            from dbt_triton.dbt_plugin import plugins  # noqa: PLC0415 - see above
        except Exception as error:
            # No dbt, or another one, to which the package then offers no plugin.
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
        return plugins
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
