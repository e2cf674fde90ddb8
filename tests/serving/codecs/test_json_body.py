"""JSON bodies: every form that a client may write the same records in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from scoreline.app.columns import Number, Text
from scoreline.predictor import InputRow, Options, Sent
from scoreline.serving.codecs.json_body import JsonCodec
from scoreline.serving.problems import Problem
from scoreline.serving.records import Records, RequestSchema

ORDER = {"id": "007", "count": 2, "price": 9.5, "gift": True, "size": "L"}
VALUES = list(ORDER.values())
SENT = Sent(("007", 2, 9.5, True, "L"))
INPUTS = InputRow((3.0, False))
BAD_BODY = (400, "bad-body")


def decode(schema, content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return JsonCodec().decode(schema, body, {}, batch=False)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        pytest.param(ORDER, "object", id="object"),
        pytest.param([ORDER], "list", id="list"),
        pytest.param([VALUES], "list", id="list-of-lists"),
        pytest.param({"features": VALUES}, "object", id="features"),
        pytest.param([{"features": VALUES}], "list", id="list-of-features"),
        pytest.param({"instances": [ORDER]}, "wrapped", id="instances"),
        pytest.param({"instances": [VALUES]}, "wrapped", id="instances-of-lists"),
        pytest.param({"instances": [{"features": VALUES}]}, "wrapped", id="built-in-features"),
        pytest.param({"instances": [{"data": {"features": {"values": VALUES}}}]}, "wrapped", id="built-in-data"),
        pytest.param({"inputs": [ORDER]}, "wrapped", id="inputs"),
        pytest.param({"inputs": [VALUES], "params": {"x": 1}}, "wrapped", id="inputs-beside-others"),
        pytest.param({"inputs": {name: [value] for name, value in ORDER.items()}}, "wrapped", id="inputs-by-column"),
        pytest.param({"inputs": ORDER}, "wrapped", id="inputs-of-one-record"),
        pytest.param({"dataframe_records": [ORDER]}, "wrapped", id="dataframe-records"),
        pytest.param(
            {"dataframe_split": {"index": [0], "columns": list(ORDER), "data": [VALUES]}}, "wrapped", id="split"
        ),
        pytest.param(
            {"dataframe_split": {"columns": list(ORDER)[::-1], "data": [VALUES[::-1]]}}, "wrapped", id="split-reversed"
        ),
        pytest.param({"dataframe_split": {"data": [VALUES]}}, "wrapped", id="split-without-columns"),
    ],
)
def test_a_record_may_come_in_any_of_these_forms(schema, body, shape):
    assert decode(schema, body) == Records([SENT], shape)


@pytest.mark.parametrize(
    "body",
    [
        {"stock": 3, "is_open": False},
        {"is_open": 0, "stock": 3.0},
        [3, 0],
        {"features": [3, 0.0]},
        {"instances": [[3, False]]},
        {"dataframe_split": {"columns": ["is_open", "stock"], "data": [[False, 3]]}},
        {"stock": 3, "is_open": False, "id": "007", "count": 2},
    ],
)
def test_inputs_of_the_model_are_told_from_requests_by_names_or_by_count(schema, body):
    content = [body] if isinstance(body, list) else body
    assert list(decode(schema, content).records) == [INPUTS]


def test_what_has_all_columns_of_a_request_is_one_whatever_else_it_has(schema):
    assert list(decode(schema, {**ORDER, "stock": 3, "is_open": False}).records) == [SENT]


def test_an_input_may_be_null_but_not_left_out(schema):
    assert list(decode(schema, {"stock": None, "is_open": None}).records) == [InputRow((None, None))]
    (problem,) = decode(schema, {"stock": 1}).records
    assert (problem.field, problem.detail) == ("is_open", "is_open: expected true or false, it is missing")


@pytest.mark.parametrize(
    ("record", "field", "says"),
    [
        ({"stock": "3", "is_open": True}, "stock", "expected a number, for example 12.5, got text."),
        ({"stock": 3, "is_open": 2}, "is_open", "expected true or false, got a number."),
        ({"stock": 3, "is_open": "yes"}, "is_open", "expected true or false, got text."),
        ([3, [1]], "is_open", "expected true or false, got a list."),
        ([7, 2, 9.5, True, "L"], "id", "expected text, got a number. Send it in quotes: keys keep"),
        (["", 2, 9.5, True, "L"], "id", "a key can't be empty"),
        (["007", 2, 9.5, 1, "L"], "gift", "expected true or false, got a number."),
        ({k: v for k, v in ORDER.items() if k != "size"}, "size", "expected one of S, L, it is missing"),
    ],
)
def test_a_value_that_does_not_fit_is_named(schema, record, field, says):
    (problem,) = decode(schema, [record]).records
    assert (problem.status, problem.field, problem.index) == (400, field, 0)
    assert says in problem.detail


def test_bad_records_of_a_wrapper_cost_only_themselves(schema):
    found = decode(schema, {"instances": [ORDER, [1], VALUES, None, {"features": 5}]})
    assert [found.records[0], found.records[2]] == [SENT, SENT]
    assert [(r.index, r.status) for r in found.records if isinstance(r, Problem)] == [(1, 400), (3, 400), (4, 400)]
    assert found.records[1].detail == (
        "expected 5 values (id, count, price, gift, size) or the model's 2 inputs (stock, is_open), got 1"
    )


@pytest.mark.parametrize("beside", [{"keys": [1], "shape": [2]}, {"keys": []}, {"shape": [1, 2]}])
@pytest.mark.parametrize("wrap", [lambda features: {"data": {"features": features}}, lambda f: {"features": f}])
def test_a_sparse_record_is_refused_and_costs_itself(schema, beside, wrap):
    sparse = wrap({"values": [3, False], **beside})
    good, problem = decode(schema, {"instances": [{"features": [3, False]}, sparse]}).records
    assert good == INPUTS
    assert (problem.status, problem.index, problem.field) == (400, 1, "features")
    assert problem.detail == "features: expected dense values, got a sparse record"
    (alone,) = decode(schema, sparse).records
    assert alone.detail == problem.detail


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"instances": ORDER}, "instances: expected a list of records, got an object"),
        (VALUES, "expected a list of records, each an object or a list of values, got a list of values. Put the"),
        (["O1"], "expected a list of records"),
        ([None, 1], "expected a list of records"),
        ({"instances": [0.1, 0.2]}, "instances: expected a list of records, each an object or a list of values, got a"),
        ({"inputs": VALUES}, "inputs: expected a list of records, each"),
        ({"dataframe_split": {"columns": ["stock"], "data": [1]}}, "dataframe_split, data: expected a list of records"),
        ({"instance": [VALUES]}, "instance: there is no wrapper of that name. Did you mean 'instances'?"),
        ({"x": 1, "input": ORDER}, "input: there is no wrapper of that name. Did you mean 'inputs'?"),
        ({"dataframe": {}, "instances_" + "x" * 100: []}, "dataframe: there is no wrapper of that name. Did you mean"),
        ({"instances": 5}, "instances: expected a list of records, got a number"),
        ({"dataframe_records": {"id": ["1"]}}, "dataframe_records: expected a list of records, got an object"),
        ({"instances": [ORDER], "inputs": [ORDER]}, "expected one of instances, inputs, dataframe_records"),
        ({"inputs": {"id": ["1", "2"], "count": [1]}}, "inputs: expected as many values in each column"),
        ({"dataframe_split": [1]}, "dataframe_split: expected {"),
        ({"dataframe_split": {"columns": ["id"]}}, "dataframe_split: expected {"),
        ({"dataframe_split": {"columns": "id", "data": []}}, "columns: expected a list of names"),
        ({"dataframe_split": {"columns": [["id"]], "data": []}}, "columns: expected a list of names"),
    ],
)
def test_a_wrapper_that_holds_something_else_is_refused_as_a_whole(schema, body, says):
    found = decode(schema, body)
    assert (found.status, found.kind) == BAD_BODY
    assert says in found.detail


@pytest.mark.parametrize(
    ("columns", "field", "says"),
    [
        (["id", "count", "price", "gift"], "size", "size: expected a column of that name, it is missing."),
        (["id", "count", "pirce", "gift", "size"], "price", "it is missing. There is 'pirce'."),
        ([*ORDER, "sise"], "sise", "sise: no record has a column of that name. Did you mean 'size'?"),
        ([*ORDER, "id"], "id", "id: expected each column once"),
        (["stock"], "is_open", "is_open: expected a column of that name, it is missing."),
    ],
)
def test_a_column_of_a_frame_that_is_missing_or_unknown_is_named(schema, columns, field, says):
    found = decode(schema, {"dataframe_split": {"columns": columns, "data": [[None] * len(columns)]}})
    assert (found.status, found.kind, found.field) == (400, "bad-column", field)
    assert says in found.detail


def test_columns_that_the_app_knows_are_passed_over_and_optional_ones_may_be_absent(schema):
    columns = ["placed_at", "id", "count", "price", "size"]
    found = decode(schema, {"dataframe_split": {"columns": columns, "data": [["now", "007", 2, 9.5, "L"], ["x"]]}})
    assert found.records[0] == Sent(("007", 2, 9.5, None, "L"))
    assert found.records[1].detail == "expected 5 values, one for each column, got 1"


def test_a_column_that_is_called_like_a_wrapper_is_a_column():
    odd = RequestSchema({"inputs": Number(), "features": Number()}, keys_alone=False)
    assert list(decode(odd, {"inputs": 1, "features": 2}).records) == [Sent((1.0, 2.0))]
    assert decode(odd, {"inputs": [[1, 2]], "features": 1}).records[0].field == "inputs"


def test_a_missing_number_as_pythons_json_writes_it_is_null_in_rows_and_wrappers(schema):
    rows = [[float("nan"), True], [3, float("nan")]]
    expected = [InputRow((None, True)), InputRow((3.0, None))]
    assert list(decode(schema, rows).records) == expected
    assert (
        list(decode(schema, {"dataframe_split": {"columns": ["stock", "is_open"], "data": rows}}).records) == expected
    )
    records = [{"stock": float("nan"), "is_open": True}]
    assert list(decode(schema, {"dataframe_records": records}).records) == expected[:1]


@pytest.mark.parametrize(
    "body",
    [
        b'{"stock": NaN, "is_open": true}',
        b'[{"stock": NaN, "is_open": true}]',
        b'{"instances": [[Infinity, NaN]]}',
        b'{"instances": [[NaN, -Infinity]]}',
        b'{"instances": [[NaN, "\\ud800"]]}',
        b'{"instances": [[NaN, 1' + b"0" * 5000 + b"]]}",
        b'{"instances": [[NaN, nan]]}',
        b'{"instances": [NaN',
        b'{"instances":' + b"[" * 5000 + b"NaN",
    ],
)
def test_no_other_number_that_json_has_not_is_taken(schema, body):
    found = decode(schema, body)
    assert (found.status, found.kind) == BAD_BODY


@pytest.mark.parametrize(("body", "count"), [(["O1", 5], 2), ({"instances": [0.1, 0.2]}, 2), ({"instance": [[1]]}, 1)])
def test_in_a_batch_job_no_form_is_refused_as_a_whole(schema, body, count):
    found = JsonCodec().decode(schema, json.dumps(body).encode(), {}, batch=True)
    assert [type(record) for record in found.records] == [Problem] * count


@pytest.mark.parametrize(
    "body", [{"features": [3, 0], "instance": [1]}, {"instance": 5}, {"id": ["x"], "instance": []}, {"zzz": []}, {}]
)
def test_an_object_that_is_not_nearly_a_wrapper_is_a_record(schema, body):
    assert decode(schema, body).shape == "object"


def test_the_byte_that_is_not_utf_8_is_counted_from_the_beginning(schema):
    body = '[{"id": "x", "size": "é"}]'.encode("latin-1")
    assert (
        decode(schema, body).detail == f"expected a JSON object or a list of objects: byte {body.index(233)} (0xe9) "
        "is not UTF-8"
    )


RANKED = RequestSchema(
    {"id": Text()}, ("card_ids", Text()), keys_alone=False, inputs={"stock": Number(), "x": Number()}
)


@pytest.mark.parametrize(
    "wrapped",
    [{"instances": [["a"]]}, {"inputs": {"id": ["a"]}}, {"dataframe_split": {"columns": ["id"], "data": [["a"]]}}],
)
def test_options_beside_a_wrapper_are_those_of_the_whole_body(wrapped):
    found = decode(RANKED, {**wrapped, "top": 1, "card_ids": ["b", "a"]})
    assert found == Records([Sent(("a",))], "wrapped", options=Options(1, ("b", "a")))
    assert decode(RANKED, wrapped).options == Options()


@pytest.mark.parametrize(
    ("beside", "field"), [({"top": 0}, "top"), ({"top": "1"}, "top"), ({"card_ids": []}, "card_ids")]
)
def test_a_bad_option_beside_a_wrapper_is_refused(beside, field):
    found = decode(RANKED, {"instances": [["a"]], **beside})
    assert (found.status, found.kind, found.field) == (400, "bad-option", field)


def test_without_options_what_stands_beside_a_wrapper_is_passed_over(schema):
    assert decode(schema, {"instances": [VALUES], "top": 0}) == Records([SENT], "wrapped")


def test_replies_have_the_shape_of_the_request(replies):
    a, b = {"odds": 0.5}, Problem(400, "bad-record", "why", index=1)
    encode = JsonCodec().encode
    assert json.loads(encode(replies(a, shape="object"))) == a
    assert json.loads(encode(replies(a, b))) == [a, b.describe()]
    assert json.loads(encode(replies(a, b, shape="wrapped"))) == {"predictions": [a, b.describe()]}
    assert json.loads(encode(replies(a, b, stale=["cards"]))) == [{**a, "stale": ["cards"]}, b.describe()]


def test_a_reply_never_holds_a_bare_nan(replies):
    assert JsonCodec().encode(replies({"a": float("nan"), "b": float("inf")})) == b'[{"a":null,"b":null}]'


# Round trips

_orders = st.fixed_dictionaries(
    {
        "id": st.text(min_size=1),
        "count": st.integers(0, 2**63 - 1),
        "price": st.floats(allow_nan=False, allow_infinity=False),
        "gift": st.none() | st.booleans(),
        "size": st.sampled_from(["S", "L"]),
    }
)
_surrogates = st.characters(categories=["Cs"])


@bounded(max_examples=150, deadline=None)
@given(orders=st.lists(_orders, min_size=1, max_size=5), order=st.permutations(list(ORDER)))
def test_all_forms_hold_the_same_records(schema, orders, order):
    def in_order(one):
        return {name: one[name] for name in order}

    orders = [{name: one[name] for name in ORDER} for one in orders]
    expected = [Sent(tuple(one.values())) for one in orders]
    rows = [list(one.values()) for one in orders]
    split = {"columns": order, "data": [list(in_order(one).values()) for one in orders]}
    for body in (
        [in_order(one) for one in orders],
        rows,
        {"instances": [in_order(one) for one in orders]},
        {"instances": [{"features": values} for values in rows]},
        {"inputs": {name: [one[name] for one in orders] for name in order}},
        {"dataframe_split": split},
        {"dataframe_records": orders},
    ):
        assert list(decode(schema, body).records) == expected


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | _surrogates,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["id", "stock", "is_open", "instances", "inputs", "dataframe_split", "dataframe_records", "columns", "data",
             "features", "values"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@bounded(max_examples=400, deadline=None)
@given(content=_json)
def test_any_json_is_records_or_a_problem_of_the_client(schema, content):
    found = decode(schema, content)
    if isinstance(found, Problem):
        assert 400 <= found.status < 500
    else:
        assert all(isinstance(r, (Sent, InputRow, Problem)) for r in found.records)
