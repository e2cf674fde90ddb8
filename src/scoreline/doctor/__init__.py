"""`scoreline doctor`: holds an app, a running server or an image against SageMaker's contract, and names the fix."""
