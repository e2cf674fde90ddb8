"""`scoreline check`."""

from __future__ import annotations

import click

from scoreline.cli.feature import reference_data
from scoreline.cli.options import FOLDERS, options
from scoreline.settings import Settings


@click.command(short_help="Is app.py right, do the tables fit? Runs nothing.")
@options(*FOLDERS, "data_url")
def check(settings: Settings) -> None:
    """Check app.py and the heads of the tables, without running anything.

    Reads no rows. Also checks predictor.py and nginx.conf in the app's folder, where there are any.
    """
    from scoreline.app.load import load_app, shown
    from scoreline.features.plan import make_plan
    from scoreline.serving.nginx import check_configuration
    from scoreline.serving.service import predictor_class
    from scoreline.tables.read import TableFile

    app = load_app(settings.app)
    predictor_class(settings.app)
    check_configuration(settings.app)
    click.echo(f"{shown(settings.app / 'app.py')}: {app.name}: {len(app.feature_list)} features, heads "
               f"{', '.join(app.heads)}")  # fmt: skip
    request = app.declared_request
    specs = {spec.name: spec for spec in (*make_plan(app).tables, *([] if request is None else [request.table.spec]))}
    with reference_data(settings, app) as fetched:
        for spec in specs.values():
            file = TableFile(spec, fetched or settings.data if spec.reference else settings.data)
            missing = f", without {', '.join(file.absent)}" if file.absent else ""
            click.echo(f"{shown(file.path)}: {len(file.present)} of {len(spec.columns)} columns{missing}")
    click.echo("ok")
