"""What is made once and kept outside the repository: order triage with a million orders, and the plain model."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.processes import Command, Processes
from harness.sides import HERE, PLAIN_APP, TRIAGE_APP, free_port, scoreline_environment, scoreline_folders

ROOT = HERE.parent
KEY = ("order_id", "customer_id", "sku_code", "zip_code")
SEED = 1
LIST_ROWS, CORPUS = 1_000, 200
BUILD_S = 1_800
_AT_SERVING = ("serving", "inference", "scoring", "cli")  # rooms of the package that nothing on disk is made by


class PrepareError(RuntimeError):
    """Something can't be made; the message has the last line of what was printed."""


def cache_folder() -> Path:
    """Return the folder that everything is kept in: scoreline-bench in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "scoreline-bench"


def prepare_plain_model(cache: Path) -> Path:
    """Train the plain model and write its records and corpus, unless that is done; return its folder."""
    folder = cache / "plain"
    wanted = _digest([PLAIN_APP / "train.py", PLAIN_APP / "plain_model.py"])
    if not _is_made(folder, "model", wanted):
        _say("training the plain model, and a million records for it (once)")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run([sys.executable, str(PLAIN_APP / "train.py"), "--out", str(folder)])
        _mark(folder, "model", wanted)
    return folder


def prepare_plain_app(folder: Path) -> None:
    """Let Scoreline build the features of the plain app and train it; PrepareError where it can't."""
    wanted = _digest([PLAIN_APP / "app.py", PLAIN_APP / "plain_model.py", folder / "model.joblib", *_package()])
    if not _is_made(folder, "app", wanted):
        _scoreline_makes(PLAIN_APP, folder)
        _mark(folder, "app", wanted)


def prepare_triage(cache: Path, orders: int) -> Path:
    """Make order triage with so many orders: tables, features, model, requests and corpus; return its folder."""
    folder = cache / f"order_triage-{orders}"
    tables = _digest([TRIAGE_APP / "make_sample.py"])
    if not _is_made(folder, "tables", tables):
        _say(f"making the tables of {orders:,} orders (once)")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        sample = [sys.executable, str(TRIAGE_APP / "make_sample.py"), "--orders", str(orders), "--seed", str(SEED)]
        _run([*sample, "--out", str(folder / "data")])
        _mark(folder, "tables", tables)
    made = _digest([TRIAGE_APP / "app.py", *_package()], tables)
    if not _is_made(folder, "app", made):
        _scoreline_makes(TRIAGE_APP, folder)
        write_triage_requests(folder)
        _mark(folder, "app", made)
    return folder


def prepare_restocked(folder: Path) -> Path:
    """Make, inside a folder of order triage, the same orders with a piece more in stock of every sku.

    The folder that is returned has a feature table of its own, its right answers, and the model of the other.
    """
    restocked = folder / "restocked"
    wanted = (folder / "app.stamp").read_text()
    if not _is_made(restocked, "app", wanted):
        shutil.rmtree(restocked, ignore_errors=True)
        (restocked / "data").mkdir(parents=True)
        for table in (folder / "data").iterdir():
            os.link(table, restocked / "data" / table.name)
        restock(folder / "data/inventory.csv", restocked / "data/inventory.csv")
        (restocked / "model").symlink_to("../model")
        _scoreline("feature", TRIAGE_APP, restocked)
        write_corpus_of_same_keys(restocked, folder)
        _mark(restocked, "app", wanted)
    return restocked


def restock(inventory: Path, target: Path) -> None:
    """Write a table of stock with one piece more in each row."""
    changed = target.with_suffix(".new")  # the target may be a link to the table itself
    with inventory.open() as rows, changed.open("w") as out:
        out.write(next(rows))
        for row in rows:
            head, _, pieces = row.rpartition(",")
            out.write(f"{head},{int(pieces) + 1}\n")
    changed.replace(target)


