"""`scoreline package`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoreline.app.load import shown
from scoreline.cli.options import FOLDERS, options
from scoreline.settings import Settings

if TYPE_CHECKING:
    from scoreline.sagemaker.package import PackageContent

OUT = "model.tar.gz"


@click.command(short_help="All that serving needs -> model.tar.gz.")
@options(*FOLDERS, "data_url")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help=f"The file to write. Default: {OUT} in the app's folder.",
)
@click.option("--add", "more", multiple=True, help="Another file of the app's folder, one that its modules open.")
@click.option("--dry-run", is_flag=True, help="Check and list only: write nothing.")
def package(settings: Settings, out: Path | None, more: tuple[str, ...], dry_run: bool) -> None:
    """Write the model package: the one file that a SageMaker model is made from.

    It holds the artifact, the online store, the reference tables as of now and the app's own files,
    so that `serve` needs nothing else, and no network. Equal content gives equal bytes.
    """
    from scoreline.sagemaker.archive import write_archive
    from scoreline.sagemaker.package import collect_package
    from scoreline.serving.start import source_of

    out = out or settings.app / OUT
    work = settings.results if settings.results.is_dir() else out.parent  # copies are links on the disk of the store
    with collect_package(settings.app, settings.model, settings.results, source_of(settings), work, more) as content:
        if not dry_run:
            write_archive(out, content.parts)
        click.echo("\n".join(_lines(content, None if dry_run else out)))


def _lines(content: PackageContent, out: Path | None) -> list[str]:
    lines = ["package"]
    lines += [f"  {name:<44} {content.sizes[name]:>14,} bytes" for name in sorted(content.sizes)]
    lines += [f"  {note}" for note in content.notes]
    size = sum(content.sizes.values())
    lines.append(f"  {len(content.sizes)} files, {size:,} bytes, all checked; content {content.digest[:6]}")
    if out is None:
        return [*lines, "  nothing is written: a dry run"]
    return [*lines, f"  {shown(out)}: {out.stat().st_size:,} bytes"]
