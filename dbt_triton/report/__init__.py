"""`dbt-triton report`: the run log as one HTML page."""
