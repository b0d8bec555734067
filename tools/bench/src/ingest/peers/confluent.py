# (e) confluent-kafka (librdkafka) and fastavro, rows as JSON over ClickHouse's HTTP interface.
import io
import json
import os
import signal
import sys
import urllib.request
from datetime import datetime, timezone

from confluent_kafka import Consumer
from fastavro import parse_schema, schemaless_reader

topic = os.environ["BENCH_TOPIC"]
schema = json.load(open(os.environ["BENCH_SCHEMA"]))
url = os.environ["CLICKHOUSE_URL"]
insert = os.environ["BENCH_INSERT"]
parsed = parse_schema(schema)
consumer = Consumer(
    {
        "bootstrap.servers": os.environ["KAFKA_BROKERS"],
        "group.id": os.environ["BENCH_GROUP"],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "fetch.message.max.bytes": 16 * 1024 * 1024,
        "queued.max.messages.kbytes": 262144,
    }
)
consumer.subscribe([topic])
running = True


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGTERM, stop)


def plain(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
    raise TypeError(type(value))


while running:
    messages = consumer.consume(50000, 1.0)
    lines = []
    for message in messages:
        if message.error():
            print(message.error(), file=sys.stderr)
            continue
        event = schemaless_reader(io.BytesIO(message.value()[5:]), parsed, parsed)
        event["topic"] = topic
        event["partition"] = message.partition()
        event["offset"] = message.offset()
        at = message.timestamp()[1]
        event["received_at"] = datetime.fromtimestamp(at / 1000, timezone.utc).strftime(
            "%Y-%m-%d %H:%M:%S.%f"
        )[:-3]
        event["leaf_hash"] = ""
        lines.append(json.dumps(event, default=plain))
    if lines:
        request = urllib.request.Request(
            url + "/?async_insert=0&query=" + urllib.parse.quote(insert),
            data="\n".join(lines).encode(),
            method="POST",
        )
        urllib.request.urlopen(request, timeout=300).read()
        consumer.commit(asynchronous=False)
consumer.close()
