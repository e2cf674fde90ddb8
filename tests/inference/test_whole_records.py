"""`scoreline inference` of an app that is sent whole records: the rows of the request's table, in its order."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from offers import LAST_LINE, Workshop, made_up_tables
from servers import serving

from scoreline.predictor import LiveScorer, Predictor, Sent

PEOPLE = [
    ["P3", 60, 50_000, 3.5, "own", "north"],
    ["P1", 0, 0, None, None, "east"],
    ["P2", 100, 1e7, 0, "rent", "007"],
]
SENT = [
    {"person_id": "P3", "score": 60, "income": 50_000.0, "years": 3.5, "home": "own", "region": "north"},
    {"person_id": "P1", "score": 0, "income": 0.0, "years": None, "home": None, "region": "east"},
    {"person_id": "P2", "score": 100, "income": 1e7, "years": 0.0, "home": "rent", "region": "007"},
]
SUMMARY = """
app.summary("renters with an offer", lambda home, offered: (home == "rent") & (offered > 0))
app.summary("of unknown years", lambda years: np.isnan(years))
app.summary("with twice the score", lambda score: score >= 60)
"""


@pytest.fixture
def workshop(tmp_path):
    """Give the app with three people, and no features or model: what the client needs."""
    made = Workshop(tmp_path / "offers")
    made.load((LAST_LINE, LAST_LINE + SUMMARY))
    made.write(people=PEOPLE)
    return made


@pytest.fixture
def one_at_a_time(monkeypatch):
    monkeypatch.setenv("SCORELINE_CONCURRENCY", "1")


def reply_to(record, number):
    """Answer as the app would, with a list that is the longer the later a record comes."""
    offers = [{"offer_id": f"O{n}", "odds": 0.5} for n in range(number)]
    return 200, {"person_id": record["person_id"], "years": record["years"], "offered": number - 1, "offers": offers}


def test_whole_records_are_sent_in_the_order_of_the_file_with_nulls_where_nothing_is_known(
    workshop, tiny, infer, one_at_a_time
):
    came = []
    server = tiny(lambda record, number: (came.append(record), reply_to(record, number))[1])
    code, lines, _, _ = infer(workshop.folder, server.url)
    assert code == 0
    assert came == SENT
    assert [[type(value) for value in record.values()] for record in came] == [
        [type(value) for value in record.values()] for record in SENT
    ]
    assert lines == [reply_to(record, number)[1] for number, record in enumerate(SENT, start=1)]


def test_summaries_are_over_what_was_sent_and_what_came_back(workshop, tiny, infer, one_at_a_time):
    _, _, out, _ = infer(workshop.folder, tiny(reply_to).url)
    assert "  3 records scored, 0 errors\n" in out
    assert "  renters with an offer: 1\n" in out
    assert "  of unknown years: 1\n" in out
    assert "  with twice the score: 2\n" in out


def test_people_whose_row_can_not_be_read_are_set_aside_and_counted(workshop, tiny, infer):
    bad = [["P4", 101, 1, 1, "own", "x"], ["P5", 50, -1, 1, "own", "x"], ["P6", "high", 1, 1, "own", "x"], PEOPLE[0]]
    workshop.write(people=[*bad[:2], *PEOPLE, *bad[2:]])
    code, lines, out, _ = infer(workshop.folder, tiny(reply_to).url)
    assert code == 0
    assert [line["person_id"] for line in lines] == ["P3", "P1", "P2"]
    assert "3 records scored, 0 errors; 4 rows of the file set aside" in out


def test_a_person_who_could_not_be_scored_is_a_line_with_the_key_and_the_error(workshop, tiny, infer):
    problem = {"type": "urn:scoreline:problem:bad-record", "title": "no", "status": 400, "detail": "home: is missing"}
    server = tiny(lambda record, number: (400, problem) if record["home"] is None else reply_to(record, number))
    code, lines, out, _ = infer(workshop.folder, server.url)
    assert code == 1
    assert lines[1] == {"person_id": "P1", "error": problem}
    assert "2 records scored, 1 errors" in out
    assert "the first error: home: is missing" in out


def test_the_history_is_not_read(workshop, tiny, infer):
    """Only people.csv is there: no applied.csv, no reference table."""
    assert {path.name for path in workshop.data.iterdir()} == {"people.csv"}
    assert infer(workshop.folder, tiny(reply_to).url)[0] == 0


def test_without_the_file_of_the_requests_table_it_says_so(workshop, tiny, infer):
    (workshop.data / "people.csv").unlink()
    code, lines, _, err = infer(workshop.folder, tiny(reply_to).url)
    assert (code, lines) == (1, None)
    assert "table 'people': no file in" in err


def test_long_lists_are_written_and_not_kept(workshop, tiny, infer, one_at_a_time):
    """60 replies of 500 offers each would be more than 10 MB in memory."""
    offers = [{"offer_id": f"O{n}", "title": f"Title of {n}", "odds": n / 500} for n in range(500)]
    body = json.dumps({"person_id": "P", "years": None, "offered": 500, "offers": offers})

    def answer(record, number):
        if record["person_id"] == "P0":
            tracemalloc.reset_peak()  # reading the file took a large buffer
        return 200, body

    workshop.write(people=[[f"P{n}", *PEOPLE[0][1:]] for n in range(60)])
    tracemalloc.start()
    try:
        code, _, _, _ = infer(workshop.folder, tiny(answer).url, read=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert code == 0
    assert peak < 5_000_000


@pytest.mark.slow
def test_a_real_server_answers_each_person_with_the_offers(tmp_path, infer):
    made = Workshop(tmp_path / "offers")
    app = made.load((LAST_LINE, LAST_LINE + SUMMARY))
    unlike = ["P4", 50, None, None, "tent", "north"]
    made.write(people=[*PEOPLE, unlike], **made_up_tables(0, applications=400))
    made.build(app)
    made.train(app)
    artifact = made.artifact()
    expected = LiveScorer(app, artifact, Predictor(app, artifact), made.tables(app)).score(
        [Sent(tuple(record.values())) for record in SENT]
    )
    with serving(made.folder, made.folder, tmp_path / "server", "--data", str(made.data), "--workers", "1") as server:
        code, lines, out, _ = infer(made.folder, server.url)
    assert code == 1
    assert lines[:3] == expected
    assert [len(line["offers"]) > 3 for line in lines[:3]] == [True, True, True]
    assert (lines[3]["person_id"], lines[3]["error"]["status"], lines[3]["error"]["field"]) == ("P4", 400, "income")
    assert "3 records scored, 1 errors" in out
    assert "  renters with an offer: 1\n" in out
