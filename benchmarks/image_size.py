"""How large our image is, beside the one that MLflow makes of its own model.

    python benchmarks/image_size.py --base python:3.13-slim-trixie -- --network=host

Both are built on the same base by the same engine: order triage with its model by `scoreline build`, the plain model by
the Dockerfile that `mlflow models generate-dockerfile` writes, with that base in the place of its own. Sizes are
uncompressed, and shown with and without the base. What follows -- goes to both builds. Both images go at the end.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.prepare import cache_folder, prepare_plain_model
from peers.install import install

HERE = Path(__file__).parent
OURS, MLFLOW = "scoreline-bench/order-triage", "scoreline-bench/mlflow"


def main() -> int:
    """Build both, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", default="python:3.13-slim-trixie", help="image that both are built on")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder for what is made once")
    parser.add_argument("more", nargs="*", help="options of docker build, after --")
    arguments = parser.parse_args()
    if shutil.which("docker") is None:
        print("bench: docker is not on PATH", file=sys.stderr)
        return 1
    try:
        build_ours(arguments.base, arguments.more)
        build_mlflow(arguments.base, arguments.cache, arguments.more)
        sizes = {name: size_of(name) for name in (arguments.base, OURS, MLFLOW)}
    finally:
        subprocess.run(["docker", "rmi", "-f", OURS, MLFLOW], capture_output=True, check=False)
    base = sizes.pop(arguments.base)
    print("| image | MB | MB without the base | / MLflow |\n| --- | ---: | ---: | ---: |")
    for name, size in sizes.items():
        print(f"| {name.partition('/')[2]} | {size:,.0f} | {size - base:,.0f} | {size / sizes[MLFLOW]:.2f} |")
    print(f"\nThe base is {arguments.base}, {base:,.0f} MB.")
    return 0


def build_ours(base: str, more: list[str]) -> None:
    """Build order triage as a user would."""
    app = HERE.parent / "apps/order_triage"
    command = [sys.executable, "-m", "scoreline", "build", "--app", str(app), "--tag", OURS, "--base", base]
    subprocess.run([*command, "--", *more], check=True)


def build_mlflow(base: str, cache: Path, more: list[str]) -> None:
    """Build what MLflow says, but for its base."""
    peer = install("mlflow", cache, prepare_plain_model(cache))
    with tempfile.TemporaryDirectory() as folder:
        mlflow = [str(peer.bin / "mlflow"), "models", "generate-dockerfile", "--env-manager", "local"]
        subprocess.run([*mlflow, "-m", str(peer.prepared / "model"), "-d", folder], check=True)
        dockerfile = Path(folder, "Dockerfile")
        # A pip that came with the system can't be brought up to date, which is a step of theirs.
        begin = f"FROM {base}\nRUN python3 -m pip install --no-cache-dir --ignore-installed pip"
        dockerfile.write_text(re.sub(r"^FROM .*$", begin, dockerfile.read_text(), flags=re.MULTILINE))
        subprocess.run(["docker", "build", "--tag", MLFLOW, *more, folder], check=True)


def size_of(image: str) -> float:
    """Return an image's size in MB, uncompressed."""
    done = subprocess.run(["docker", "image", "inspect", image], check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)[0]["Size"]) / 1e6


if __name__ == "__main__":
    sys.exit(main())
