"""Records that are more than a key: each field typed and in its range, or refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from scoreline.app.columns import Boolean, Category, Integer, Number, Text
from scoreline.predictor import Options, Sent
from scoreline.serving.codecs.json_body import JsonCodec
from scoreline.serving.problems import Problem
from scoreline.serving.records import RequestSchema

TYPES = {
    "id": Text(),
    "score": Integer(minimum=300, maximum=850),
    "count": Integer(),
    "income": Number(minimum=0, maximum=1e7),
    "any-number": Number(),
    "member": Boolean(),
    "housing": Category("own", "rent"),
    "years": Number(minimum=0, optional=True),
    "visits": Integer(maximum=5, optional=True),
    "student": Boolean(optional=True),
    "plan": Category("A", "B", optional=True),
    "note": Text(optional=True),
}
SCHEMA = RequestSchema(TYPES, ("card_ids", Text()), keys_alone=False, key=("id",))
BY_NUMBER = RequestSchema({"id": Text()}, ("nos", Integer()), keys_alone=False)
KEYS = RequestSchema({"order_id": Text(), "no": Integer()})
GOOD = {
    "id": "00501",
    "score": 700,
    "count": -3,
    "income": 52_000.5,
    "any-number": -1e300,
    "member": True,
    "housing": "rent",
}
OPTIONAL = {"years": 2.5, "visits": 5, "student": False, "plan": "B", "note": "n"}


def decode_json(schema, body):
    """Return what a JSON body holds."""
    return JsonCodec().decode(schema, body, {}, batch=False)


def decode(record, schema=SCHEMA):
    """Decode one record, given as it is or as JSON text."""
    text = record if isinstance(record, (str, bytes)) else json.dumps(record)
    found = decode_json(schema, text if isinstance(text, bytes) else text.encode())
    if isinstance(found, Problem):
        return found
    (only,) = found.records
    return only


def with_field(name, text):
    """Return a good record as JSON, with one field as a client wrote it."""
    return json.dumps({**GOOD, **OPTIONAL, name: "HERE"}).replace('"HERE"', text)


def refusal(record, schema=SCHEMA):
    """Return field and detail of the one problem of a record; it is the same beside others."""
    found = decode(record, schema)
    assert isinstance(found, Problem), found
    assert (found.status, found.index) == (400, None)
    return found.field, found.detail


def test_a_good_record_is_its_values_in_declared_order():
    assert decode({**GOOD, **OPTIONAL}) == Sent(
        ("00501", 700, -3, 52_000.5, -1e300, True, "rent", 2.5, 5, False, "B", "n"), Options()
    )


@pytest.mark.parametrize("absent", [dict.fromkeys(OPTIONAL), {}], ids=["null", "missing"])
def test_what_is_optional_may_be_null_or_missing(absent):
    assert decode({**GOOD, **absent}).values[7:] == (None, None, None, None, None)


@pytest.mark.parametrize("name", GOOD)
def test_what_is_not_optional_may_be_neither(name):
    field, detail = refusal({key: value for key, value in GOOD.items() if key != name})
    assert (field, detail.endswith("it is missing")) == (name, True)
    field, detail = refusal({**GOOD, name: None})
    assert (field, detail.endswith("got null.")) == (name, True)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("score", "300", 300),
        ("score", "850", 850),
        ("score", "700.0", 700),
        ("score", "7e2", 700),
        ("count", "-9223372036854775808", -(2**63)),
        ("count", "9223372036854775807", 2**63 - 1),
        ("count", "-0.0", 0),
        ("visits", "5", 5),
        ("visits", "-1e3", -1000),
        ("income", "0", 0.0),
        ("income", "10000000", 1e7),
        ("income", "1e7", 1e7),
        ("any-number", "9007199254740993", float(2**53)),
        ("any-number", "-1.7976931348623157e308", -1.7976931348623157e308),
        ("any-number", "5e-324", 5e-324),
        ("any-number", "1e-999", 0.0),
        ("id", '"\\u00e9\\u0000"', "é\0"),
        ("plan", '"A"', "A"),
    ],
)
def test_these_values_are_good_alone_and_beside_a_bad_record(name, text, value):
    record = with_field(name, text)
    place = list(TYPES).index(name)
    alone = decode(record).values[place]
    beside = decode_json(SCHEMA, f"[{record}, 7]".encode()).records[0].values[place]
    assert (alone, type(alone)) == (value, type(value))
    assert (beside, type(beside)) == (value, type(value))


BAD = [
    ("score", "299", "expected a whole number from 300 to 850, got 299."),
    ("score", "851", "expected a whole number from 300 to 850, got 851."),
    ("score", "-700", "expected a whole number from 300 to 850, got -700."),
    ("score", "700.5", "expected a whole number from 300 to 850, got 700.5."),
    ("score", "1e30", "expected a whole number from 300 to 850, got 1000000"),
    ("score", "true", "expected a whole number from 300 to 850, got true or false."),
    ("score", '"700"', "expected a whole number from 300 to 850, got text."),
    ("score", "[700]", "expected a whole number from 300 to 850, got a list."),
    ("score", "{}", "expected a whole number from 300 to 850, got an object."),
    ("count", "9223372036854775808", "64 bits"),
    ("count", "-9223372036854775809", "64 bits"),
    ("count", "1e19", "64 bits"),
    ("visits", "6", "expected a whole number of at most 5, got 6."),
    ("income", "-0.01", "expected a number from 0 to 10000000.0, got -0.01."),
    ("income", "10000000.01", "expected a number from 0 to 10000000.0, got 10000000.01."),
    ("income", "false", "expected a number from 0 to 10000000.0, got true or false."),
    ("income", '"1"', "expected a number from 0 to 10000000.0, got text."),
    ("years", "-1", "expected a number of at least 0, got -1.0."),
    ("any-number", "true", "expected a number, for example 12.5, got true or false."),
    ("member", "1", "expected true or false, got a number."),
    ("member", '"true"', "expected true or false, got text."),
    ("student", "0", "expected true or false, got a number."),
    ("housing", '"Rent"', "expected one of own, rent, got text."),
    ("housing", '""', "expected one of own, rent, got text."),
    ("housing", "0", "expected one of own, rent, got a number."),
    ("plan", '"C"', "expected one of A, B, got text."),
    ("id", "501", "expected text, got a number. Send it in quotes: keys keep their leading zeros."),
    ("id", "true", "expected text, got true or false."),
    ("note", "5", "expected text, got a number. Send it in quotes."),
]


@pytest.mark.parametrize(("name", "text", "says"), BAD)
def test_these_values_are_refused_by_name_alone_and_beside_a_good_record(name, text, says):
    record = with_field(name, text)
    field, detail = refusal(record)
    assert field == name
    assert detail.startswith(f"{name}: expected ")
    assert says in detail
    beside = decode_json(SCHEMA, f"[{json.dumps(GOOD)}, {record}]".encode()).records
    assert isinstance(beside[0], Sent)
    assert (beside[1].field, beside[1].detail, beside[1].index) == (name, detail, 1)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "nan", "+1", "01", ".5", "1.", "0x10", "1_000"])
def test_what_is_no_json_number_makes_the_body_unreadable(number):
    found = decode_json(SCHEMA, with_field("income", number).encode())
    assert isinstance(found, Problem)
    assert (found.kind, found.status) == ("bad-body", 400)


@pytest.mark.parametrize("name", ["score", "income", "any-number", "years"])
@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e400", "1" + "0" * 400])
def test_a_number_beyond_every_float_is_refused(name, number):
    for body in (with_field(name, number), f"[{with_field(name, number)}, {json.dumps(GOOD)}]"):
        found = decode_json(SCHEMA, body.encode())
        assert isinstance(found, Problem) or isinstance(found.records[0], Problem), found


@pytest.mark.parametrize("record", ["7", '"text"', "null", "true"])
def test_what_is_no_object_is_refused(record):
    found = decode_json(SCHEMA, f"[{record}, {json.dumps(GOOD)}]".encode()).records[0]
    assert found.detail.startswith(f"expected an object with {', '.join(TYPES)}, got ")


@pytest.mark.parametrize(("row", "got"), [("[]", 0), ("[[]]", 1), ("[1, 2, 3]", 3)])
def test_a_list_of_another_length_is_refused_with_the_columns_in_order(row, got):
    found = decode_json(SCHEMA, f"[{row}]".encode()).records[0]
    assert (found.detail, found.index) == (f"expected 12 values ({', '.join(TYPES)}), got {got}", 0)


def test_fields_that_are_not_asked_for_are_passed_over():
    assert decode({**GOOD, "age": 44, "topp": "x"}) == decode(GOOD)


def test_the_first_field_in_declared_order_is_named_where_several_are_bad():
    assert refusal({**GOOD, "housing": 1, "score": 1})[0] == "score"


# Options in the body


@pytest.mark.parametrize(
    ("sent", "options"),
    [
        ({}, Options()),
        ({"top": 3}, Options(top=3)),
        ({"top": None, "card_ids": None}, Options()),
        ({"card_ids": ["b", "a", "b"]}, Options(keys=("b", "a", "b"))),
        ({"top": 10**30, "card_ids": [""]}, Options(10**30, ("",))),
    ],
)
def test_options_come_with_their_record(sent, options):
    assert decode({**GOOD, **sent}).options == options
    beside = decode_json(SCHEMA, json.dumps([{**GOOD, **sent}, GOOD, 7]).encode()).records
    assert (beside[0].options, beside[1].options) == (options, Options())


@pytest.mark.parametrize(
    ("sent", "field", "says"),
    [
        ({"top": 0}, "top", "expected a whole number above 0"),
        ({"top": -1}, "top", "expected a whole number above 0"),
        ({"top": 1.5}, "top", "expected a whole number above 0"),
        ({"top": "3"}, "top", "expected a whole number above 0"),
        ({"top": True}, "top", "expected a whole number above 0"),
        ({"card_ids": "a"}, "card_ids", "expected a list of text keys"),
        ({"card_ids": [1]}, "card_ids", "expected a list of text keys"),
        ({"card_ids": [None]}, "card_ids", "expected a list of text keys"),
        ({"card_ids": {"a": 1}}, "card_ids", "expected a list of text keys"),
    ],
)
def test_bad_options_cost_their_record(sent, field, says):
    found = decode({**GOOD, **sent})
    assert (found.kind, found.field) == ("bad-option", field)
    assert says in found.detail


def test_keys_that_are_numbers_are_sent_as_numbers():
    assert decode({"id": "a", "nos": [3, -1]}, BY_NUMBER).options == Options(keys=(3, -1))
    for bad in (["3"], [True], [1.5]):
        assert decode({"id": "a", "nos": bad}, BY_NUMBER).field == "nos"


def test_an_empty_list_of_keys_is_told():  # it would be a reply about nothing
    assert refusal({**GOOD, "card_ids": []}) == ("card_ids", "card_ids: expected at least one key")
    asked = SCHEMA.read_options({"card_ids": ""}, "query", strict=True)
    assert (asked.status, asked.detail) == (400, "query, card_ids: expected at least one key")


def test_a_key_that_is_empty_is_refused_as_in_a_table():
    assert refusal({**GOOD, "id": ""}) == ("id", "id: a key can't be empty")


def test_a_number_with_very_many_digits_is_not_given_back_whole():
    field, detail = refusal({**GOOD, "score": int("9" * 400)})
    assert (field, len(detail) < 200) == ("score", True)


# Options as text


@pytest.mark.parametrize(
    ("given_", "options"),
    [
        ({}, Options()),
        ({"top": "3"}, Options(top=3)),
        ({"top": "007"}, Options(top=7)),
        ({"card_ids": "b,a"}, Options(keys=("b", "a"))),
        ({"card_ids": "b,,a,"}, Options(keys=("b", "a"))),
    ],
)
def test_options_are_read_from_text(given_, options):
    assert SCHEMA.read_options(given_, "query", strict=True) == options


def test_a_top_of_any_length_is_read():
    assert SCHEMA.read_options({"top": "9" * 5_000}, "query", strict=True).top > 10**16


@pytest.mark.parametrize("top", ["0", "-1", "+1", "1.0", "three", "", " 3", "3 ", "²", "٣", "1e2", "0" * 5_000])
def test_a_top_that_is_no_number_above_0_is_refused(top):
    found = SCHEMA.read_options({"top": top}, "query", strict=True)
    assert (found.kind, found.field, found.status) == ("bad-option", "top", 400)
    assert found.detail == "query, top: expected a whole number above 0"


def test_an_unknown_option_is_refused_with_a_hint_where_nobody_else_puts_any():
    found = SCHEMA.read_options({"card_id": "a"}, "query", strict=True)
    assert found.detail == (
        "query: there is no option of that name. Did you mean 'card_ids'? Expected top, card_ids or explain."
    )
    assert SCHEMA.read_options({"card_id": "a", "trace": "x"}, "header", strict=False) == Options()


def test_keys_that_are_numbers_are_read_from_text():
    assert BY_NUMBER.read_options({"nos": "3,-1,007"}, "query", strict=True) == Options(keys=(3, -1, 7))


@pytest.mark.parametrize("nos", ["a", "1,b", "--1", "-", "1-2", "1.0", "+1", "²", " 1", "9" * 5_000])
def test_keys_that_are_no_numbers_are_refused(nos):
    found = BY_NUMBER.read_options({"nos": nos}, "query", strict=True)
    assert (found.kind, found.field) == ("bad-option", "nos")


def test_without_a_table_to_choose_from_there_are_no_options():
    alone = RequestSchema({"id": Text()}, keys_alone=False)
    assert alone.read_options({"top": "x"}, "query", strict=True) == Options()
    assert decode({"id": "a", "top": "x"}, alone) == Sent(("a",), Options())


# The two passes: all records at once by their types, or one by one to say what is wrong

_odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.integers(290, 860)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-900, 900).map(float)
    | st.sampled_from(["own", "rent", "A", "B", "", "x", 5, 5.5, 6, 5.0, 2**63, -(2**63), 1e7, 1.5e308])
    | st.lists(st.sampled_from(["a", 1, None, True]), max_size=2)
    | st.just({})
)
_records = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(TYPES, _odd), "top": _odd, "card_ids": _odd, "nos": _odd, "more": _odd}
).flatmap(lambda odd: st.sampled_from([odd, {**GOOD, **dict(list(odd.items())[:1])}, {**GOOD, **odd}]))


@bounded(max_examples=600, deadline=None)
@given(record=_records)
@example(record={**GOOD, "top": 3.0})
@example(record={**GOOD, "score": 700.0})
@example(record={**GOOD, "count": 1e19})
@example(record={**GOOD, "any-number": 10**400})
def test_a_record_is_taken_alike_alone_in_a_list_and_beside_a_bad_one(record):
    text = json.dumps(record)
    alone = decode_json(SCHEMA, text.encode())
    listed = decode_json(SCHEMA, f"[{text}]".encode())
    beside = decode_json(SCHEMA, f"[{text}, 7]".encode())
    if isinstance(alone, Problem):  # a number that no float holds: the body can't be read
        assert isinstance(listed, Problem)
        assert isinstance(beside, Problem)
        return
    found = [alone.records[0], listed.records[0], beside.records[0]]
    if isinstance(found[0], Problem):
        assert found[0].describe().items() <= found[1].describe().items()
        assert found[1] == found[2]
        assert found[1].index == 0
    else:
        assert found[0] == found[1] == found[2]
        assert [[type(value) for value in one.values] for one in found[1:]] == [[type(v) for v in found[0].values]] * 2


@bounded(max_examples=300, deadline=None)
@given(record=st.fixed_dictionaries({}, optional={"order_id": _odd, "no": _odd, "more": _odd}))
@example(record={"order_id": "a", "no": 7.0})
@example(record={"order_id": "a", "no": 2**63})
def test_a_key_is_taken_alike_alone_and_beside_a_bad_one(record):
    text = json.dumps(record)
    alone, beside = decode_json(KEYS, text.encode()), decode_json(KEYS, f"[{text}, 7]".encode())
    if isinstance(alone, Problem) or isinstance(beside, Problem):
        assert isinstance(alone, Problem)
        assert isinstance(beside, Problem)
    elif isinstance(alone.records[0], Problem):
        assert alone.records[0].describe().items() <= beside.records[0].describe().items()
    else:
        assert alone.records[0] == beside.records[0]


@pytest.mark.parametrize(("text", "key"), [("5.0", 5), ("-0.0", 0), ("5e0", 5), ("9007199254740992.0", 2**53)])
@pytest.mark.parametrize("form", ['{"order_id": "a", "no": %s}', '{"instances": [["a", %s]]}'])
def test_a_key_may_be_a_whole_number_with_a_point(form, text, key):
    (taken,) = decode_json(KEYS, (form % text).encode()).records
    assert (taken, type(taken[1])) == (("a", key), int)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("5.5", "5.5"),
        ("9007199254740994.0", "9007199254740994.0"),
        ("1e300", "1e+300"),
        ("true", "true or false"),
        ('"5"', "text"),
    ],
)
def test_a_key_that_is_no_whole_number_is_told_what_is_expected(text, got):
    field, detail = refusal('{"order_id": "a", "no": ' + text + "}", KEYS)
    assert (field, detail) == ("no", f"no: expected a whole number, for example 3, got {got}.")


def test_a_key_of_a_request_that_was_rounded_is_refused():  # it would find another's row
    schema = RequestSchema({"id": Integer(), "count": Integer()}, keys_alone=False, key=("id",))
    assert decode({"id": 5.0, "count": 2.0**60}, schema) == Sent((5, 2**60))
    assert decode({"id": 2.0**60, "count": 5.0}, schema).field == "id"
