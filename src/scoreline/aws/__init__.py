"""What Scoreline says to AWS. Only this room imports boto3."""
