"""Which Java Spark gets, and what is said where it can't have one."""

from __future__ import annotations

import pytest

from scoreline.distributed.java import find_java
from scoreline.errors import SparkError


def a_java(folder, says, code=0):
    """Write a program that answers `-version` as a Java does."""
    path = folder / "bin/java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_java_home_comes_before_the_path(tmp_path):
    ours = a_java(tmp_path / "ours", 'openjdk version "21.0.2" 2024-01-16')
    other = a_java(tmp_path / "other", 'openjdk version "17.0.1"')
    environment = {"JAVA_HOME": str(tmp_path / "ours"), "PATH": str(other.parent)}
    assert find_java(environment) == ours
    assert find_java({"PATH": str(other.parent)}) == other


@pytest.mark.parametrize(("says", "version"), [('java version "1.8.0_392"', 8), ('openjdk version "11.0.2"', 11)])
def test_a_java_that_is_too_old_is_refused_by_its_version(tmp_path, says, version):
    a_java(tmp_path, says)
    with pytest.raises(SparkError, match=rf"is Java {version}\. Spark runs on Java 17 or newer"):
        find_java({"JAVA_HOME": str(tmp_path)})


def test_without_java_the_error_says_what_to_install(tmp_path):
    with pytest.raises(SparkError, match=r"no java on PATH\. .*openjdk-17-jre-headless.*JAVA_HOME"):
        find_java({"PATH": str(tmp_path)})


def test_a_java_home_without_java_is_named(tmp_path):
    with pytest.raises(SparkError, match=rf"JAVA_HOME={tmp_path}: has no bin/java"):
        find_java({"JAVA_HOME": str(tmp_path)})


def test_what_is_no_java_is_quoted(tmp_path):
    a_java(tmp_path, "no such thing", code=3)
    with pytest.raises(SparkError, match="does not say its version; it said 'no such thing'"):
        find_java({"JAVA_HOME": str(tmp_path)})
