"""`python -m scoreline` is the command `scoreline`."""

from scoreline.cli.main import main

main()
