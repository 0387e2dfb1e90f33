"""`dbt-triton predict`: a few predictions at hand, by the engine of a build, in a DuckDB that nobody keeps."""
