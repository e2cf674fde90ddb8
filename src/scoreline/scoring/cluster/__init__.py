"""Batch scoring on Spark: what the driver plans, and what runs on the machines of the cluster."""
