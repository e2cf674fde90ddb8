"""The batch client: the spine's file through a server into `results/results.json`."""
