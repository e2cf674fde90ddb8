"""Where valid records come from: a file that is named, the app's own data, or what /openapi.json gives as examples."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scoreline.app.declaration import App
from scoreline.app.load import shown
from scoreline.doctor.findings import Failed
from scoreline.doctor.sample import Sample, sample_of_csv, sample_of_json, sample_of_records
from scoreline.doctor.wire import Site
from scoreline.errors import ScorelineError, SettingError, StampError, TableError

COUNT = 12  # of records, where there are so many


def read_records(path: Path) -> Sample:
    """Read `--record`: a JSON body, JSON Lines, or lines of CSV without a header where it ends in .csv.

    Raises
    ------
    SettingError
        It can't be read, or holds no record.
    """
    try:
        text = path.read_text()
        if path.suffix == ".csv":
            sample = sample_of_csv(text, shown(path))
        else:
            sample = sample_of_json(_decode(text), shown(path))
    except (OSError, ValueError) as error:
        raise SettingError(f"--record {path}: {error}") from error
    if sample is None:
        raise SettingError(f"--record {path}: expected at least one record that the server answers, found none")
    return sample


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def records_of_app(app: App, data: Path, results: Path) -> Sample:
    """Take records from the app's own data: rows of the declared request's file, else keys of the feature table.

    Raises
    ------
    ScorelineError
        The file can't be read, or has no row.
    """
    rows = list(itertools.islice(_keys(app, results) if app.declared_request is None else _asked(app, data), COUNT))
    if not rows:
        raise TableError(f"{shown(data if app.declared_request else results)}: no row to make a record of")
    return sample_of_records(rows, "the app's own data")


def _keys(app: App, results: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    from scoreline.features.stamp import PARQUET_FILE

    try:
        with pyarrow.parquet.ParquetFile(results / PARQUET_FILE) as file:
            for batch in file.iter_batches(batch_size=COUNT, columns=list(app.spine.spec.key)):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise StampError(f"{shown(results / PARQUET_FILE)}: {error}") from error


def _asked(app: App, data: Path) -> Iterator[dict[str, Any]]:
    from scoreline.features.engines.embedded import EmbeddedEngine
    from scoreline.tables.read import TableFile

    assert app.declared_request is not None
    spec = app.declared_request.table.spec
    with tempfile.TemporaryDirectory(prefix="scoreline-") as work, EmbeddedEngine(Path(work), threads=1) as engine:
        engine.load(TableFile(spec, data), unique_key=True)
        for batch in engine.spine_rows(spec, list(spec.columns)):
            yield from batch.to_pylist()


def records_of_site(site: Site) -> Sample | None:
    """Take the example of `POST /invocations` from a server's /openapi.json; None where there is none."""
    try:
        reply = site.ask("GET", "/openapi.json")
        content = json.loads(reply.body)["paths"]["/invocations"]["post"]["requestBody"]["content"]
        examples = _examples(content["application/json"])
    except (Failed, ValueError, KeyError, TypeError):
        return None
    found = [sample for example in examples if (sample := sample_of_json(example, "/openapi.json")) is not None]
    return max(found, key=lambda sample: sample.count, default=None)


def _examples(media: dict[str, Any]) -> list[Any]:
    named = [example["value"] for example in media.get("examples", {}).values() if "value" in example]
    plain = [media["example"]] if "example" in media else []
    return [*named, *plain, *media.get("schema", {}).get("examples", [])]


def find_records(app: App | None, data: Path, results: Path, site: Site | None) -> Sample | None:
    """Take records from the app where there is one, else from the server; None where neither has any."""
    if app is not None:
        try:
            return records_of_app(app, data, results)
        except ScorelineError:
            pass  # what is wrong with its data, other checks say
    return None if site is None else records_of_site(site)
