"""What the plain model is, whoever serves it: its columns, its classes, its estimator."""

COLUMNS = ("order_hour_of_day", "inventory", "payment_status", "zip_code_available")
LABELS = (
    "Decline",
    "Deliver",
    "HoldCheckAvailability",
    "HoldCheckDelivery",
    "HoldCheckPayment",
)  # in this order 0 to 4
SEED = 20210704


def make_estimator():
    """Return the unfitted estimator: 100 iterations for each of 5 classes, 500 trees in all."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=SEED)
