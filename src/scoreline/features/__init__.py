"""Features: the plan, its engines, and the build of the feature table and online store."""
