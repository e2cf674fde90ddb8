"""The ASGI entry point, by default that of `serve`: the same answers as the WSGI one, for less of the processor.

Importing this module loads the service, so that gunicorn's preload shares it between workers.
"""

from scoreline.serving.entry import asgi_app

app = asgi_app()
