"""Order triage: what should happen to an order at the moment it is placed.

The rules are the shop's; the values that its owner will want to change stand at the top.
"""

from scoreline import (
    App,
    Boolean,
    Category,
    Integer,
    Rule,
    Text,
    Time,
    decision,
    features_from,
    hour_of_day,
    latest,
    lookup,
    probability,
    reason,
)

TIME_ZONE = "UTC"  # the shop's clock: hours of the day are taken in it
NIGHT_ENDS = 6  # orders placed before this hour are declined
MINIMUM_STOCK = 1  # with fewer pieces in stock somebody looks first
SEED = 20210704

app = App("order-triage")

orders = app.table(
    "orders",
    file=["orders.csv", "order.csv"],
    key=["order_id", "customer_id", "sku_code", "zip_code"],
    time="timestamp",
    columns={
        "order_id": Text,
        "customer_id": Text,
        "timestamp": Time,
        "sku_code": Text,
        "quantity": Integer,
        "zip_code": Text,
        "order_fulfilled": Boolean(optional=True),  # absent for new orders
    },
)
inventory = app.table(
    "inventory",
    key="sku_code",
    time="timestamp",
    columns={"sku_code": Text, "timestamp": Time, "inventory": Integer},
)
payments = app.table(
    "payments",
    key=["order_id", "customer_id"],
    time="timestamp",
    in_request=True,  # of an order placed just now, the caller may be the only one to know it
    columns={
        "order_id": Text,
        "customer_id": Text,
        "timestamp": Time,
        "payment_method": Category("CREDIT_CARD", "ONLINE_PAYMENT", "ON_DELIVERY"),
        "payment_status": Category("OK", "FAILED", "VERIFY_ADDRESS", "VERIFY_BANK_DETAILS"),
    },
)
zip_codes = app.table("zip_codes", key="zip_code", columns={"zip_code": Text, "available_from": Time})


def order_hour_of_day(timestamp):
    return hour_of_day(timestamp, TIME_ZONE)


def zip_code_available(timestamp, available_from):
    return timestamp >= available_from  # false where the zip is not listed or has no date


app.features(
    spine=orders,
    order_hour_of_day=order_hour_of_day,
    inventory=latest(inventory.inventory),
    payment_status=latest(payments.payment_status),
    zip_code_available=zip_code_available,
    quantity=orders.quantity,
    payment_method=latest(payments.payment_method),
    available_from=lookup(zip_codes.available_from),
)

app.head(
    "recommendation",
    rules=[  # the first that holds wins
        Rule(
            "no_stock",
            when=[("inventory", "is null"), ("inventory", "<", MINIMUM_STOCK)],
            then="HoldCheckAvailability",
        ),
        Rule("zip_not_served", when=[("zip_code_available", "==", False)], then="HoldCheckDelivery"),
        Rule(
            "payment_not_ok",
            when=[("payment_status", "is null"), ("payment_status", "!=", "OK")],
            then="HoldCheckPayment",
        ),
        Rule("night", when=[("order_hour_of_day", "<", NIGHT_ENDS)], then="Decline"),
        Rule("all_clear", then="Deliver"),
    ],
)


tuning = app.hyperparameters(max_iter=100, learning_rate=0.06, max_leaf_nodes=15)  # `train` may be given others


def make_estimator():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**tuning, early_stopping=False, random_state=SEED)


app.head(
    "fulfilment_probability",
    target=orders.order_fulfilled,
    inputs=[
        "inventory",
        "quantity",
        "payment_status",
        "payment_method",
        "zip_code_available",
        "order_hour_of_day",
    ],
    estimator=make_estimator,
)

app.reply(
    order_id=orders.order_id,
    recommendation=decision("recommendation"),
    reason=reason("recommendation"),
    fulfilment_probability=probability("fulfilment_probability", digits=4),
    features_from=features_from(),
)


def deliver_above_stock(recommendation, quantity, inventory):
    return (recommendation == "Deliver") & (quantity > inventory)


app.summary("Deliver with quantity above stock", deliver_above_stock)
