"""The run log: one row for each ML_PREDICT call of a build, in a table of the warehouse."""
