"""Reads a segment's object with fastavro and prints what an auditor needs of each row: its offset, its leaf hash, computed
from the datum that fastavro writes again under the writer's schema, and the broker's time in ms.

    python3 reread.py <object> <writer's schema>
"""
import hashlib
import io
import json
import sys

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

container, schema_file = sys.argv[1:]
with open(schema_file, encoding="utf-8") as file:
    schema = json.load(file)
crc64 = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
parsed = fastavro.parse_schema(schema)
rows = []
with open(container, "rb") as file:
    for row in fastavro.reader(file):
        datum = io.BytesIO()
        fastavro.schemaless_writer(datum, parsed, {field["name"]: row[field["name"]] for field in schema["fields"]})
        leaf = hashlib.sha256(b"\x00\xc3\x01" + crc64 + datum.getvalue()).hexdigest()
        rows.append([row["offset"], leaf, int(row["received_at"].timestamp() * 1_000)])
print(json.dumps(rows))
