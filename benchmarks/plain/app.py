"""The plain model as a Scoreline app: four columns come with the request, a class and its probabilities go back."""

from plain_model import LABELS, make_estimator

from scoreline import App, Boolean, Category, Integer, Number, Text, Time, decision, probabilities

FIELDS = {
    "order_hour_of_day": Integer(minimum=0, maximum=23),
    "inventory": Number(optional=True),  # pieces; null: unknown
    "payment_status": Integer(minimum=0, maximum=4, optional=True),  # its code; null: no payment yet
    "zip_code_available": Boolean,
}

app = App("plain")
orders = app.table(
    "orders",
    key="order_id",
    time="timestamp",
    columns={"order_id": Text, "timestamp": Time, **FIELDS, "recommendation": Category(*LABELS)},
)
records = app.table("records", key="record_id", columns={"record_id": Integer, **FIELDS})

app.features(spine=orders, **{name: orders[name] for name in FIELDS})
app.head("recommendation", target=orders.recommendation, inputs=[*FIELDS], estimator=make_estimator)
app.request(records)
app.reply(recommendation=decision("recommendation"), probabilities=probabilities("recommendation"))
