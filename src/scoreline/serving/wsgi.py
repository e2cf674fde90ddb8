"""The WSGI entry point: `gunicorn scoreline.serving.wsgi:app`, with the app's folder in SCORELINE_APP.

Importing this module loads the service, so that gunicorn's preload shares it between workers.
"""

from scoreline.serving.entry import wsgi_app

app = wsgi_app()
