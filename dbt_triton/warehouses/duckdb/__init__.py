"""DuckDB: rows stream from the session into the engine in the same process, and predictions into a table beside it."""
