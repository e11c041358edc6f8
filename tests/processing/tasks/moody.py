"""An app whose code fails as long as something beside it is not there, which only a test can see to."""

from cluster.processing.app import App
from tests.processing.tasks.shop import Sale

app = App("moody")
sales = app.topic("sales", Sale, key="till")
MISSING = ["what it needs"]


@app.processor(sales, to="seen")
def see(sale: Sale) -> Sale:
    """Needs something."""
    if MISSING:
        raise ValueError(f"{MISSING[0]} is missing")
    return sale
