"""The clients that SageMaker and MLflow bring, run for real against a server: their bodies work as they are.

They live in an environment of their own (`make clients`), since they bring a quarter of a gigabyte and hold other
packages back.
"""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import pytest
from flowers import COLUMNS, MEASURES, made_flowers
from servers import KEY, keys_of, made_app, plain_environment, serving

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".clients/bin/python"
ROWS = [[7, 5.1, 3.5, 1.4, 0.2], [8, 7.9, 2.5, 6.5, 2.25], [9, 4.4, 2.9, 1.4, 0.2]]
pytestmark = [pytest.mark.slow, pytest.mark.needs("clients")]


def run_client(script, url, cases):
    """Return what a client makes of the replies to some cases."""
    done = subprocess.run(
        [PYTHON, "-W", "ignore", ROOT / "tests/clients" / script, url],
        input=json.dumps(cases), capture_output=True, text=True, check=False, env=plain_environment(PYTHONPATH=""),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """Give the address of a server of flowers, and its replies to ROWS."""
    app = made_flowers(tmp_path_factory)
    with serving(app, app, tmp_path_factory.mktemp("flowers-server"), SCORELINE_DATA=str(app / "data")) as server:
        yield server.url, server.post([dict(zip(COLUMNS, row, strict=True)) for row in ROWS]).json()


@pytest.fixture(scope="module")
def triage(tmp_path_factory):
    """Give the address of a server of order triage, and its replies to three keys."""
    app = made_app(tmp_path_factory)
    with serving(app, app, tmp_path_factory.mktemp("triage-server")) as server:
        yield server.url, keys_of(app)[:3], server.post(keys_of(app)[:3]).json()


SENT = {
    "CSVSerializer": ROWS,
    "JSONSerializer": ROWS,
    "JSONLinesSerializer": [{"features": row} for row in ROWS],
    "NumpySerializer": ROWS,
}
WRAPPED = [
    {"instances": ROWS},
    {"instances": [{"features": row} for row in ROWS]},
    {"instances": [{"data": {"features": {"values": row}}} for row in ROWS]},
    {"instances": [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]},
]


def cells(replies, write):
    return [[write(value) for value in reply.values()] for reply in replies]


def in_csv(value):
    return json.dumps(value)  # 0.5, 7 and false are written alike


READ = {
    ("CSVDeserializer", None): lambda replies: cells(replies, in_csv),
    ("JSONDeserializer", None): lambda replies: replies,
    ("JSONLinesDeserializer", None): lambda replies: replies,
    ("NumpyDeserializer", None): lambda replies: cells(replies, float),
    ("NumpyDeserializer", "application/json"): lambda replies: replies,
    ("PandasDeserializer", None): lambda replies: replies,
    ("StringDeserializer", None): lambda replies: json.dumps(replies, separators=(",", ":")),
}
PAIRS = [(serializer, *deserializer) for serializer in SENT for deserializer in READ]


@pytest.fixture(scope="module")
def read(flowers):
    """Give what each deserializer makes of the replies to what each serializer writes, from one run of the SDK."""
    cases = [
        {"serializer": serializer, "deserializer": deserializer, "accept": accept, "data": SENT[serializer]}
        for serializer, deserializer, accept in PAIRS
    ]
    return dict(zip(PAIRS, run_client("sagemaker_client.py", flowers[0], cases), strict=True))


@pytest.mark.parametrize(("serializer", "deserializer", "accept"), PAIRS)
def test_what_sagemakers_serializers_write_is_answered_so_that_its_deserializers_read_it(
    flowers, read, serializer, deserializer, accept
):
    assert read[serializer, deserializer, accept] == READ[deserializer, accept](flowers[1])


def test_numbers_in_csv_are_read_as_an_array(flowers):
    url, replies = flowers
    case = {"serializer": "CSVSerializer", "deserializer": "NumpyDeserializer", "accept": "text/csv", "data": ROWS}
    (found,) = run_client("sagemaker_client.py", url, [case])
    assert [row[:2] for row in found] == [[reply["flower_id"], reply["tall"]] for reply in replies]


def test_what_sagemakers_json_serializer_wraps_comes_back_as_predictions(flowers):
    url, replies = flowers
    cases = [{"serializer": "JSONSerializer", "deserializer": "JSONDeserializer", "data": body} for body in WRAPPED]
    assert run_client("sagemaker_client.py", url, cases) == [{"predictions": replies}] * len(WRAPPED)


def test_frames_and_single_rows_are_taken(flowers):
    url, replies = flowers
    cases = [
        {"serializer": "CSVSerializer", "deserializer": "JSONDeserializer", "data": ROWS, "frame": True},
        {"serializer": "CSVSerializer", "deserializer": "JSONDeserializer", "data": ROWS[0]},
        {"serializer": "CSVSerializer", "deserializer": "JSONDeserializer", "data": ",".join(map(str, ROWS[0]))},
        {"serializer": "NumpySerializer", "deserializer": "JSONDeserializer", "data": ROWS[0]},
        {"serializer": "NumpySerializer", "deserializer": "JSONDeserializer", "data": [row[1:] for row in ROWS]},
    ]
    found = run_client("sagemaker_client.py", url, cases)
    assert found[:4] == [replies, replies[:1], replies[:1], replies[:1]]
    assert found[4] == [{"tall": reply["tall"], "unlike": reply["unlike"]} for reply in replies]


def test_keys_keep_their_leading_zeros_on_the_way_through_sagemakers_serializers(triage):
    url, keys, replies = triage
    rows = [[key[name] for name in KEY] for key in keys]
    cases = [
        {"serializer": "CSVSerializer", "deserializer": "JSONDeserializer", "data": rows},
        {"serializer": "CSVSerializer", "deserializer": "JSONDeserializer", "data": rows, "frame": True},
        {"serializer": "JSONSerializer", "deserializer": "JSONDeserializer", "data": rows},
        {"serializer": "JSONLinesSerializer", "deserializer": "JSONDeserializer", "data": keys},
        {"serializer": "CSVSerializer", "deserializer": "PandasDeserializer", "data": rows},
    ]
    assert run_client("sagemaker_client.py", url, cases) == [replies] * 5
    in_cells = {"serializer": "CSVSerializer", "deserializer": "CSVDeserializer", "data": rows}
    (found,) = run_client("sagemaker_client.py", url, [in_cells])
    assert [row[:3] for row in found] == [[r["order_id"], r["recommendation"], r["reason"]["rule"]] for r in replies]


def test_what_mlflows_client_sends_comes_back_as_predictions(flowers):
    url, replies = flowers
    records = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    backwards = [dict(reversed(record.items())) for record in records]
    sent = [("frame", records), ("frame", backwards), ("array", ROWS), ("list", records)]
    found = run_client("mlflow_client.py", url, [{"as": kind, "data": data} for kind, data in sent])
    assert found == [replies] * 4


def test_a_missing_number_in_a_frame_of_mlflows_client_is_null(flowers):
    url, replies = flowers
    data = [dict(zip(MEASURES, row[1:], strict=True)) for row in ROWS]
    data[1]["sepal_width"] = math.nan
    (found,) = run_client("mlflow_client.py", url, [{"as": "frame", "data": data}])
    assert [row["tall"] for row in (found[0], found[2])] == [replies[0]["tall"], replies[2]["tall"]]
    assert 0 < found[1]["tall"] < 1
