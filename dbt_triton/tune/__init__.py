"""`dbt-triton tune`: which options make a predicting model fastest, found by trials against its own server."""
