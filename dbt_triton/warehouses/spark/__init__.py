"""Apache Spark 3.5 and 4.x, by dbt-spark: rows are sent by Spark's tasks, and predictions are kept in a table.

pyspark is imported within functions only, since it is there for users of Spark alone.
"""
