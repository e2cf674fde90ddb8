"""Clean the raw survey of credit card terms into card_variables.csv, one row a card.

    python make_cards.py RAW.csv --out data

RAW.csv is the CFPB's "Terms of Credit Card Plans" survey as of 2022-12-31, as downloaded. Its traps:

- It begins with a byte order mark, and quoted fields hold newlines. Runs of white space become one space here.
- Header names repeat: four blocks of APRs share theirs. The first of a name counts, which is the purchase APR;
  `csv.DictReader` would take the last.
- `999.00%` stands for "not offered", and so does a purchase APR of `0.00%` (introductory rates have columns of their
  own). A tier's APR counts only if the card is meant for that tier.
- A card may ask an annual and a monthly fee; `annual_fee` is what the survey states for a year, all added up. The free
  text "other periodic fee" counts only where it is the annual fee under another name (not a fee for a second card).
- A product may be listed twice. See `without_repeats` and `with_ids`.

The result does not depend on the order of the raw rows.
"""

import argparse
import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

# Units: USD a year, percent; `states` are those where it is offered, none for everywhere.
COLUMNS = ("card_id", "issuer", "name", "annual_fee", "min_score", "apr_min", "apr_max", "secured", "reward",
           "intro_apr", "foreign_fee", "states")  # fmt: skip
TIERS = {"Poor": "300", "Good": "620", "Great": "720"}  # first word of a tier: the lowest score in it
TIER_APRS = {"Poor": "Poor or Fair Credit", "Good": "Good Credit", "Great": "Great Credit"}
RANGE_APRS = ("Minimum APR", "Median APR", "Maximum APR")
NO_APR = (Decimal(0), Decimal(999))
PERIODIC_FEES = {"Annual Fee": 1, "Monthly Fee": 12, "Weekly Fee": 52}  # times a year
REWARDS = {"": "none", "Cashback rewards": "cash_back", "Travel-related rewards": "travel", "Other rewards": "other"}
SEVERAL = "several"  # reward kinds
# Columns that tell the cards of one name apart, the likeliest first, and what they are called in a card_id.
TELLING = {"min_score": "score", "annual_fee": "fee", "states": "in", "apr_min": "apr", "apr_max": "apr-to"}

Row = dict[str, str]


def write_cards(raw: Path, out: Path) -> dict[str, int]:
    """Write card_variables.csv into the folder `out`; count the raw rows by what became of them."""
    rows = list(read_rows(raw))
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["Provider"] and row["Product Name"] and row["Targeted Credit Tiers"]:
            groups[slug(f"{row['Provider']} {row['Product Name']}")].append(clean(row))
    cards = [card for stem, group in groups.items() for card in with_ids(stem, without_repeats(group))]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "card_variables.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(cards, key=lambda card: card["card_id"]))
    usable = sum(map(len, groups.values()))
    return {
        "read": len(rows),
        "dropped: no issuer, product or credit tier": len(rows) - usable,
        "dropped: repeats": usable - len(cards),
        "kept": len(cards),
    }


def read_rows(raw: Path) -> Iterator[Row]:
    """Give each row by header name, the first column of a name; white space is one space, none at the ends."""
    with raw.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        header = next(lines)
        for line in lines:
            if len(line) != len(header):
                raise SystemExit(f"{raw.name}, line {lines.line_num}: expected {len(header)} fields, got {len(line)}")
            yield {name: " ".join(text.split()) for name, text in zip(header[::-1], line[::-1], strict=True)}


def clean(row: Row) -> Row:
    """Turn a raw row into one of ours, without card_id."""
    tiers = [tier.split()[0] for tier in row["Targeted Credit Tiers"].split("; ")]
    texts = [row[name] for name in (*RANGE_APRS, *(TIER_APRS[tier] for tier in tiers))]
    aprs = [apr for apr in map(number, texts) if apr is not None and apr not in NO_APR]
    return {
        "issuer": row["Provider"],
        "name": row["Product Name"],
        "annual_fee": plain(annual_fee(row)),
        "min_score": min(TIERS[tier] for tier in tiers),
        "apr_min": plain(min(aprs)) if aprs else "",
        "apr_max": plain(max(aprs)) if aprs else "",
        "secured": yes(row["Secured Card"]),
        "reward": REWARDS.get(row["Rewards"], SEVERAL),
        "intro_apr": yes(row["Introductory APR Offered?"]),
        "foreign_fee": yes(row["Foreign Transaction Fees?"]),
        "states": " ".join(sorted(set(re.findall(r"[A-Z]{2}", f"{row['State']} {row['State (Multiple)']}")))),
    }


def annual_fee(row: Row) -> Decimal:
    fee = sum(((number(row[name]) or Decimal(0)) * times for name, times in PERIODIC_FEES.items()), Decimal(0))
    if not fee and row["Other Periodic Fee Name"].lower() in ("annual", "annual fee"):
        fee = number(row["Other Periodic Fee Amount"]) or fee
    return fee


def number(text: str) -> Decimal | None:
    """Read `$5,000.00` or `17.99%`; empty text is no number."""
    digits = text.strip("$%").replace(",", "")
    return Decimal(digits) if digits else None


def plain(value: Decimal) -> str:
    """Write `35` for 35.00 and `249.8` for 249.80."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def yes(text: str) -> str:
    return {"Yes": "true", "No": "false"}[text]


def slug(text: str) -> str:
    """Write text in a-z, 0-9 and single hyphens; accents, apostrophes and trademark signs go."""
    text = unicodedata.normalize("NFKD", re.sub("[®™'’]", "", text))
    return re.sub(r"[^a-z0-9]+", "-", text.encode("ascii", "ignore").decode().lower()).strip("-")


def without_repeats(group: list[Row]) -> list[Row]:
    """Drop the rows that say nothing beyond another of their product, for instance equal ones."""
    kept: list[Row] = []
    for row in sorted(group, key=lambda card: (not card["apr_min"], *card.values())):  # those without APR last
        if not any(adds_nothing(row, card) for card in kept):
            kept.append(row)
    return kept


def adds_nothing(row: Row, card: Row) -> bool:
    """Say whether the two agree in all columns but issuer and name, which are spelt alike; `row` may lack APRs."""
    may_lack = {name for name in ("apr_min", "apr_max") if not row[name]}
    return all(row[name] == card[name] for name in COLUMNS[3:] if name not in may_lack)


def with_ids(stem: str, group: list[Row]) -> list[Row]:
    """Give each card its id: issuer and product and, where several differ, the first column that tells them apart."""
    if len(group) == 1:
        return [{"card_id": stem, **group[0]}]
    for name, label in TELLING.items():
        ids = [f"{stem}-{label}-{slug(card[name]) or 'none'}" for card in group]
        if len(set(ids)) == len(group):
            return [{"card_id": card_id, **card} for card_id, card in zip(ids, group, strict=True)]
    raise SystemExit(f"{stem}: {len(group)} cards that no single column of {', '.join(TELLING)} tells apart")


def main() -> None:
    parser = argparse.ArgumentParser(description="Clean the survey of credit card terms into card_variables.csv.")
    parser.add_argument("raw", type=Path, help="the survey, a CSV file as downloaded")
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder to write into; default: data")
    arguments = parser.parse_args()
    try:
        counts = write_cards(arguments.raw, arguments.out)
    except KeyError as error:
        raise SystemExit(
            f"{arguments.raw.name}: expected the survey as downloaded, found no column or answer {error}"
        ) from None
    for what, count in counts.items():
        print(f"{count:5,} rows {what}")


if __name__ == "__main__":
    main()
