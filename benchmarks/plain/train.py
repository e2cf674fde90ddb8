"""Train the plain model once, for every side alike, and write what all sides are asked and must answer.

    python benchmarks/plain/train.py --out FOLDER

Into the folder go `data/orders.csv` (what Scoreline trains from), `model.joblib` (the estimator, fitted on the rows
that Scoreline's `train` would fit it on: the earliest 60 %), `records.json` and `records.values` (a million distinct
records, one a line, as JSON objects and as bare values), the same in lists of a thousand (`lists.json`,
`lists.values`), and `corpus.json`: records with the answers that the estimator gives to them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from plain_model import COLUMNS, LABELS, SEED, make_estimator

ORDERS = 40_000
TRAIN_SHARE = 0.6  # as in Scoreline's `train`
RECORDS, LIST_ROWS = 1_000_000, 1_000
DRAWN, AT_THRESHOLDS = 120, 80  # records of the corpus
MISSING_STOCK, MISSING_PAYMENT, NOISE = 0.03, 0.04, 0.08  # shares of the rows
STATUSES = 5
FIRST = np.datetime64("2021-05-01T00:00:00", "s")
Matrix = np.ndarray[Any, Any]


def draw(rng: np.random.Generator, rows: int) -> Matrix:
    """Draw rows of features: hour, pieces in stock (many with few), code of the payment's status, zip code served."""
    hour = rng.integers(0, 24, rows)
    inventory = np.floor(rng.lognormal(4.5, 2.2, rows)).clip(0, 200_000)
    status = rng.choice(STATUSES, rows, p=[0.82, 0.07, 0.04, 0.04, 0.03]).astype(float)
    inventory[rng.random(rows) < MISSING_STOCK] = np.nan
    status[rng.random(rows) < MISSING_PAYMENT] = np.nan
    return np.column_stack([hour, inventory, status, rng.random(rows) < 0.9]).astype(float)


def decide(rng: np.random.Generator, rows: Matrix) -> Matrix:
    """Give each row its class: the rules of order triage, with some noise so that there is something to learn."""
    hour, inventory, status, served = rows.T
    answers = np.full(len(rows), LABELS.index("Deliver"))
    answers[hour < 6] = LABELS.index("Decline")
    answers[status != 0] = LABELS.index("HoldCheckPayment")  # also where there is none
    answers[served == 0] = LABELS.index("HoldCheckDelivery")
    wanted = rng.geometric(0.4, len(rows))  # pieces; nobody tells the model
    answers[~(inventory >= wanted)] = LABELS.index("HoldCheckAvailability")
    noisy = rng.random(len(rows)) < NOISE
    answers[noisy] = rng.integers(0, len(LABELS), noisy.sum())
    return answers


def distinct_records(rng: np.random.Generator, count: int) -> Matrix:
    """Draw records until so many differ from one another; give them in random order."""
    found = np.empty(0, dtype=np.int64)
    sizes = (24, 200_002, STATUSES + 1, 2)  # of the columns; one value more where it may be missing
    while len(found) < count:
        rows = draw(rng, 2 * count)
        missing = np.isnan(rows)
        codes = np.where(missing, np.array(sizes) - 1, rows).astype(np.int64)
        found = np.unique(np.concatenate([found, np.ravel_multi_index(tuple(codes.T), sizes)]))
    rows = np.column_stack(np.unravel_index(rng.permutation(found)[:count], sizes)).astype(float)
    for column in (COLUMNS.index("inventory"), COLUMNS.index("payment_status")):
        rows[rows[:, column] == sizes[column] - 1, column] = np.nan
    return rows


def at_thresholds(rng: np.random.Generator, estimator: Any, count: int) -> Matrix:
    """Make records whose stock is a threshold of the model, or the next number above or below it.

    A server that scores in float32 rounds those neighbours onto the threshold and takes the other branch.
    """
    stock = COLUMNS.index("inventory")
    nodes = [tree.nodes for step in estimator._predictors for tree in step]
    splits = np.concatenate([of[~of["is_leaf"].astype(bool) & (of["feature_idx"] == stock)] for of in nodes])
    thresholds = np.unique(splits["num_threshold"])
    chosen = rng.choice(thresholds[np.isfinite(thresholds) & (thresholds > 0)], count)
    rows = draw(rng, count)
    rows[:, stock] = np.choose(np.arange(count) % 3, [chosen, np.nextafter(chosen, np.inf), np.nextafter(chosen, 0)])
    return rows


