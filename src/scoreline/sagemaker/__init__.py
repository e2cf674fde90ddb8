"""What SageMaker's contract asks beside serving: the model package, and training under /opt/ml."""
