"""The image: what it is built from, which user its processes become, whether it is healthy."""
