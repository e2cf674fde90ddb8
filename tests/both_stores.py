"""What tests of both online stores share: each kind made from the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scoreline.store.address import parse_address
from scoreline.store.embedded import EmbeddedStore
from scoreline.store.layout import Names, read_layout
from scoreline.store.link import Link
from scoreline.store.networked import NetworkedStore
from scoreline.store.publications import Publications
from scoreline.store.publish import publish
from scoreline.store.writer import StoreWriter

DIGEST, KEEP_S = "d" * 64, 3600
NAMES = Names("lines")


def write_file(path: Path, rows: Any = (), width: int = 1, batches: Any = (), **meta: Any) -> Path:
    """Write an embedded store's file; `batches` are of states: (batch, table's number, width of its key)."""
    with StoreWriter(path, width, meta) as writer:
        writer.add(rows)
        for batch in batches:
            writer.add_states(*batch)
    return path


def publications_at(url: str, timeout_s: float = 5.0, keep_s: int = KEEP_S) -> Publications:
    """Return the publications in a server."""
    return Publications(Link(parse_address(url), timeout_s), NAMES, keep_s)


def publish_file(publications: Publications, path: Path, rows: int, digest: str = DIGEST, **more: Any) -> Any:
    """Publish a store's file."""
    facts = {"columns": (), "events": 0, "newest": {}, **more}
    return publish(publications, path, digest, rows=rows, **facts)


def open_networked(publications: Publications, digest: str = DIGEST) -> NetworkedStore:
    """Open a generation that was published."""
    layout = read_layout(publications.layout_of(digest), "the store")
    return NetworkedStore(publications.link, publications.names, layout)


def open_store(kind: str, server: Any, path: Path, rows: int) -> EmbeddedStore | NetworkedStore:
    """Open a file as a store of a kind: embedded, or networked over tcp, over unix or, in Valkey, over tcp."""
    if kind == "embedded":
        return EmbeddedStore(path)
    publications = publications_at(server.urls["tcp" if kind == "valkey" else kind])
    publish_file(publications, path, rows)
    return open_networked(publications)
