"""Mistakes in an app that is sent whole records: reference tables, the request, rules between features, the reply."""

from __future__ import annotations

import pytest
from offers import AS_ROWS, LAST_LINE, OFFERS_APP

from scoreline.app.load import load_app


def mistake(name, right, wrong, at, *says):
    """Say of one mistake: what stands in its place, a piece of the line that is named, what the message says."""
    return pytest.param(right, wrong, at, says, id=name)


OFFERS = '"offers", key="offer_id", rows=(1, 1_000),'
ODDS = 'app.head(\n    "odds"'

TABLES = [
    mistake("rows-that-are-a-list", OFFERS, '"offers", key="offer_id", rows=[1, 9],', "offers = app.",
            "reference table 'offers'", "expected rows=(fewest, most), two whole numbers from 1 on, got [1, 9]"),
    mistake("rows-from-none", OFFERS, '"offers", key="offer_id", rows=(0, 9),', "offers = app.",
            "reference table 'offers'", "expected rows=(fewest, most)", "from 1 on, got (0, 9)"),
    mistake("rows-the-wrong-way-round", OFFERS, '"offers", key="offer_id", rows=(9, 1),', "offers = app.",
            "reference table 'offers'", "got (9, 1)"),
    mistake("rows-that-are-no-whole-numbers", OFFERS, '"offers", key="offer_id", rows=(1, 1e3),', "offers = app.",
            "reference table 'offers'", "got (1, 1000.0)"),
    mistake("no-rows", OFFERS, '"offers", key="offer_id",', "offers = app.", "TypeError", "'rows'"),
    mistake("an-age-in-hours", OFFERS, OFFERS + ' stale_after_s="24h",', "offers = app.",
            "reference table 'offers'", "stale_after_s= a whole number of seconds above 0, got '24h'"),
    mistake("no-age-at-all", OFFERS, OFFERS + " stale_after_s=0,", "offers = app.",
            "reference table 'offers'", "a whole number of seconds above 0, got 0"),
    mistake("a-key-that-is-not-declared", OFFERS, '"offers", key="offer", rows=(1, 9),', "offers = app.",
            "table 'offers', key: no column 'offer'", "Did you mean 'offer_id'?"),
    mistake("a-reference-table-twice", '"lenders", key="lender"', '"offers", key="lender"', "lenders = app.",
            "table 'offers' is declared twice"),
    mistake("a-reference-table-with-a-time", OFFERS, OFFERS + ' time="since",', "offers = app.", "TypeError", "'time'"),
    mistake("a-range-the-wrong-way-round", '"fee": Number(minimum=0)', '"fee": Number(minimum=2, maximum=1)',
            '"offer_id": Text, "lender"', "Number: minimum=2 is above maximum=1"),
    mistake("a-route-of-ours", 'App("offers")', 'App("offers", refresh_route="/ping")', "app = ",
            "expected refresh_route= a path", "not one of /ping, /invocations, /", "got '/ping'"),
    mistake("a-route-without-its-slash", 'App("offers")', 'App("offers", refresh_route="updatedata")', "app = ",
            "expected refresh_route= a path such as '/updatecards'", "got 'updatedata'"),
]  # fmt: skip

CHAINED = [
    mistake(
        "a-table-that-is-matched-by-nothing", "    lender=lookup(offers.lender),\n", "", "app.features(",
        "table 'lenders' is matched by 'lender', which the spine 'applied' does not have",
    ),
    mistake(
        "a-table-that-is-matched-by-a-function", "lender=lookup(offers.lender)", "lender=income", "app.features(",
        "table 'lenders' is matched by 'lender'", "expected a feature made with lookup(...)",
    ),
    mistake(
        "a-table-that-is-matched-by-another-type", "lender=lookup(offers.lender)", "lender=lookup(offers.fee)",
        "app.features(", "'lender' is number as a feature and text in 'lenders'", "declare both alike",
    ),
    mistake(
        "a-table-that-is-matched-by-the-spines-other-type", '"lenders", key="lender", rows=(1, 100),\n    columns={',
        '"lenders", key=["lender", "score"], rows=(1, 100),\n    columns={"score": Text, ', "app.features(",
        "'score' is integer in 'applied' and text in 'lenders'", "declare both alike",
    ),
    mistake(
        "a-table-that-is-no-reference-table",
        'lenders = app.reference_table(\n    "lenders", key="lender", rows=(1, 100),',
        'lenders = app.table(\n    "lenders", key="lender",', "app.features(",
        "table 'lenders' is matched by lender, which is no column of the spine but a feature",
        "that is for reference tables alone",
    ),
    mistake(
        "a-table-two-steps-away", "strict=lookup(lenders.strict),",
        "strict=lookup(lenders.strict), anthem=lookup(app.reference_table('anthems', key='country', rows=(1, 9), "
        "columns={'country': Text, 'anthem': Text}).anthem),",
        "app.features(", "table 'anthems' is matched by 'country'", "in a table that the spine itself matches",
    ),
]  # fmt: skip

