"""The image's HEALTHCHECK: is /ping 200? A file of its own on the standard library alone: it runs every few seconds."""

import http.client
import os
import sys

_PATIENCE_S = 2  # SageMaker's own with /ping


def main() -> int:
    """Return 0 where the server answers 200, else 1 with what it answered."""
    port = os.environ.get("SAGEMAKER_BIND_TO_PORT") or os.environ.get("SCORELINE_PORT") or "8080"
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_PATIENCE_S)
        connection.request("GET", "/ping")
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"/ping on port {port}: {error}")
        return 1
    print(f"/ping on port {port}: {status}")
    return int(status != 200)


if __name__ == "__main__":
    sys.exit(main())
