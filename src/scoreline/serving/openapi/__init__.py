"""The OpenAPI document of a server, made from its app's three schemas: request, inputs and reply."""

from scoreline.serving.openapi.document import make_document

__all__ = ["make_document"]
