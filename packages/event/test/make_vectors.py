"""Writes schemas/vectors/event.json with fastavro and hashlib, so that the vectors owe nothing to the code they judge.

    python3 packages/event/test/make_vectors.py > schemas/vectors/event.json
"""
import hashlib
import io
import json
import pathlib

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "schemas/history/audit-event.v1.avsc").read_text())
PARSED = fastavro.parse_schema(SCHEMA)
CANONICAL = to_parsing_canonical_form(SCHEMA)
NAMED = {}


def collect(kind):
    if isinstance(kind, list):
        for branch in kind:
            collect(branch)
    elif isinstance(kind, dict):
        if "name" in kind:
            NAMED[kind["name"]] = kind
        for part in ("items", "type"):
            if isinstance(kind.get(part), (dict, list)):
                collect(kind[part])
        for field in kind.get("fields", []):
            collect(field["type"])


collect(SCHEMA)


def filled(kind, name, number):
    """A value of this type that differs from field to field; letters beyond ASCII in the texts."""
    if isinstance(kind, list):
        return filled(kind[1], name, number)
    if isinstance(kind, str):
        if kind in NAMED:
            return filled(NAMED[kind], name, number)
        return {
            "string": f"{name}-é✓{number}",
            "bytes": bytes([number % 256, 255, 0]),
            "int": 40_000 + number,
            "long": 9_000_000_000 + number,
        }[kind]
    if kind.get("logicalType") == "timestamp-micros":
        return 1_795_000_000_123_456
    if kind["type"] == "enum":
        return kind["symbols"][number % len(kind["symbols"])]
    if kind["type"] == "fixed":
        return bytes((number + index) % 256 for index in range(kind["size"]))
    if kind["type"] == "array":
        return [filled(kind["items"], name, number), filled(kind["items"], name, number + 1)]
    if kind["type"] == "record":
        return {field["name"]: filled(field["type"], field["name"], number) for field in kind["fields"]}
    return filled(kind["type"], name, number)


def plain(value):
    """As JSON: bytes as {"hex": …}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    return value


def written(event):
    # Micros are written as the number they are.
    raw = json.loads(json.dumps(SCHEMA))
    for field in raw["fields"]:
        if isinstance(field["type"], dict):
            field["type"].pop("logicalType", None)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(raw), event)
    return out.getvalue()


def vector(name, event):
    datum = written(event)
    crc64 = bytes.fromhex(fingerprint(CANONICAL, "CRC-64-AVRO"))
    # fastavro prints the number's bytes little-endian, as an entry carries them.
    entry = b"\xc3\x01" + crc64 + datum
    signed = event["signature"] is not None
    body = datum[:-65] if signed else datum[:-1]
    fingerprint256 = hashlib.sha256(CANONICAL.encode()).digest()
    return {
        "name": name,
        "event": plain(event),
        "datum": datum.hex(),
        "frame": (b"\x00" + (1).to_bytes(4, "big") + datum).hex(),
        "entry": entry.hex(),
        "leaf_hash": hashlib.sha256(b"\x00" + entry).hexdigest(),
        "signed_bytes_sha256": hashlib.sha256(
            b"audit-event/v1\n" + fingerprint256 + len(body).to_bytes(4, "big") + body
        ).hexdigest(),
    }


FULL = {field["name"]: filled(field["type"], field["name"], number) for number, field in enumerate(SCHEMA["fields"])}
UNSIGNED = {**FULL, "signature": None, "call_id": None, "data_classes": [], "latency_ms": None, "detail": ""}

print(
    json.dumps(
        {
            "schema_id": 1,
            "canonical_form_sha256": hashlib.sha256(CANONICAL.encode()).hexdigest(),
            "crc64": fingerprint(CANONICAL, "CRC-64-AVRO"),
            "events": [vector("every field filled, signed", FULL), vector("some fields absent, not signed", UNSIGNED)],
        },
        ensure_ascii=False,
        indent=1,
    )
)
