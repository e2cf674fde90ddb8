"""Make the four raw tables of order triage: seeded, of any size, with the traps that real tables have.

    python make_sample.py --orders 2000 --seed 7 --out data [--bad-rows] [--skus 50] [--format csv]

- orders.csv: the spine. Ids and codes are text; some look like numbers, with leading zeros.
- inventory.csv: the stock of a sku from an instant on. Restocks and sales, never below 0; few skus have most rows.
- payments.csv: what became known of an order's payment, and when (`HISTORIES`), with some unknown statuses.
- zip_codes.csv: from when a zip code is served (`ZIP_KINDS`). Some have no date, some are not listed.

No file is sorted. Times are plain (`2021-07-04 20:31:02`), or ISO 8601 with a zone and microseconds, or, at midnight,
a date alone. Rows of one key share an instant (the last in the file counts), events fall exactly on an order's time
(they count), and codes have look-alikes: `004217` and `4217` are two skus, zip `03779` is served and `3779` is not.

`order_fulfilled` can be learnt from what was known at the order's time: it is true with probability
1 / (1 + exp(-score)), where

    score = SCORE
          + STOCK_SCORE * (min(stock / quantity, 4) / 2 - 1)      stock 0 where none is known
          + STATUS_SCORE of the payment's status                  the last one where no payment is known
          + METHOD_SCORE of the payment's method                  0 where no payment is known
          + ZIP_SCORE if the zip code is not served
          + NIGHT_SCORE if placed before 06:00 UTC

The same arguments give the same bytes of CSV. 10 million orders take about 2 minutes and 3.2 GB of memory.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

START = np.datetime64("2021-05-01", "us")  # times below are integers: microseconds since then
SECOND, DAY = 1_000_000, 86_400_000_000  # in microseconds
DAYS = 90  # of orders
STOCK_LEAD_DAYS = 10  # stock is recorded from so long before the first order,
LATE_SKUS, LATE_DAYS = slice(7, None, 20), 45  # but that of these skus from so long after it
NIGHT_SHARE, NIGHT_ENDS = 0.095, 6  # of the orders; hour, UTC
FRACTION_SHARE = 0.1  # of the order times carry microseconds
ZIPF = 0.9  # popularity of the n-th sku: 1 / (n + 1) ** ZIPF
QUANTITIES = (45, 20, 12, 8, 5, 4, 3, 1, 1, 1)  # weights of 1 to 10 pieces

STOCK_ROWS_PER_ORDER = ((2_000, 200_000), (2.0, 4.5))  # from so many orders to so many; rows
RESTOCK_SHARE, RESTOCK, SALE = 0.22, (10, 30), (1, 11)  # of the stock rows; pieces, from and to
OPENING = 3  # a sku's first row counts as so many restocks; from then on sales outweigh a little
TIED_SHARE, AT_ORDER_SHARE = 0.01, 0.015  # of the stock rows: at the instant of the one before; of an order of the sku

METHODS = np.array([b"CREDIT_CARD", b"ONLINE_PAYMENT", b"ON_DELIVERY"])
STATUSES = np.array([b"OK", b"FAILED", b"VERIFY_ADDRESS", b"VERIFY_BANK_DETAILS", b"PENDING_REVIEW"])
OK, TROUBLE, UNKNOWN = (0,), (1, 2, 3), (4,)  # positions in STATUSES; one of them is drawn
HISTORIES = (  # share of the orders, then their payment rows: statuses, seconds after the order from and to
    (0.73, ((OK, -1800, -1),)),
    (0.06, ((OK, 0, 0),)),  # exactly at the order's time: counts
    (0.035, ()),
    (0.035, ((OK, 60, 7200),)),  # after the order: must not leak back
    (0.035, ((TROUBLE, -1800, -1), (OK, 60, 7200))),
    (0.05, ((TROUBLE, -3600, -1801), (OK, -1800, -1))),
    (0.035, ((TROUBLE, -90, -90), (OK, -90, -90))),  # at one instant: the last in the file counts
    (0.015, ((TROUBLE, 0, 0),)),
    (0.005, ((UNKNOWN, -1800, -1),)),
)

SERVED, OPENS_AT_AN_ORDER, OPENS_MEANWHILE, OPENS_LATER, NO_DATE, NOT_LISTED = range(6)
ZIP_KINDS = (0.88, 0.03, 0.03, 0.02, 0.02, 0.02)  # shares of the zip codes, in that order
NEVER = np.int64(np.iinfo(np.int64).min)  # becomes NaT

SCORE, STOCK_SCORE, ZIP_SCORE, NIGHT_SCORE = 1.2, 1.2, -2.8, -1.5
STATUS_SCORE = np.array([0.0, -2.8, -1.8, -1.8, -1.0, -2.4])  # as STATUSES, then: none known
METHOD_SCORE = np.array([0.4, 0.0, -0.8])  # as METHODS

# Bad rows: table, kind, the fields that differ from a good row of the table. They have ids of their own where a
# reader could otherwise take the good row for the duplicate. Duplicates come after the row that they repeat.
BAD_ROWS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("orders", "empty key", {"order_id": ""}),
    ("orders", "bad number", {"order_id": "B0000001", "quantity": "two"}),
    ("orders", "impossible time", {"order_id": "B0000002", "timestamp": "2021-02-30 10:00:00"}),
    ("orders", "torn quote", {"order_id": "B0000003", "sku_code": '"004217'}),
    ("orders", "too many fields", {"order_id": "B0000004", "order_fulfilled": "True,surplus"}),
    ("orders", "duplicate", {"quantity": "99"}),
    ("inventory", "bad number", {"inventory": "n/a"}),
    ("inventory", "impossible time", {"timestamp": "2021-02-30 10:00:00"}),
    ("inventory", "torn quote", {"sku_code": '"004217'}),
    ("payments", "empty key", {"customer_id": ""}),
    ("payments", "impossible time", {"timestamp": "2021-06-15 25:00:00"}),
    ("zip_codes", "duplicate", {"available_from": "2031-01-01"}),
    ("zip_codes", "bad date", {"zip_code": "B0001", "available_from": "2021-13-01"}),
)
CHUNK_ROWS = 200_000
MAX_ORDERS, MAX_SKUS = 20_000_000, 500_000  # so that keys and times fit together in the 63 bits of `latest`


@dataclass(frozen=True)
class Orders:
    number: Array  # rises with time; the rows do not
    customer: Array
    time: Array
    sku: Array
    quantity: Array
    zip_code: Array


@dataclass(frozen=True)
class Events:
    key: Array  # of stock: the sku; of payments: the row of the order
    time: Array
    value: Array  # stock: pieces; payments: position in STATUSES


@dataclass(frozen=True)
class Table:
    """What a file holds: each column gives its values (text as bytes, numbers, booleans, datetimes) for a slice."""

    name: str
    rows: int
    columns: Mapping[str, Callable[[slice], Array]]


def write_sample(
    out: Path, *, orders: int, seed: int, bad_rows: bool = False, skus: int | None = None, file_format: str = "csv"
) -> dict[str, int]:
    """Write the four tables into the folder `out`; give the number of bad rows planted in each.

    The good rows are the same with and without bad rows. Parquet columns have types, so they can't hold bad rows.
    """
    if bad_rows and file_format != "csv":
        raise ValueError("bad rows can be planted in CSV only")
    skus = max(50, orders // 40) if skus is None else skus
    if not 10 <= orders <= MAX_ORDERS or not 1 <= skus <= MAX_SKUS:
        raise ValueError(f"expected 10 to {MAX_ORDERS:,} orders and 1 to {MAX_SKUS:,} skus")
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    planted = {}
    for table in make_tables(rng, orders, skus):
        bad = bad_lines(rng, table) if bad_rows else []
        if file_format == "csv":
            write_csv(out / f"{table.name}.csv", table, bad)
        else:
            write_parquet(out / f"{table.name}.parquet", table)
        planted[table.name] = len(bad)
    return planted


def make_tables(rng: Generator, count: int, skus: int) -> list[Table]:
    popularity = 1.0 / np.arange(2, skus + 2) ** ZIPF
    zip_codes = 20 * max(2, min(count // 400, 1000))
    orders = make_orders(rng, count, popularity, zip_codes)
    stock = make_stock(rng, orders, popularity)
    method = pick(rng, (5, 3, 2), count)
    payments = make_payments(rng, orders)
    available_from, listed = make_zip_codes(rng, orders, zip_codes)
    fulfilled = rng.random(count) < fulfilment_probability(orders, stock, payments, method, available_from)

    id_width = max(7, len(str(count)))
    sku_text = with_look_alikes(4205 + 3 * np.arange(skus), width=6 if skus < 30_000 else 8)
    zip_text = with_look_alikes(zip_numbers(zip_codes), width=5)

    return [
        Table("orders", count, {
            "order_id": lambda rows: ids(b"O", orders.number[rows], id_width),
            "customer_id": lambda rows: ids(b"C", orders.customer[rows], id_width),
            "timestamp": lambda rows: START + orders.time[rows].astype("m8[us]"),
            "sku_code": lambda rows: sku_text[orders.sku[rows]],
            "quantity": lambda rows: orders.quantity[rows],
            "zip_code": lambda rows: zip_text[orders.zip_code[rows]],
            "order_fulfilled": lambda rows: fulfilled[rows],
        }),
        Table("inventory", len(stock.key), {
            "sku_code": lambda rows: sku_text[stock.key[rows]],
            "timestamp": lambda rows: START + stock.time[rows].astype("m8[us]"),
            "inventory": lambda rows: stock.value[rows],
        }),
        Table("payments", len(payments.key), {
            "order_id": lambda rows: ids(b"O", orders.number[payments.key[rows]], id_width),
            "customer_id": lambda rows: ids(b"C", orders.customer[payments.key[rows]], id_width),
            "timestamp": lambda rows: START + payments.time[rows].astype("m8[us]"),
            "payment_method": lambda rows: METHODS[method[payments.key[rows]]],
            "payment_status": lambda rows: STATUSES[payments.value[rows]],
        }),
        Table("zip_codes", len(listed), {
            "zip_code": lambda rows: zip_text[listed[rows]],
            "available_from": lambda rows: START + available_from[listed[rows]].astype("m8[us]"),
        }),
    ]  # fmt: skip


def make_orders(rng: Generator, count: int, popularity: Array, zip_codes: int) -> Orders:
    night = rng.random(count) < NIGHT_SHARE
    evening_peak = NIGHT_ENDS + (24 - NIGHT_ENDS) / 2 * (rng.random(count) + rng.random(count))
    hour = np.where(night, NIGHT_ENDS * rng.random(count), evening_peak)
    time = rng.integers(0, DAYS, count) * DAY + (hour / 24 * DAY).astype(np.int64)
    time = np.sort(np.where(rng.random(count) < FRACTION_SHARE, time, time - time % SECOND))
    order = rng.permutation(count)
    return Orders(
        number=order + 1,
        customer=rng.integers(1, count // 3 + 2, count),
        time=time[order],
        sku=pick(rng, popularity, count),
        quantity=1 + pick(rng, QUANTITIES, count),
        zip_code=rng.integers(0, zip_codes, count, dtype=np.int32),
    )


def make_stock(rng: Generator, orders: Orders, popularity: Array) -> Events:
    sizes, rates = STOCK_ROWS_PER_ORDER
    count = int(len(orders.time) * np.interp(np.log10(len(orders.time)), np.log10(sizes), rates))
    lead = STOCK_LEAD_DAYS * DAY
    span = lead + DAYS * DAY  # here times count from the first possible row on
    sku = pick(rng, popularity, count).astype(np.int64)
    time = rng.integers(0, span // SECOND, count) * SECOND
    at_order = rng.integers(0, len(orders.time), int(AT_ORDER_SHARE * count))
    sku[: len(at_order)], time[: len(at_order)] = orders.sku[at_order], orders.time[at_order] + lead
    begin = np.zeros(len(popularity), np.int64)
    begin[LATE_SKUS] = lead + LATE_DAYS * DAY
    sku, time = np.divmod(np.sort((sku * span + time)[time >= begin[sku]]), span)  # by sku, then time
    tied = 1 + np.flatnonzero((rng.random(len(sku) - 1) < TIED_SHARE) & (sku[1:] == sku[:-1]))
    time[tied] = time[tied - 1]
    level = stock_levels(rng, sku)
    shuffled = rng.permutation(len(sku))
    return Events(sku.astype(np.int32)[shuffled], time[shuffled] - lead, level[shuffled])


def stock_levels(rng: Generator, sku: Array) -> Array:
    """A random walk for each sku (they come sorted), begun by its opening stock and held at 0 from below."""
    count = len(sku)
    first = np.flatnonzero(np.r_[True, sku[1:] != sku[:-1]])
    restock = rng.random(count) < RESTOCK_SHARE
    restock[first] = True
    step = -rng.integers(SALE[0], SALE[1] + 1, count)
    step[restock] = rng.integers(RESTOCK[0], RESTOCK[1] + 1, np.count_nonzero(restock))
    step[first] *= OPENING
    walk = np.cumsum(step)
    lowest = walk.copy()
    lowest[first] -= step[first]  # where the sku's walk stood before its first step
    # One running minimum for all: each sku is sunk below everything before it, so its minimum begins anew.
    sunk = sku << 32
    lowest = np.minimum.accumulate(lowest - sunk) + sunk
    return np.asarray(walk - lowest, np.int32)


def make_payments(rng: Generator, orders: Orders) -> Events:
    history = pick(rng, [share for share, _ in HISTORIES], len(orders.time))
    parts = []
    for kind, (_, rows) in enumerate(HISTORIES):
        order = np.flatnonzero(history == kind)
        for statuses, earliest_s, latest_s in rows:
            after = rng.integers(earliest_s, latest_s + 1, len(order)) * SECOND
            status = np.array(statuses)[rng.integers(0, len(statuses), len(order))]
            parts.append((order, orders.time[order] + after, status))
    order, time, status = (np.concatenate(column) for column in zip(*parts, strict=True))
    shuffled = rng.permutation(len(order))
    return Events(order[shuffled], time[shuffled], status[shuffled])


def make_zip_codes(rng: Generator, orders: Orders, count: int) -> tuple[Array, Array]:
    """Give the time from which each zip code is served (`NEVER` if it isn't) and, shuffled, those that are listed."""
    code = np.arange(count)
    # Golden-ratio steps instead of draws: the kinds keep their shares however few zip codes there are.
    kind = np.searchsorted(np.cumsum(ZIP_KINDS), code * 618_034 % 1_000_003 / 1_000_003, side="right")
    kind[4::20], kind[5::40], kind[25::40] = SERVED, NOT_LISTED, NO_DATE  # look-alikes: one served, one not
    an_order = np.zeros(count, np.int64)
    an_order[orders.zip_code] = orders.time
    day = rng.integers(0, DAYS, count) * DAY
    clock = rng.integers(0, 2, count) * rng.integers(0, DAY // SECOND, count) * SECOND  # half are dates alone
    choices = [day - 2 * DAYS * DAY, an_order, day + clock, day + clock + DAYS * DAY]
    available_from = np.select([kind == SERVED, *(kind == k for k in range(1, 4))], choices, NEVER)
    return available_from, rng.permutation(code[kind != NOT_LISTED])


def fulfilment_probability(
    orders: Orders, stock: Events, payments: Events, method: Array, available_from: Array
) -> Array:
    pieces, stock_known = latest(stock, orders.sku, orders.time)
    # Times counted from the order keep `latest` within its 63 bits.
    since_order = Events(payments.key, payments.time - orders.time[payments.key], payments.value)
    every_order = np.arange(len(orders.time))
    status, payment_known = latest(since_order, every_order, np.zeros_like(every_order))
    served_from = available_from[orders.zip_code]
    score = SCORE + STOCK_SCORE * (np.minimum(stock_known * pieces / orders.quantity, 4) / 2 - 1)
    score += STATUS_SCORE[np.where(payment_known, status, -1)] + payment_known * METHOD_SCORE[method]
    score += ZIP_SCORE * ((served_from == NEVER) | (served_from > orders.time))
    score += NIGHT_SCORE * (orders.time % DAY < NIGHT_ENDS * 3600 * SECOND)
    return np.asarray(1 / (1 + np.exp(-score)))


def latest(events: Events, key: Array, time: Array) -> tuple[Array, Array]:
    """Give the newest value of each key at or before its time (of several at once, the last), and whether it exists."""
    begin = min(events.time.min(), time.min())
    span = max(events.time.max(), time.max()) - begin + 1
    moment = events.key * span + (events.time - begin)
    order = np.argsort(moment, kind="stable")
    row = order[np.searchsorted(moment[order], key * span + (time - begin), side="right") - 1]
    return events.value[row], (events.key[row] == key) & (events.time[row] <= time)


def pick(rng: Generator, weights: Sequence[float] | Array, count: int) -> Array:
    """Draw positions in `weights`, each as often as it weighs."""
    upto = np.cumsum(weights)
    return np.searchsorted(upto / upto[-1], rng.random(count), side="right").astype(np.int32)


def zip_numbers(count: int) -> Array:
    """Scatter zip codes (00501, 03779 and so on): half have leading zeros. Both steps are coprime to their ranges."""
    half = np.arange(count) // 2 * 1639
    return np.where(np.arange(count) % 2, 10_000 + half % 90_000, (half + 501) % 10_000)


def with_look_alikes(numbers: Array, width: int) -> Array:
    """Write numbers with leading zeros; the sixth of every twenty becomes the fifth without its zeros."""
    text = digits(numbers, width)
    text[5::20] = np.strings.lstrip(text[4::20][: len(text[5::20])], b"0")
    return text


def ids(prefix: bytes, numbers: Array, width: int) -> Array:
    """`O0000123`; one in fifty has no letter and looks like a number."""
    text = digits(numbers, width)
    return np.where(numbers % 50 == 23, text, np.strings.add(prefix, text))


def digits(numbers: Array, width: int) -> Array:
    tens = 10 ** np.arange(width - 1, -1, -1)
    return (numbers[:, None] // tens % 10 + ord("0")).astype(np.uint8).view(f"S{width}")[:, 0]


def write_csv(path: Path, table: Table, bad: Sequence[tuple[int, bytes]]) -> None:
    cuts = sorted({*range(0, table.rows, CHUNK_ROWS), *(place for place, _ in bad), table.rows})
    with path.open("wb") as file:
        file.write(",".join(table.columns).encode() + b"\n")
        for start, stop in pairwise([*cuts, table.rows]):
            file.writelines(line for place, line in bad if place == start)
            file.write(csv_lines(table, start, stop))


def csv_lines(table: Table, start: int, stop: int) -> bytes:
    """Lay the fields side by side in a grid of bytes, padded with zero bytes, and drop the padding."""
    blocks: list[Array] = []
    for values in (column(slice(start, stop)) for column in table.columns.values()):
        text = csv_text(values, start)
        blocks.append(text.view(np.uint8).reshape(stop - start, text.itemsize))
        blocks.append(np.full((stop - start, 1), ord(","), np.uint8))
    blocks[-1][:] = ord("\n")
    grid = np.hstack(blocks)
    return bytes(grid[grid != 0])


def csv_text(values: Array, first_row: int) -> Array:
    if values.dtype.kind == "M":
        return time_text(values, first_row)
    if values.dtype.kind == "b":
        return np.where(values, b"True", b"False")
    return values.astype("S")


def time_text(times: Array, first_row: int) -> Array:
    """Most as `2021-07-04 20:31:02`; ISO 8601 those with microseconds and, by its place, one row in eight."""
    row = first_row + np.arange(len(times))
    text = times.astype("M8[s]").astype("S32")
    text.view(np.uint8).reshape(-1, 32)[:, 10] = ord(" ")
    midnight = times == times.astype("M8[D]")
    text[midnight] = times[midnight].astype("M8[D]").astype("S")
    iso = (row % 16 == 3) | (row % 16 == 8) | (times != times.astype("M8[s]"))
    utc, east = iso & (row % 2 == 0), iso & (row % 2 == 1)
    text[utc] = np.strings.add(times[utc].astype("S26"), b"Z")
    text[east] = np.strings.add((times[east] + np.timedelta64(2, "h")).astype("S26"), b"+02:00")
    text[np.isnat(times)] = b""
    return text


def bad_lines(rng: Generator, table: Table) -> list[tuple[int, bytes]]:
    """Make the table's bad lines, each with the number of good rows that come before it."""
    lines = []
    for _, kind, fields in (bad for bad in BAD_ROWS if bad[0] == table.name):
        source = int(rng.integers(0, table.rows))
        place = int(rng.integers(source + 1 if kind == "duplicate" else 0, table.rows + 1))
        good = csv_lines(table, source, source + 1).decode().rstrip("\n").split(",")
        row = {**dict(zip(table.columns, good, strict=True)), **fields}
        lines.append((place, ",".join(row.values()).encode() + b"\n"))
    return lines


def write_parquet(path: Path, table: Table) -> None:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

    types = {"S": pa.string(), "M": pa.timestamp("us", tz="UTC"), "i": pa.int64(), "b": pa.bool_()}
    writer = None
    for start in range(0, table.rows, CHUNK_ROWS):
        chunk = {name: column(slice(start, start + CHUNK_ROWS)) for name, column in table.columns.items()}
        # Cast, not pa.array(..., type=): that would keep the zero bytes that pad numpy's text.
        rows = pa.table({name: pa.array(values).cast(types[values.dtype.kind]) for name, values in chunk.items()})
        writer = writer or pq.ParquetWriter(path, rows.schema)
        writer.write_table(rows)
    if writer:
        writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Make the raw tables of order triage.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=2000, help="number of orders")
    parser.add_argument("--seed", type=int, default=7, help="seed of all that is drawn")
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder to write into")
    parser.add_argument("--bad-rows", action="store_true", help="plant the bad rows (CSV only)")
    parser.add_argument("--skus", type=int, help="number of skus; if None, a 40th of the orders, at least 50")
    parser.add_argument("--format", dest="file_format", choices=["csv", "parquet"], default="csv", help="of the files")
    options = parser.parse_args()
    try:
        planted = write_sample(**vars(options))
    except ValueError as error:
        parser.error(str(error))
    bad = ", ".join(f"{table} {count}" for table, count in planted.items())
    print(f"{options.out}: {options.orders:,} orders, seed {options.seed}; bad rows: {bad}")


if __name__ == "__main__":
    main()