RULES = [
    mistake("another-feature-that-is-none", 'feature("least_income")', 'feature("least_incme")', "app.head(",
            "rule 'too_poor', 'income'", "no feature 'least_incme'", "Did you mean 'least_income'?"),
    mistake("another-feature-that-has-no-name", 'feature("least_income")', "feature(3)", 'Rule("too_poor"',
            "feature(...) takes a feature's name", "got 3"),
    mistake("a-number-against-a-category", 'feature("least_income")', 'feature("country")', "app.head(",
            "rule 'too_poor', 'income'", "number can't be compared with category 'country' by <", "two numbers"),
    mistake("a-number-against-text", 'feature("least_income")', 'feature("lender")', "app.head(",
            "number can't be compared with text 'lender' by <"),
    mistake("two-booleans-in-an-order", '("strict", "==", feature("secured"))', '("strict", "<", feature("secured"))',
            "app.head(", "rule 'far_below', 'strict'", "boolean can't be compared with boolean 'secured' by <"),
    mistake("two-categories-with-other-values", '("country", "!=", "US")', '("country", "!=", feature("kind"))',
            "app.head(", "category can't be compared with category 'kind' by !=", "between two features of one type"),
]  # fmt: skip

LEARNED = [
    mistake("a-direction-that-is-none", 'monotonic={"margin": 1}', 'monotonic={"margin": "up"}', ODDS,
            "head 'odds'", "expected monotonic={input: 1 or -1}, got {'margin': 'up'}."),
    mistake("a-direction-of-what-is-no-input", 'monotonic={"margin": 1}', 'monotonic={"margn": 1}', ODDS,
            "head 'odds'", "got {'margn': 1}", "Did you mean 'margin'?"),
    mistake("a-direction-of-a-feature-that-is-no-input", 'monotonic={"margin": 1}', 'monotonic={"score": 1}', ODDS,
            "head 'odds'", "expected monotonic={input: 1 or -1}, got {'score': 1}"),
    mistake("a-direction-of-a-category", 'monotonic={"margin": 1}', 'monotonic={"home": 1}', ODDS,
            "head 'odds'", "monotonic input 'home' is a category", "no order"),
    mistake("knock-outs-that-are-no-head", 'knock_outs="lenders_word"', 'knock_outs="lender_word"', ODDS,
            "head 'odds'", "the name of a rules head declared before, got 'lender_word'",
            "Did you mean 'lenders_word'?"),
    mistake("knock-outs-that-are-the-head-itself", 'knock_outs="lenders_word"', 'knock_outs="odds"', ODDS,
            "head 'odds'", "the name of a rules head declared before, got 'odds'"),
    mistake("a-report-by-an-unknown-feature", 'report_by="kind"', 'report_by="kinds"', ODDS,
            "head 'odds'", "no feature 'kinds'", "Did you mean 'kind'?"),
    mistake("rules-with-knock-outs", '    rules=[\n', '    knock_outs="x", rules=[\n',
            'app.head(\n    "lenders_word"', "head 'lenders_word'", "not both"),
]  # fmt: skip
REQUEST = [
    mistake("a-request-that-is-no-table", "app.request(people,", 'app.request("people",', "app.request(",
            "request: expected a table of this app, whose columns a client sends, got 'people'"),
    mistake(
        "a-request-that-is-another-apps-table", "app.request(people,",
        "app.request(App('b').table('people', key='k', columns={'k': Text}),", "app.request(",
        "request: Table('people') is a table of another app",
    ),
    mistake("each-of-a-table-that-is-not-held", "each=offers", "each=applied", "app.request(",
            "request: expected each= a reference table, got Table('applied')"),
    mistake("each-that-the-spine-does-not-name", "each=offers", "each=lenders", "app.request(",
            "expected each='lenders' to have one key column that the spine 'applied' has too, its key is lender"),
    mistake("where-of-an-unknown-feature", 'where="open_here"', 'where="open_her"', "app.request(",
            "expected where= a Boolean feature, beside each=, got 'open_her'", "Did you mean 'open_here'?"),
    mistake("where-of-a-number", 'where="open_here"', 'where="fee"', "app.request(",
            "expected where= a Boolean feature, beside each=, got 'fee'."),
    mistake(
        "where-without-each", "app.request(people, each=offers",
        "app.request(app.table('one', key='person_id', columns=PERSON | {'offer_id': Text})", "app.request(",
        "expected where= a Boolean feature, beside each=, got 'open_here'",
    ),
    mistake(
        "a-feature-that-a-request-can-not-bring", "app.request(people",
        "app.request(app.table('few', key='person_id', columns={'person_id': Text, 'scor': Integer})", "app.request(",
        "request: feature 'score' is made from 'score' of 'applied', which a request does not have",
        "Did you mean 'scor'?", "A request has: person_id, scor, offer_id",
    ),
    mistake(
        "a-column-with-another-range", "app.request(people",
        "app.request(app.table('few', key='person_id', columns=PERSON | {'score': Integer(minimum=1, maximum=100)})",
        "app.request(", "'score' is declared otherwise in 'few' than in 'applied'", "declare both alike",
    ),
    mistake(
        "a-column-that-is-time", "app.request(people",
        "app.request(app.table('when', key='person_id', columns=PERSON | {'at': Time})", "app.request(",
        "request: column 'at' is time", "requests take text, numbers, booleans and categories",
    ),
    mistake(
        "a-column-with-the-name-of-an-option", "app.request(people",
        "app.request(app.table('odd', key='person_id', columns=PERSON | {'top': Integer})", "app.request(",
        "the column 'top' of 'odd' has the name of an option", "rename it",
    ),
    mistake(
        "a-column-with-the-name-of-the-keys-option", "app.request(people",
        "app.request(app.table('odd', key='person_id', columns=PERSON | {'offer_ids': Text})", "app.request(",
        "the column 'offer_ids' of 'odd' has the name of an option",
    ),
    mistake("a-request-twice", "app.reply(", "app.request(people)\napp.reply(", "app.request(people)\n",
            "request is declared twice"),
    mistake("a-request-after-the-reply", "app.csv_reply(", "app._request = None\napp.request(people)\napp.csv_reply(",
            "app.request(people)\n", "request is declared after reply", "before"),
]  # fmt: skip

