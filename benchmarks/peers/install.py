"""Make a virtual environment for each peer, with what its requirements.txt names, and prepare the plain model for it.

    python benchmarks/peers/install.py --cache FOLDER --model FOLDER [--only NAMES]

An environment is made once and made anew when its requirements change. `benchmarks/run.py` calls this by itself.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PEERS = tuple(sorted(path.parent.name for path in HERE.glob("*/requirements.txt")))
INSTALL_S, PREPARE_S = 900, 120


@dataclass(frozen=True)
class Peer:
    """A peer's own environment.

    Attributes
    ----------
    bin : folder with its programs
    prepared : folder with what was made of the plain model for it
    versions : package -> version, of all that its requirements name
    """

    name: str
    bin: Path
    prepared: Path
    versions: dict[str, str]


def install(name: str, cache: Path, model: Path | None) -> Peer:
    """Make a peer's environment, or find it made; RuntimeError says why it can't be.

    Parameters
    ----------
    model : what `plain/train.py` wrote; None for a peer that needs no model
    """
    requirements = HERE / name / "requirements.txt"
    folder = cache / "peers" / name
    stamp, wanted = folder / "stamp", _wanted(name, model)
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        prepared = folder / "prepared"
        prepared.mkdir(parents=True)
        print(f"bench: installing {name} (once)", file=sys.stderr)
        _run([sys.executable, "-m", "venv", str(folder / "env")], INSTALL_S)
        pip = [str(folder / "env/bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        _run([*pip, "--only-binary", ":all:", "-r", str(requirements)], INSTALL_S)
        script = HERE / name / "prepare.py"
        if model is not None and script.is_file():
            environment = clean_environment() | model_variables(model, prepared)
            _run([str(folder / "env/bin/python"), str(script)], PREPARE_S, environment)
        stamp.write_text(wanted)
    return Peer(name, folder / "env/bin", folder / "prepared", _versions(folder / "env/bin/python", requirements))


def model_variables(model: Path, prepared: Path) -> dict[str, str]:
    """Return the environment variables that tell a peer where its model is."""
    return {
        "PLAIN_MODEL": str(model / "model.joblib"),
        "PLAIN_MODEL_NAMED": str(model / "model-named.joblib"),
        "PLAIN_PREPARED": str(prepared),
    }


def clean_environment() -> dict[str, str]:
    """Return the environment for a side: one thread a library, nobody's settings, no word to anybody outside."""
    foreign = ("SCORELINE_", "MODEL_SERVER_", "SAGEMAKER_", "MLFLOW_", "MLSERVER_", "BENTOML_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    quiet = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return kept | threads | quiet


def _wanted(name: str, model: Path | None) -> str:
    """Return a digest of all that an environment is made from."""
    digest = hashlib.sha256(sys.version.encode())
    made_from = [HERE / name / "requirements.txt", HERE / name / "prepare.py"]
    for path in [*made_from, *([] if model is None else [model / "model.joblib"])]:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _versions(python: Path, requirements: Path) -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    named = [line.partition("==")[0].partition("[")[0] for line in lines if line]
    script = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    found = subprocess.run([python, "-c", script, *named], capture_output=True, text=True, check=True, timeout=60)
    return dict(zip(named, found.stdout.split(), strict=True))


def _run(command: list[str], timeout_s: float, environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{Path(command[0]).name}: {error}") from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).strip().splitlines() if "WARNING" not in line]
        raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the environments")
    parser.add_argument("--model", type=Path, required=True, help="folder that benchmarks/plain/train.py wrote")
    parser.add_argument("--only", default=",".join(PEERS), help="names, parted by commas")
    options = parser.parse_args()
    for name in options.only.split(","):
        try:
            print(name, install(name, options.cache, options.model).versions)
        except RuntimeError as error:
            print(f"{name}: not installed: {error}")


if __name__ == "__main__":
    main()
