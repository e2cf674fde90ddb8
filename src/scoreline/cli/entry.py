"""The image's entry point: a file of its own, so that a signal is heard before Scoreline is imported.

The first process of a container has no default handlers: a SIGTERM in the first moments would be lost, and the
container killed when its time is over.
"""

import os
import signal
import sys


def _end(number: int, frame: object) -> None:
    os.write(2, b"scoreline: ended before it began\n")
    os._exit(0 if sys.argv[1:2] == ["serve"] else 128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    from scoreline.cli.container import run

    signal.signal(signal.SIGINT, signal.default_int_handler)  # for SIGTERM the command line has its own
    run()
