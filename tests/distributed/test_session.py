"""The Spark session, on a real standalone cluster."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scoreline.distributed.session import CORRECT, open_session, take_session
from scoreline.errors import SettingError, SparkError

PAGES = "spark.buffer.pageSize"
pytestmark = [pytest.mark.slow, pytest.mark.needs("java")]


def run_alone(statement, **environment):
    """Run a statement in a process of its own; return what it printed last."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SPARK_LOCAL_IP": "127.0.0.1", **environment}
    done = subprocess.run([sys.executable, "-c", statement], env=environment, capture_output=True, text=True)
    return (done.stderr + done.stdout).strip().splitlines()[-1]


def test_work_is_done_on_both_workers(spark):
    def where(batches):
        import os

        import pyarrow as pa

        for batch in batches:
            yield pa.record_batch([pa.array([os.getppid()] * batch.num_rows)], names=["pid"])

    rows = spark.range(0, 400_000, numPartitions=8).mapInArrow(where, "pid long").distinct().collect()
    assert len(rows) == 2


def test_a_taken_session_has_our_settings_and_leaves_those_of_the_other(spark):
    other = spark.newSession()
    other.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    other.conf.set("spark.sql.files.ignoreCorruptFiles", "true")
    ours = take_session(other)
    assert {name: ours.conf.get(name) for name in CORRECT} == CORRECT
    assert other.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"


def test_an_active_session_is_used_and_another_master_refused(spark, cluster):
    assert open_session().sparkContext.applicationId == spark.sparkContext.applicationId
    assert open_session(cluster.master).sparkContext.applicationId == spark.sparkContext.applicationId
    with pytest.raises(SettingError, match=r"--master local\[2\]: a session on spark://.* is active"):
        open_session("local[2]")


def test_a_master_that_is_away_is_an_error_at_once():
    statement = "from scoreline.distributed.session import open_session; open_session('spark://127.0.0.1:9')"
    said = run_alone(statement)
    assert said.startswith("scoreline.errors.SparkError: the Spark master can't be reached (127.0.0.1:9: ")


@pytest.mark.parametrize(
    ("told", "defaults", "pages"),
    [({}, "", "4194288"), ({}, "spark.buffer.pageSize 2m\n", "2m"), ({PAGES: "8m"}, "", "8m")],
)
def test_a_session_has_small_pages_unless_told_otherwise(tmp_path, told, defaults, pages):
    (tmp_path / "spark-defaults.conf").write_text(defaults)
    said = run_alone(
        "from scoreline.distributed.session import open_session; "
        f"session = open_session('local[1]', conf={told!r}); "
        f"pages = session.sparkContext.getConf().get({PAGES!r}); session.stop(); print(pages)",
        SPARK_CONF_DIR=str(tmp_path),
    )
    assert said == pages


def test_an_application_that_the_cluster_ended_says_where_to_look():
    said = run_alone(
        "from scoreline.distributed.session import open_session; "
        "from scoreline.distributed.trouble import translated\n"
        "session = open_session('local[1]'); session.sparkContext._jsc.sc().stop()\n"
        "with translated('counting'): session.range(3).count()"
    )
    assert said.startswith(
        "scoreline.errors.SparkError: Spark failed, counting: the cluster ended the application, as it"
    )
    assert "work/app-*/*/stderr" in said


def test_an_address_of_an_unknown_kind_says_so(spark):
    from scoreline.features.engines.distributed.source import files_at  # loads pyspark, which may not be there

    with pytest.raises(SparkError, match=r"^Spark failed, looking at zz://lake: .*No FileSystem for scheme \"zz\"$"):
        files_at(spark, "zz://lake")


def test_a_master_without_a_port_is_refused():
    said = run_alone("from scoreline.distributed.session import open_session; open_session('spark://host')")
    assert said == (
        "scoreline.errors.SettingError: --master spark://host: expected spark://host:port, for example "
        "spark://10.0.0.5:7077"
    )


@pytest.mark.parametrize("package", ["pyspark", "pandas"])
def test_a_missing_package_names_the_extra(package):
    said = run_alone(
        f"import sys; sys.modules[{package!r}] = None; "
        "from scoreline.distributed.session import open_session; open_session('local[1]')"
    )
    assert said.startswith(f"scoreline.errors.SparkError: the engine spark needs {package}")
    assert said.endswith("Install it: pip install 'scoreline[spark]'")
