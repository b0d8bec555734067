"""Reads a container with fastavro and writes each event again: prints the number of rows whose bytes came out the same.

    python3 reread.py <container> <schema of the event>
"""
import io
import json
import sys

import fastavro

event_schema = fastavro.parse_schema(json.loads(open(sys.argv[2]).read()))
names = [field["name"] for field in event_schema["fields"]]
rows = []
with open(sys.argv[1], "rb") as file:
    for row in fastavro.reader(file):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, event_schema, {name: row[name] for name in names})
        rows.append(
            {
                "topic": row["topic"],
                "partition": row["partition"],
                "offset": row["offset"],
                "received_at": row["received_at"].isoformat(),
                "leaf_hash": row["leaf_hash"].hex(),
                "datum": out.getvalue().hex(),
            }
        )
json.dump(rows, sys.stdout)