def as_record(row: Iterable[float]) -> dict[str, Any]:
    """Return a row as a client would send it; what is missing is null."""
    hour, inventory, status, served = (None if math.isnan(value) else value for value in row)
    assert hour is not None
    if inventory is not None and inventory.is_integer():
        inventory = int(inventory)
    values = (int(hour), inventory, None if status is None else int(status), bool(served))
    return dict(zip(COLUMNS, values, strict=True))


def as_values(record: dict[str, Any]) -> str:
    """Return a record's values as a JSON list without its brackets; booleans as 1 and 0."""
    return ",".join(json.dumps(int(value) if isinstance(value, bool) else value) for value in record.values())


def write_orders(path: Path, rows: Matrix, answers: Matrix) -> None:
    """Write the table that Scoreline trains from: one order a minute, in order of time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write(f"order_id,timestamp,{','.join(COLUMNS)},recommendation\n")
        for number, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            values = ("" if value is None else str(value) for value in as_record(row).values())
            file.write(f"O{number:07d},{FIRST + 60 * number},{','.join(values)},{LABELS[answer]}\n")


def write_requests(folder: Path, records: list[dict[str, Any]]) -> None:
    """Write the records, singly and in lists, in the two forms that all sides' bodies are made of."""
    forms = {"json": [json.dumps(record, separators=(",", ":")) for record in records]}
    forms["values"] = [as_values(record) for record in records]
    # Scoreline's request has a key, as its tables have; the peers' bodies do without.
    forms["keyed"] = [f'{{"record_id":{number},{line[1:]}' for number, line in enumerate(forms["json"])]
    forms["csv"] = [line.replace("null", "") for line in forms["values"]]
    for form, lines in forms.items():
        (folder / f"records.{form}").write_text("".join(f"{line}\n" for line in lines))
        # A CSV body has lines of its own: it stands in the file with a stand-in for its newlines.
        joint = {"csv": "|", "values": "],["}.get(form, ",")
        lists = (joint.join(lines[start : start + LIST_ROWS]) for start in range(0, len(lines), LIST_ROWS))
        (folder / f"lists.{form}").write_text("".join(f"{line}\n" for line in lists))


def answers_of(estimator: Any, rows: Matrix) -> list[dict[str, Any]]:
    """Return what the estimator itself says: the class, and the probabilities in the order of `LABELS`."""
    probabilities = estimator.predict_proba(rows)
    return [
        {"label": LABELS[int(code)], "probabilities": row.tolist()}
        for code, row in zip(estimator.predict(rows), probabilities, strict=True)
    ]


def as_if_named(estimator: Any) -> Any:
    """Return the estimator with the names of its inputs, as fitting it on a data frame leaves it.

    Without them it warns at each request of a server that hands it a data frame.
    """
    estimator.feature_names_in_ = np.array(COLUMNS, dtype=object)
    return estimator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    folder = parser.parse_args().out
    rng = np.random.default_rng(SEED)
    rows = draw(rng, ORDERS)
    answers = decide(rng, rows)
    write_orders(folder / "data/orders.csv", rows, answers)
    learnt_from = int(ORDERS * TRAIN_SHARE)
    estimator = make_estimator().fit(rows[:learnt_from], answers[:learnt_from])
    records = distinct_records(rng, RECORDS)
    write_requests(folder, [as_record(row) for row in records])
    corpus = np.concatenate([records[:DRAWN], at_thresholds(rng, estimator, AT_THRESHOLDS)])
    content = {
        "records": [as_record(row) for row in corpus],
        "answers": answers_of(estimator, corpus),
        "list": answers_of(estimator, records[:LIST_ROWS]),
    }
    (folder / "corpus.json").write_text(json.dumps(content))
    joblib.dump(estimator, folder / "model.joblib")
    joblib.dump(as_if_named(estimator), folder / "model-named.joblib")


if __name__ == "__main__":
    main()
