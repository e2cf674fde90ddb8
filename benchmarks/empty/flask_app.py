"""A Flask handler that does nothing: what Flask and HTTP cost."""

from flask import Flask, Response

app = Flask(__name__)


@app.post("/invocations")
def invoke() -> Response:
    return Response(b"{}", mimetype="application/json")