REPLY = [
    mistake("ranked-by-a-field-that-is-none", 'by="odds",', 'by="odd",', "app.reply(",
            "reply field 'offers'", "expected by= one of its probability fields, got 'odd'", "Did you mean 'odds'?"),
    mistake("ranked-by-a-column", 'by="odds",', 'by="title",', "app.reply(",
            "expected by= one of its probability fields, got 'title'"),
    mistake("an-entry-from-another-table", "title=offers.title", "title=lenders.country", "app.reply(",
            "reply field 'offers.title'", "lenders.country is not a column of 'offers'", "offer_id, lender, title"),
    mistake("an-entry-of-a-head-that-is-none", 'decision("lenders_word")', 'decision("lender_word")', "app.reply(",
            "reply field 'offers.word'", "no head 'lender_word'", "Did you mean 'lenders_word'?"),
    mistake("an-entry-that-is-text", "title=offers.title", 'title="title"', "app.reply(",
            "reply field 'offers.title'", "expected a column, decision()", "got 'title'"),
    mistake("a-band-of-rules", 'band("odds"', 'band("lenders_word"', "app.reply(",
            "reply field 'offers.band'", "band('lenders_word') needs a learned head"),
    mistake("support-of-rules", 'outside_support("odds")', 'outside_support("lenders_word")', "app.reply(",
            "outside_support('lenders_word') needs a learned head"),
    mistake("a-reason-of-a-learned-head", 'reason("lenders_word", ', 'reason("odds", ', "app.reply(",
            "reason('odds') needs a rules head"),
    mistake("bands-from-the-lowest", '{"good": 0.5, "bad": 0}', '{"bad": 0, "good": 0.5}', '        band=band(',
            "band('odds')", "expected {name: lowest probability}, highest first and the last from 0"),
    mistake("bands-that-leave-the-lowest-out", '{"good": 0.5, "bad": 0}', '{"good": 0.5, "bad": 0.1}',
            '        band=band(', "the last from 0, got {'good': 0.5, 'bad': 0.1}"),
    mistake("two-bands-from-one-probability", '{"good": 0.5, "bad": 0}', '{"good": 0, "bad": 0}', '        band=band(',
            "highest first and the last from 0"),
    mistake("bands-that-are-text", '{"good": 0.5, "bad": 0}', '{"good": "high", "bad": 0}', '        band=band(',
            "expected {name: lowest probability}, highest first"),
    mistake("bands-that-are-a-list", '{"good": 0.5, "bad": 0}', '["good", "bad"]', '        band=band(',
            "expected {name: lowest probability}, highest first"),
    mistake("bands-of-half-a-digit", '"bad": 0}, digits=2', '"bad": 0}, digits=0.5', '        band=band(',
            "band('odds')", "expected digits= a whole number from 0 to 15, got 0.5"),
    mistake("a-probability-outside-the-list", "years=people.years", 'years=probability("odds")', "app.reply(",
            "reply field 'years'", "expected a column of 'people', ranked(...), offered() or left_out()"),
    mistake("a-column-of-the-spine", "years=people.years", "years=applied.years", "app.reply(",
            "reply field 'years'", "expected a column of 'people'"),
    mistake("two-lists", "years=people.years", 'more=ranked(by="odds", odds=probability("odds"))', "app.reply(",
            "a record is scored against each row of 'offers'", "expected one ranked(...) field"),
    mistake("a-summary-of-a-list", "app.csv_reply(", "app.summary('many', lambda offers: offers > 1)\napp.csv_reply(",
            "app.summary(", "summary 'many'", "takes 'offers'"),
    mistake("a-csv-column-of-a-field-that-is-none", 'best="offers.offer_id"', 'best="offers.offr_id"', "app.csv_reply(",
            "csv_reply column 'best'", "no reply field 'offers.offr_id'", "Did you mean 'offers.offer_id'?",
            "There are: person_id, years, offered, elsewhere, offers, offers.offer_id"),
    mistake("a-csv-column-of-a-whole-list", 'best="offers.offer_id"', 'best="offers"', "app.csv_reply(",
            "'offers' is a list or an object", "a single value"),
    mistake("a-csv-column-of-a-reason", 'best="offers.offer_id"', 'best="offers.why"', "app.csv_reply(",
            "'offers.why' is a list or an object", "a single value"),
    mistake("a-csv-column-of-a-reasons-part", 'best="offers.offer_id"', 'best="offers.why.rule"', "app.csv_reply(",
            "no reply field 'offers.why.rule'"),
    mistake("a-csv-column-inside-a-single-value", 'best="offers.offer_id"', 'best="person_id.x"', "app.csv_reply(",
            "no reply field 'person_id.x'", "Did you mean 'person_id'?"),
    mistake("a-csv-column-that-is-no-path", 'best="offers.offer_id"', "best=offers.offer_id", "app.csv_reply(",
            "csv_reply column 'best'", "no reply field"),
    mistake("a-csv-reply-twice", 'app.csv_reply(', 'app.csv_reply(a="years")\napp.csv_reply(b="years", ',
            "app.csv_reply(b", "csv_reply is declared twice"),
    mistake("a-csv-reply-of-nothing", LAST_LINE, "app.csv_reply()\n",
            "app.csv_reply(", "expected at least one column"),
    mistake("a-csv-reply-before-the-reply", "app.reply(", 'app.csv_reply(a="years")\napp.reply(', "app.csv_reply(a",
            "csv_reply: declare reply(...) before"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "at", "says"), TABLES + CHAINED + RULES + LEARNED + REQUEST + REPLY)