def write_corpus_of_same_keys(folder: Path, other: Path) -> None:
    """Write the right answers to the keys that another folder's corpus has."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    keys = json.loads((other / "corpus.json").read_text())["keys"]
    table = pq.read_table(folder / "results/feature.parquet").combine_chunks()
    wanted = pa.array([key[KEY[0]] for key in keys])
    rows = table.take(pc.index_in(wanted, table.column(KEY[0]).chunk(0))).to_pylist()
    (folder / "corpus.json").write_text(json.dumps({"keys": keys, "answers": triage_answers(folder, rows)}))


def _scoreline(command: str, app: Path, folder: Path) -> None:
    _say(f"scoreline {command} of {app.name} (once, and again when Scoreline's code changes)")
    where = scoreline_folders(folder)
    where = where[: where.index("--state")]
    _run([sys.executable, "-m", "scoreline", command, "--app", str(app), *where])


def _scoreline_makes(app: Path, folder: Path) -> None:
    """Build features and train, and start once, so that the first generation is there as on any later start."""
    for command in ("feature", "train"):
        _scoreline(command, app, folder)
    shutil.rmtree(folder / "state", ignore_errors=True)
    arguments = [sys.executable, "-m", "scoreline", "serve", "--app", str(app), "--port", str(free_port())]
    serve = Command([*arguments, *scoreline_folders(folder)], scoreline_environment(), folder)
    with Processes([serve], folder) as processes:
        processes.wait_for("ready on", BUILD_S)


def write_triage_requests(folder: Path) -> None:
    """Write the keys of all orders in random order, singly and in lists, and a corpus with its right answers."""
    import pyarrow.parquet as pq

    columns = pq.read_table(folder / "results/feature.parquet").to_pydict()
    rows = list(range(len(columns[KEY[0]])))
    random.Random(SEED).shuffle(rows)
    keys = [json.dumps({name: columns[name][row] for name in KEY}, separators=(",", ":")) for row in rows]
    (folder / "records.keys").write_text("".join(f"{key}\n" for key in keys))
    lists = (",".join(keys[start : start + LIST_ROWS]) for start in range(0, len(keys), LIST_ROWS))
    (folder / "lists.keys").write_text("".join(f"{line}\n" for line in lists))
    answers = triage_answers(folder, [{name: values[row] for name, values in columns.items()} for row in rows[:1000]])
    content = {"keys": [json.loads(key) for key in keys[:CORPUS]], "answers": answers[:CORPUS], "list": answers}
    (folder / "corpus.json").write_text(json.dumps(content))


def triage_answers(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answer rows of features without Scoreline's own scoring: the rules by hand, the probability by the estimator."""
    from scoreline.app.load import load_app
    from scoreline.model.estimator import load_estimator
    from scoreline.model.inputs import inputs_of

    head = "fulfilment_probability"
    app = load_app(TRIAGE_APP)
    inputs = inputs_of(app)
    matrix = inputs.encode([[row[name] for row in rows] for name in inputs.names])
    taken = matrix[:, [inputs.position(name) for name in app.heads[head].inputs]]
    link = json.loads((folder / "model/manifest.json").read_text())["heads"][head]["link"]
    raw = load_estimator(folder / f"model/heads/{head}.skops").decision_function(taken)
    chances = (1 / (1 + math.exp(-(link["slope"] * value + link["intercept"]))) for value in raw.tolist())
    return [triage_answer(row, round(chance, 4)) for row, chance in zip(rows, chances, strict=True)]


def triage_answer(row: dict[str, Any], chance: float) -> dict[str, Any]:
    """Return the reply that an order must get."""
    rules = (
        ("no_stock", "HoldCheckAvailability", ("inventory",), row["inventory"] is None or row["inventory"] < 1),
        ("zip_not_served", "HoldCheckDelivery", ("zip_code_available",), row["zip_code_available"] is False),
        ("payment_not_ok", "HoldCheckPayment", ("payment_status",), row["payment_status"] != "OK"),
        ("night", "Decline", ("order_hour_of_day",), row["order_hour_of_day"] < 6),
        ("all_clear", "Deliver", (), True),
    )
    name, decision, columns, _ = next(rule for rule in rules if rule[3])
    # The last rule holds because no other does: it has looked at what all of them look at.
    looked_at = {column: row[column] for column in columns or [column for rule in rules for column in rule[2]]}
    return {
        "order_id": row["order_id"],
        "recommendation": decision,
        "reason": {"rule": name, **looked_at},
        "fulfilment_probability": chance,
        "features_from": "table",
    }


def _package() -> list[Path]:
    """Return the files of the package that decide what `feature` and `train` write."""
    files = sorted((ROOT / "src/scoreline").rglob("*.py"))
    return [path for path in files if not set(path.parts) & set(_AT_SERVING)]


def _digest(paths: Iterable[Path], *more: str) -> str:
    digest = hashlib.sha256("".join(more).encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_made(folder: Path, part: str, wanted: str) -> bool:
    stamp = folder / f"{part}.stamp"
    return stamp.is_file() and stamp.read_text() == wanted


def _mark(folder: Path, part: str, wanted: str) -> None:
    (folder / f"{part}.stamp").write_text(wanted)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, env=scoreline_environment(), capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PrepareError(f"{' '.join(command[1:4])}: not done within {BUILD_S} s") from error
    if done.returncode:
        how = f"signal {signal.Signals(-done.returncode).name}" if done.returncode < 0 else str(done.returncode)
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise PrepareError(lines[-1] if lines else f"{' '.join(command[1:4])}: exit code {how}")


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)
