"""Flink SQL's CREATE MODEL and ML_PREDICT for dbt, on NVIDIA Triton Inference Server.

dbt imports every top-level module called ``dbt_*`` each time it starts, so nothing heavy is imported here, and
nothing here can raise.
"""

__version__ = "0.1.0"
