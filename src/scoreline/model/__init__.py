"""The model: training, the artifact, rules and flat trees, and the proof that a runtime is exact."""
