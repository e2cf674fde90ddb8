"""A builder that is killed: at every one of its steps, what is published stays whole, and the next publish comes after.

Each death is that of a fork which only had Scoreline imported, by SIGKILL, just before it makes, writes, renames or
removes something. A further fork then looks at what is left, as the next builder and a worker would.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cards import as_csv, copy_cards, put
from servers import settings_for

from scoreline.app.load import load_app
from scoreline.generations.state import StateFolder
from scoreline.serving.start import make_builder

TESTS = Path(__file__).parents[1]
SCRIPT = """
import json, os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cards import CARDS, as_csv, put
from servers import settings_for
from scoreline.app.load import load_app
from scoreline.generations import collect
from scoreline.generations.manifest import app_digest
from scoreline.generations.parts import load_parts
from scoreline.generations.state import StateFolder
from scoreline.serving.service import make_predictor
from scoreline.serving.start import make_builder

folder, first, work, what = Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]
app = load_app(folder)
STEPS = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "mmap.__new__", "shutil.rmtree"}
WRITES = os.O_WRONLY | os.O_RDWR

def builder(path):
    return make_builder(settings_for(folder, path), app, StateFolder(path))

def build(path):
    {"refresh": lambda: builder(path).refresh("ask"), "rollback": lambda: builder(path).rollback()}[what]()

def die_at(number, state):
    step = 0
    def count(event, arguments):
        nonlocal step
        if event not in STEPS:
            return
        if event == "open" and not (arguments[2] & WRITES and str(arguments[0]).startswith(str(state))):
            return
        step += 1
        if step == number:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    return lambda: step

def forked(work):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(work()).encode())
        except BaseException as error:
            os.write(writing, json.dumps(repr(error)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else None

def counted():
    path = work / "count"
    shutil.copytree(first, path)
    steps = die_at(0, path)
    build(path)
    return steps()

def dying(number):
    path = work / str(number)
    shutil.copytree(first, path)
    die_at(number, path)
    build(path)

def after(number):
    state = StateFolder(work / str(number))
    published, pinned = state.number, state.pinned
    load_parts(app, state.folder_of(published), lambda a, m: make_predictor(folder, a, m))
    left = sorted(path.name for path in state.path.glob(".building-*"))
    builder(state.path).unpin()
    put(folder / "data/issuers.csv", b"issuer,minimum_income\\nNorth," + str(1000 + number).encode() + b"\\n")
    report = builder(state.path).refresh("ask")
    return {"published": published, "pinned": pinned, "left": left, "next": state.number, "changed": report.changed,
            "cleared": not list(state.path.glob(".building-*")),
            "readable": [one.number for one in state.generations()],
            "folders": len(list((state.path / "generations").iterdir()))}

issuers = (folder / "data/issuers.csv").read_bytes()
steps = forked(counted)
found = {}
for number in range(1, steps + 1, 1 if what == "refresh" else 2):
    put(folder / "data/issuers.csv", issuers)
    assert forked(lambda: dying(number)) is None, number
    found[number] = forked(lambda: after(number))
print(json.dumps({"steps": steps, "found": found}))
"""


@pytest.fixture(scope="module", params=["refresh", "rollback"])
def deaths(request, made, tmp_path_factory):
    """What was found after a death at each step of a refresh with a changed table, and each other one of a rollback."""
    work = tmp_path_factory.mktemp("deaths")
    folder = copy_cards(made, work / "app")
    builder = make_builder(settings_for(folder, work / "state"), load_app(folder), StateFolder(work / "state"))
    for fee in range(5):  # one more is published than are kept, so that there is something to prune
        put(folder / "data/issuers.csv", as_csv([["issuer", "minimum_income"], ["North", fee]]))
        builder.refresh("start")
    assert StateFolder(work / "state").number == 5
    put(folder / "data/issuers.csv", as_csv([["issuer", "minimum_income"], ["North", 99]]))
    command = [sys.executable, "-c", SCRIPT, TESTS, folder, work / "state", work, request.param]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    return request.param, {int(number): found for number, found in told["found"].items()}


@pytest.mark.slow
def test_a_death_at_any_step_leaves_the_published_generation_whole(deaths):
    _, found = deaths
    assert len(found) > 20
    assert {type(one) for one in found.values()} == {dict}, found
    published = [one["published"] for _, one in sorted(found.items())]
    assert set(published) == {5, 6}
    assert published == sorted(published), "before a certain step it is the old one, from there on the new one"


@pytest.mark.slow
def test_after_a_death_the_next_publish_has_a_higher_number_and_clears_up(deaths):
    what, found = deaths
    for step, one in found.items():
        assert one["changed"], step
        assert one["next"] > one["published"], step
        assert one["cleared"], step
        assert one["readable"][-1] == one["next"], step
        assert one["folders"] == 5, step
    assert any(one["left"] for one in found.values()), "some deaths leave an unfinished build"
    if what == "refresh":
        assert any(one["next"] == one["published"] + 2 for one in found.values()), "some leave a folder, but no number"


@pytest.mark.slow
def test_a_rollback_that_dies_has_pinned_before_it_published(deaths):
    """Else a poll might bring the bad file back in between."""
    what, found = deaths
    for step, one in found.items():
        if what == "refresh":
            assert one["pinned"] is None, step
        elif one["published"] == 6:
            assert one["pinned"] in (0, 6), step
        else:
            assert one["pinned"] in (None, 0), step
