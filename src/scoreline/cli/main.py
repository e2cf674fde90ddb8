"""The command `scoreline`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from scoreline.cli.build import build
from scoreline.cli.check import check
from scoreline.cli.deploy import deploy
from scoreline.cli.doctor import doctor
from scoreline.cli.eject import eject
from scoreline.cli.explain import explain
from scoreline.cli.feature import feature
from scoreline.cli.inference import inference
from scoreline.cli.ingest import ingest
from scoreline.cli.operate import refresh, rollback, status
from scoreline.cli.package import package
from scoreline.cli.parity import parity
from scoreline.cli.push import push
from scoreline.cli.score import score
from scoreline.cli.serve import serve
from scoreline.cli.signals import Terminated, come_again, come_soon, ended_by, settle, terminate
from scoreline.cli.train import train
from scoreline.cli.up import up
from scoreline.errors import ScorelineError, SettingError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

FAILED, MISUSED, INTERRUPTED, TERMINATED = 1, 2, 130, 143
_SOON_S = 0.01  # until a signal that was lost comes again


class _InOrder(click.Group):
    """Lists commands in the order in which one uses them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="scoreline", message="scoreline %(version)s")  # looked up when asked for
def scoreline() -> None:
    """Take a tabular model from raw tables to a production scoring service.

    An app is a folder with an app.py that declares tables, features, model and reply. Go there and
    run `scoreline up`, or one step after the other: feature, train, serve, inference.

    Options come first, then environment variables, then /opt/ml where it exists, then the app's
    own folders data/, model/ and results/. Exit codes: 0 done, 1 failed, 2 misused.
    """


_COMMANDS = (
    *(check, feature, train, serve, inference, up),
    *(score, ingest, explain, parity, refresh, status, rollback),
    *(package, build, eject, push, deploy, doctor),
)
for command in _COMMANDS:
    scoreline.add_command(command)


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 misused, 130 Ctrl-C, 143 SIGTERM."""
    signal.signal(signal.SIGTERM, terminate)  # the first process of a container would ignore it
    signal.signal(signal.SIGALRM, come_again)
    sys.unraisablehook = _keep_signals
    code = run(sys.argv[1:])
    settle()
    if code in (INTERRUPTED, TERMINATED):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)  # sys.exit would wait for threads that a server keeps waiting
    sys.exit(code)


def _keep_signals(dropped: UnraisableHookArgs) -> None:
    """Let a signal come again that landed in a finalizer or a C callback, where Python drops what is raised.

    An import alone runs hundreds of these; the command would go on as if nobody had asked it to end.
    """
    if isinstance(dropped.exc_value, Terminated | KeyboardInterrupt):
        come_soon(_SOON_S)
    else:
        sys.__unraisablehook__(dropped)


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code, having said on stderr what went wrong."""
    return run_reporting(lambda: scoreline.main(arguments, prog_name="scoreline", standalone_mode=False))


def run_reporting(work: Callable[[], object]) -> int:
    """Do some work; return the exit code, having said on stderr what went wrong."""
    try:
        code = work()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return MISUSED
    except click.ClickException as error:
        error.show()
        return MISUSED
    except Terminated:
        return _interrupted()
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except SettingError as error:
        click.echo(f"scoreline: {error}", err=True)
        return MISUSED
    except ScorelineError as error:
        click.echo(f"scoreline: {error}", err=True)
        return FAILED
    except OSError as error:  # a full disk, a folder that can't be written: the person's to mend, not a bug
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"scoreline: {where}{error.strerror or error}", err=True)
        return FAILED
    except RuntimeError as error:
        if "interrupted" not in str(error):  # DuckDB puts this in the place of what the signal raised
            raise
        return _interrupted()
    except Exception:  # what a signal cut off may raise anything: a call of Java's, for one
        if not ended_by:
            raise
        return _interrupted()
    return code if isinstance(code, int) else 0  # that of click's Exit, which a command may raise


def _interrupted() -> int:
    settle()
    how, code = ("terminated", TERMINATED) if signal.SIGTERM in ended_by else ("interrupted", INTERRUPTED)
    click.echo(f"scoreline: {how}; what was unfinished is dropped", err=True)
    return code
