"""The distributed engine: Spark DataFrames run a plan over the machines of a cluster."""
