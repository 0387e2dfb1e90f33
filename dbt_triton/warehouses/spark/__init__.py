"""Apache Spark: where the input is read, and where the engine runs in the tasks of executors.

pyspark is imported within functions only, since it is there for users of Spark alone.
"""
