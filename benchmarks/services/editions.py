"""Two feature tables of the same orders, and putting one of them where a server's next refresh finds it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.prepare import prepare_restocked

from scoreline.features.stamp import read_stamp
from scoreline.files import staged


@dataclass(frozen=True)
class Edition:
    """A feature table with its online store, as `feature` wrote it.

    Attributes
    ----------
    keys, answers : some records, and what must be said to each
    """

    results: Path
    keys: list[dict[str, Any]]
    answers: list[dict[str, Any]]

    def put(self, results: Path) -> None:
        """Put the feature table into a results folder, all at once, as `feature` would: as links, since nobody writes.

        `feature` itself stands in no figure, and would take a minute each time.
        """
        stamp = read_stamp(self.results, verify=False)
        with staged(results) as staging:
            for name in (*stamp.files, "feature.stamp.json"):
                (staging / name).parent.mkdir(exist_ok=True)
                os.link(self.results / name, staging / name)


def read_editions(folder: Path) -> tuple[Edition, Edition]:
    """Return order triage as it was made, and restocked, which is made where it is not there yet.

    ValueError where both answer alike, so that nothing could be told from an answer.
    """
    first, second = (_read(each) for each in (folder, prepare_restocked(folder)))
    if first.answers == second.answers:
        raise ValueError(f"{folder}: answers are the same with a piece more in stock; delete the folder")
    return first, second


def _read(folder: Path) -> Edition:
    content = json.loads((folder / "corpus.json").read_text())
    return Edition(folder / "results", content["keys"], content["answers"])
