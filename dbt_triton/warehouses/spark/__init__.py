"""Apache Spark: 3.5 and 4.x, by dbt-spark."""
