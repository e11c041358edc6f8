"""What the HTTP port takes: posts of 100 records in JSON, one after the other, over one connection that is kept."""

import http.client
import json
import time

from tests.bench.workload import Rates, Values

RECORDS_PER_POST = 100
RECORD_BYTES = 100


def publish_over_http(address: str, topic: str, records: int) -> Rates:
    """From the first post until the last receipt; the receipts must add up to what was sent."""
    values = Values(RECORD_BYTES, records)
    texts = [{"value": value.hex()[:RECORD_BYTES]} for value in values]  # JSON has no bytes: the same size as text
    bodies = [json.dumps(texts[at : at + RECORDS_PER_POST]) for at in range(0, records, RECORDS_PER_POST)]
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    acknowledged = 0
    begin_s = time.perf_counter()
    for body in bodies:
        connection.request("POST", f"/topics/{topic}/records", body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            told = json.loads(answer.read())
        acknowledged += sum(receipt["count"] for receipt in told["receipts"])
    spent_s = time.perf_counter() - begin_s
    connection.close()
    if acknowledged != records:
        raise AssertionError(f"{acknowledged} of {records} records were acknowledged")
    return Rates(RECORD_BYTES * records / spent_s, records / spent_s)
