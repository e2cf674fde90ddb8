"""What gunicorn loads: replaces Scoreline's own, with its Flask workers. It must define `app`."""

from scoreline.serving.wsgi import app as scoreline


def app(environ, start_response):
    """Answer one request; a place for what every request shall pass."""
    return scoreline(environ, start_response)
