"""What tests of generations share: the small app of cards in a folder of its own, and what builds from it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cards import copy_cards, made_cards
from servers import settings_for

from scoreline.app.load import load_app
from scoreline.generations import state
from scoreline.generations.builder import Builder
from scoreline.generations.manifest import Generation
from scoreline.generations.report import RefreshReport
from scoreline.generations.state import StateFolder
from scoreline.serving.start import make_builder


class Place:
    """An app's folder with data, features and model, and a state folder beside it."""

    def __init__(self, folder: Path, state_folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.state = StateFolder(state_folder)

    def builder(self, **settings: Any) -> Builder:
        """Return a new builder, as each command makes one."""
        made = settings_for(self.folder, self.state.path, **settings)
        return make_builder(made, load_app(self.folder), self.state)

    def refresh(self, mode: Any = "ask", *, dry_run: bool = False, **settings: Any) -> RefreshReport:
        """Refresh as a command does."""
        return self.builder(**settings).refresh(mode, dry_run=dry_run)

    @property
    def current(self) -> Generation:
        """The published generation."""
        current = self.state.current()
        assert current is not None
        return current

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of a reference table as the published generation holds them."""
        path = self.state.folder_of(self.state.number) / f"tables/{table}.msgpack"
        columns = msgspec.msgpack.decode(path.read_bytes())
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def seen(self) -> dict[str, Any]:
        """Return what a bystander sees of the state folder: all but what is known of sources."""
        return {
            str(path.relative_to(self.state.path)): path.read_bytes() if path.is_file() else None
            for path in sorted(self.state.path.rglob("*"))
            if "sources" not in path.parts
        }


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Give the folder of the app of cards with features and model; read only."""
    return made_cards(tmp_path_factory)


@pytest.fixture
def place(made, tmp_path):
    """Give a copy of the app of cards, and a state folder where nothing is published."""
    return Place(copy_cards(made, tmp_path / "app"), tmp_path / "state")


@pytest.fixture
def published(place):
    """Give the same with a first generation."""
    place.refresh("start")
    return place


@pytest.fixture
def later(monkeypatch):
    """Give a function that lets `age_s` see a moment that lies some seconds ahead."""
    real = state.datetime

    def ahead(seconds: float) -> None:
        class Ahead(real):
            @classmethod
            def now(cls, zone=None):
                return real.fromtimestamp(time.time() + seconds, zone)

        monkeypatch.setattr(state, "datetime", Ahead)

    return ahead
