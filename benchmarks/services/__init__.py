"""What `benchmarks/live.py` is made of."""
