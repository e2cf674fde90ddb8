"""Order triage in plain Python: what `feature` and the rules must come to, told a second time.

It shares no code with Scoreline and takes no short cut: every order looks at every row of the other
tables. `oracle_rows` is for good tables and for the bad rows that `make_sample.py --bad-rows` plants.
"""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def oracle_rows(data_dir: Path) -> list[Row]:
    """Return the good orders, in the order of their file, each with its features and recommendation."""
    inventory = read_rows(data_dir / "inventory.csv", sku_code=text, timestamp=time, inventory=integer)
    payments = read_rows(
        data_dir / "payments.csv", order_id=text, customer_id=text, timestamp=time, payment_status=optional_text
    )
    zips = read_rows(data_dir / "zip_codes.csv", zip_code=text, available_from=optional_time)
    path = next(path for name in ("orders.csv", "order.csv") if (path := data_dir / name).exists())
    orders = read_rows(
        path, order_id=text, customer_id=text, timestamp=time, sku_code=text, quantity=integer, zip_code=text
    )
    seen = set()
    rows = []
    for order in orders:
        key = (order["order_id"], order["customer_id"], order["sku_code"], order["zip_code"])
        if key not in seen:
            seen.add(key)
            rows.append(triage(order, inventory, payments, zips))
    return rows


def triage(order: Row, inventory: list[Row], payments: list[Row], zips: list[Row]) -> Row:
    """Return one order with its features and its recommendation."""
    stock = newest(order, inventory, "sku_code")
    payment = newest(order, payments, "order_id", "customer_id")
    served_from = None
    for row in reversed(zips):  # so that of equal zip codes the first stays
        if row["zip_code"] == order["zip_code"]:
            served_from = row["available_from"]
    answer = {name: order[name] for name in ("order_id", "customer_id", "sku_code", "zip_code")}
    answer["order_hour_of_day"] = order["timestamp"].hour
    answer["inventory"] = stock and stock["inventory"]
    answer["payment_status"] = payment and payment["payment_status"]
    answer["zip_code_available"] = served_from is not None and served_from <= order["timestamp"]
    answer["quantity"] = order["quantity"]
    answer["recommendation"] = recommend(answer)
    return answer


def newest(order: Row, events: list[Row], *key: str) -> Row | None:
    """Return the newest event of the order's key at or before its time; of several at once the last in the file."""
    found = None
    for event in events:
        is_its = all(event[name] == order[name] for name in key)
        if (
            is_its
            and event["timestamp"] <= order["timestamp"]
            and (found is None or event["timestamp"] >= found["timestamp"])
        ):
            found = event
    return found


def recommend(features: Row) -> str:
    """Return what the shop's rules say."""
    if features["inventory"] is None or features["inventory"] <= 0:
        return "HoldCheckAvailability"
    if not features["zip_code_available"]:
        return "HoldCheckDelivery"
    if features["payment_status"] != "OK":
        return "HoldCheckPayment"
    if features["order_hour_of_day"] < 6:
        return "Decline"
    return "Deliver"


def read_rows(path: Path, **columns: Any) -> list[Row]:
    """Read the named columns of a CSV file; a line that any of them can't be read from is left out."""
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode().replace("\r\n", "\n").split("\n")
    header = next(csv.reader(lines[:1]))
    rows = []
    for line in lines[1:]:
        if not line or line.count('"') % 2:
            continue
        fields = next(csv.reader([line]))
        if len(fields) != len(header):
            continue
        try:
            rows.append({name: read(fields[header.index(name)]) for name, read in columns.items()})
        except ValueError:
            continue
    return rows


def text(field: str) -> str:
    """Read a field that must hold something."""
    if not field:
        raise ValueError
    return field


def optional_text(field: str) -> str | None:
    """Read text, None where there is none."""
    return field or None


def integer(field: str) -> int | None:
    """Read a whole number, None where there is none."""
    if not field:
        return None
    if not re.fullmatch(r"\s*[+-]?\d+(\.0*)?\s*", field):
        raise ValueError
    return int(float(field)) if "." in field else int(field)


def time(field: str) -> datetime:
    """Read a moment, to the microsecond; without a zone it is UTC."""
    moment = datetime.fromisoformat(field)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def optional_time(field: str) -> datetime | None:
    """Read a moment, None where there is none."""
    return time(field) if field else None
