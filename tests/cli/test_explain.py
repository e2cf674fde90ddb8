"""`scoreline explain`: of a row of the table, of a new one, and of a request against a reference table."""

from __future__ import annotations

import json

import pytest
from cards import copy_cards, made_cards
from servers import copy_app, folders, run, serving, write_sample

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """Give a function that runs `explain` against the running app of cards."""
    folder = copy_cards(made_cards(tmp_path_factory), tmp_path_factory.mktemp("own") / "cards")
    with serving(folder, folder, tmp_path_factory.mktemp("server"), "--workers", "1") as server:
        yield lambda *arguments: run(["explain", *folders(folder), "--port", str(server.port), *arguments])


def test_a_person_is_explained_with_the_best_card_or_the_one_asked_for(cards, capsys):
    assert cards("H0400") == 0
    best = capsys.readouterr().out
    assert best.startswith("person_id='H0400', offered=")
    assert best.count("card_id=") == best.count(", card_id=") + 1
    assert cards("H0400", "elm") == 0
    elm = capsys.readouterr().out
    assert "\ncard_id='elm', name='Elm', odds=" in elm
    assert "  minimum_income = 80000.0: issuers, issuer='West', the reference table in memory" in elm


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["H9999"], "no row of table people has person_id='H9999'", id="an-unknown-person"),
        pytest.param(["H0400", "yew"], "the server has none with the key 'yew'", id="an-unknown-card"),
        pytest.param(["--record", "{bad}"], "expected a record as JSON", id="no-json"),
        pytest.param(["--record", "{list}"], "expected one record, an object with names", id="a-list"),
    ],
)
def test_what_can_not_be_explained_is_said(cards, tmp_path, capsys, arguments, said):
    (tmp_path / "bad").write_text("{")
    (tmp_path / "list").write_text("[]")
    asked = [argument.format(bad=tmp_path / "bad", list=tmp_path / "list") for argument in arguments]
    assert cards(*asked) == 1
    assert said in capsys.readouterr().err


def test_an_order_of_the_table_and_a_new_one_are_explained(tmp_path, capsys):
    app = copy_app(tmp_path / "app")
    write_sample(app / "data", orders=300)
    assert run(["feature", *folders(app)]) == 0
    assert run(["train", *folders(app)]) == 0
    new = {"order_id": "N1", "customer_id": "C1", "sku_code": "x", "zip_code": "y", "quantity": 1}
    (tmp_path / "new.json").write_text(json.dumps(new))
    with serving(app, app, tmp_path / "server", "--workers", "1") as server:
        port = ["--port", str(server.port)]
        capsys.readouterr()
        assert run(["explain", *folders(app), *port, "O0000001"]) == 0
        known = capsys.readouterr().out
        assert "features_from='table'" in known
        assert ": inventory.csv, line " in known
        assert run(["explain", *folders(app), *port, "--record", str(tmp_path / "new.json"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["explanation"]["features"]["inventory"]["row"] is None
        assert run(["explain", *folders(app), *port, "O0000001", "x"]) == 2
        assert run(["explain", *folders(app), *port]) == 2