def test_a_mistake_is_refused_with_its_file_line_and_a_way_out(refuses, right, wrong, at, says):
    refuses(OFFERS_APP, right, wrong, at, says)


MORE = {
    "a-feature-that-is-the-newest": (
        "latest(moods.mood)",
        "feature 'extra' is latest(...), which a request has no time for",
        "from the online store",
    ),
    "a-feature-from-a-table-that-is-not-held": (
        "lookup(places.size)",
        "feature 'extra' is looked up in 'places', which a server does not hold",
        "declare that table with app.reference_table(...)",
    ),
}


@pytest.mark.parametrize(("source", "why", "way_out"), MORE.values(), ids=MORE)
def test_a_request_can_not_bring_what_only_the_online_store_has(refuses, source, why, way_out):
    tables = """\
from scoreline import latest
moods = app.table("moods", key="region", time="at", columns={"region": Text, "at": Time, "mood": Number})
places = app.table("places", key="region", columns={"region": Text, "size": Number})

def margin("""
    text = OFFERS_APP.replace("def margin(", tables)
    refuses(
        text,
        "    fee_share=fee_share,",
        f"    extra={source},\n    fee_share=fee_share,",
        "app.request(",
        [why, way_out],
    )


def test_the_app_without_mistakes_is_good(app_folder):
    app = load_app(app_folder(OFFERS_APP))
    assert app.declared_request.select == "offer_ids"
    assert list(app.reference_tables) == ["offers", "lenders"]
    assert app.csv_columns["best"] == ("offers", "offer_id")


def test_a_request_may_be_one_row_that_names_its_offer_itself(app_folder):
    app = load_app(app_folder(OFFERS_APP.replace(*AS_ROWS)))
    assert (app.declared_request.each, app.declared_request.select) == (None, None)
    assert list(app.declared_request.table.spec.columns)[-1] == "offer_id"
