"""Engines that run a plan over tables. Each is a small compiler of the same plan."""
