"""Java for Spark: which one is run, and whether Spark can run on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from scoreline.errors import SparkError

LEAST_JAVA = 17  # of Spark 4
_ANSWER_WITHIN_S = 60
_GET = f"Spark runs on Java {LEAST_JAVA} or newer: install one (Debian: openjdk-17-jre-headless) or set JAVA_HOME"


def find_java(environment: Mapping[str, str] | None = None) -> Path:
    """Return the Java that Spark will start, in the order in which Spark looks: JAVA_HOME, then PATH.

    Raises
    ------
    SparkError
        There is none, it does not run, or it is too old.
    """
    environment = os.environ if environment is None else environment
    home = environment.get("JAVA_HOME", "")
    if home:
        java = Path(home) / "bin/java"
        if not os.access(java, os.X_OK):
            raise SparkError(f"JAVA_HOME={home}: has no bin/java that can be run. {_GET}.")
    else:
        found = shutil.which("java", path=environment.get("PATH", os.defpath))
        if found is None:
            raise SparkError(f"no Java: JAVA_HOME is not set and there is no java on PATH. {_GET}.")
        java = Path(found)
    version = _version(java)
    if version < LEAST_JAVA:
        raise SparkError(f"{java}: is Java {version}. {_GET}.")
    return java


def _version(java: Path) -> int:
    """Ask a Java for its version: 8 for what calls itself 1.8."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SparkError(f"{java}: does not run ({error}). {_GET}.") from error
    said = done.stderr + done.stdout
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    if done.returncode or match is None:
        raise SparkError(f"{java}: does not say its version; it said {said.strip()[:200]!r}. {_GET}.")
    return int(match[1])
