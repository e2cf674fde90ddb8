"""The online store: where `serve` finds feature rows by key."""
