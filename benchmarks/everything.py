"""All benchmarks, one after the other: `make bench`.

    python benchmarks/everything.py                  # about two hours; tables go into benchmarks/README.md
    python benchmarks/everything.py --small          # does it all work? A few minutes, and no table is kept
    python benchmarks/everything.py --only run,live

Each part is a command of its own, ends by itself, and is ended where it takes far too long. Where one fails, the others
go on. Peers are installed by the part that needs them; wrk, which no package of Python brings, is installed here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness.command import end_in_order
from harness.load import LoadError, find_wrk

HERE = Path(__file__).parent
END_S = 60  # that a part gets to end its servers
INSTALL_S = 600


@dataclass(frozen=True)
class Part:
    """One benchmark.

    Attributes
    ----------
    small : options for a run that only shows that it works
    most_s : after which it is ended; several times what it usually takes, since a first run makes tables too
    has_page : it writes its tables into the README
    """

    script: str
    small: tuple[str, ...]
    most_s: int
    has_page: bool = True

    @property
    def name(self) -> str:
        return self.script.removesuffix(".py")


PARTS = (  # the one list of what there is: add a benchmark here
    Part("run.py", ("--seconds", "1", "--rounds", "1", "--orders", "20000"), 10_800),
    Part("live.py", ("--seconds", "1", "--rounds", "1", "--orders", "20000", "--reloads", "2", "--starts", "1"), 5_400),
    Part("feature_build.py", ("--orders", "20000", "--rounds", "1"), 10_800),
    Part("engines.py", ("--orders", "20000"), 21_600),
    Part("store.py", ("--rows", "20000", "--rounds", "1"), 3_600),
    Part("shells.py", ("--seconds", "1", "--rounds", "1", "--orders", "20000"), 1_800, has_page=False),
    Part("placed.py", ("--seconds", "1", "--rounds", "1", "--orders", "20000"), 1_800, has_page=False),
    Part("networked.py", ("--seconds", "1", "--rounds", "1", "--orders", "20000"), 1_800, has_page=False),  # Redis
    Part("score.py", ("--orders", "20000"), 3_600, has_page=False),
    Part("trees.py", ("--classes", "2"), 1_800, has_page=False),
    Part("image_size.py", (), 1_800, has_page=False),  # needs Docker
)


def main() -> int:
    """Run what is asked for; return the exit code."""
    arguments = parse()
    end_in_order()
    parts = [part for part in PARTS if part.name in arguments.only and (HERE / part.script).is_file()]
    install_wrk()
    took = {part.name: run(part, small=arguments.small) for part in parts}
    for name, (seconds, why) in took.items():
        print(f"bench: {name}: {why or 'done'}, {seconds / 60:.1f} minutes", file=sys.stderr)
    return int(any(why for _, why in took.values()))


def parse() -> argparse.Namespace:
    """Read the options."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="only show that it all works; keeps no results")
    parser.add_argument("--only", type=_names, default=names, help=f"parted by commas: {', '.join(names)}")
    return parser.parse_args()


def run(part: Part, *, small: bool) -> tuple[float, str]:
    """Run a part to its end; return the seconds that it took, and why it failed, empty where it did not."""
    print(f"bench: {part.script}", file=sys.stderr, flush=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kept = ["--out", f"{folder}/out.json"] if part.has_page else []
        options = [*part.small, *kept] if small else ["--update-readme"] if part.has_page else []
        why = wait_for([sys.executable, str(HERE / part.script), *options], part.most_s)
    return time.monotonic() - begin, why


def wait_for(command: list[str], most_s: float) -> str:
    """Run a command; return why it failed. Whatever happens here, it has ended, and had time to end in order."""
    process = subprocess.Popen(command)
    try:
        code = process.wait(most_s)
        return f"ended with exit code {code}" if code else ""
    except subprocess.TimeoutExpired:
        return f"ended by force after {most_s} s"
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            process.kill()
            process.wait()


def install_wrk() -> None:
    """Install wrk where it is missing, this is Debian or Ubuntu, and we may; else say so, and let the others run."""
    with contextlib.suppress(LoadError):
        find_wrk()
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") and (not root or shutil.which("sudo")):
        print("bench: installing wrk", file=sys.stderr, flush=True)
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "wrk"]):
            with contextlib.suppress(subprocess.SubprocessError):
                subprocess.run([*root, *command], stdin=subprocess.DEVNULL, stdout=2, timeout=INSTALL_S, check=True)
    try:
        find_wrk()
    except LoadError as error:
        print(f"bench: {error} Parts that need it are not run.", file=sys.stderr)


def _names(text: str) -> list[str]:
    known = [part.name for part in PARTS]
    names = list(filter(None, text.replace(" ", "").split(",")))
    if not names or set(names) - set(known):
        raise argparse.ArgumentTypeError(f"expected names of {', '.join(known)}, got {text!r}")
    return names


if __name__ == "__main__":
    sys.exit(main())
