"""Write `docs/settings.md` from the settings' one declaration: `python docs/make_settings.py`."""

from __future__ import annotations

from pathlib import Path

from scoreline.settings import SETTINGS, Setting

_HEAD = """# Settings

Made from `src/scoreline/settings.py` by `python docs/make_settings.py`; a test holds the two together.

Precedence: the command's option, then the environment variable (the first of several that is set; spellings of one
name must not contradict one another), then `/opt/ml` where it exists (folders only), then the default. An empty
variable counts as unset. A value that can't be used is refused at start with exit code 2, by name, saying what is
expected.

| variable | option | default | unit | meaning |
| --- | --- | --- | --- | --- |
"""
_OPTIONS = {"model": "--model-dir", "timeout_s": "", "max_body_mb": "", "batch": "", "inference_timeout_s": ""}
_OPTIONS |= {"max_bad_percent": "", "max_bad_rows": "", "nginx": "", "runtime": ""}
_OPTIONS |= {
    "state": "--state",
    "data_url": "--data-url",
    "refresh_s": "",
    "worker_class": "--worker-class",
    "admin_token": "",
    "default_accept": "",
}
_OPTIONS |= dict.fromkeys(
    ("ml_root", "safe_ports", "payload_mb", "log_level", "multi_model", "history_days", "events_days"), ""
)


def settings_page() -> str:
    """Return the page as Markdown."""
    return _HEAD + "".join(_row(setting) for setting in SETTINGS)


def _row(setting: Setting) -> str:
    option = _OPTIONS.get(setting.name, f"--{setting.name}")
    default = "" if setting.default is None else f"`{setting.default}`"
    variables = "<br>".join(f"`{variable}`" for variable in setting.variables)
    return f"| {variables} | {f'`{option}`' if option else ''} | {default} | {setting.unit} | {setting.help} |\n"


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(settings_page())
