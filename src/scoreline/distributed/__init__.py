"""The Spark session, and how our code reaches the machines that it runs on. Nothing here imports pyspark at its top."""
