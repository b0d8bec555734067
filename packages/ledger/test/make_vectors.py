"""Writes schemas/vectors/ledger.json: a small log with its keys, written from schemas/ledger.md alone with fastavro, hashlib
and cryptography, so that the vectors owe nothing to the code they judge.

    python3 packages/ledger/test/make_vectors.py > schemas/vectors/ledger.json
"""
import base64
import hashlib
import io
import json
import pathlib

import fastavro
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastavro.schema import fingerprint, to_parsing_canonical_form

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "schemas/history/audit-event.v1.avsc").read_text())
CANONICAL = to_parsing_canonical_form(SCHEMA)
CRC64 = bytes.fromhex(fingerprint(CANONICAL, "CRC-64-AVRO"))
FINGERPRINT = hashlib.sha256(CANONICAL.encode()).digest()
DEPLOYMENT = "audit.example"
ORIGIN = DEPLOYMENT + "/audit.events.standard/0"
FOLDER = "audit.events.standard/0"
ZERO = bytes(32)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# Events


def plain_schema():
    """The schema without logical types: values are written as the numbers they are."""
    raw = json.loads(json.dumps(SCHEMA))
    for field in raw["fields"]:
        if isinstance(field["type"], dict):
            field["type"].pop("logicalType", None)
    return fastavro.parse_schema(raw)


WRITER = plain_schema()


def empty(kind):
    """The value that says nothing, for fields that have no default of their own."""
    if isinstance(kind, list):
        return None
    if isinstance(kind, dict) and kind["type"] == "fixed":
        return bytes(kind["size"])
    return {"string": "", "long": 0, "int": 0}.get(kind if isinstance(kind, str) else kind["type"], "unknown")


def event(**values):
    made = {
        field["name"]: field["default"] if "default" in field else empty(field["type"]) for field in SCHEMA["fields"]
    }
    made.update(values)
    return made


def datum_of(value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, WRITER, value)
    return out.getvalue()


def leaf_hash(datum):
    return sha(b"\x00\xc3\x01", CRC64, datum)


# Keys and notes


class Key:
    def __init__(self, name, first):
        self.name = name
        self.private = Ed25519PrivateKey.from_private_bytes(bytes((first + at) % 256 for at in range(32)))
        self.public = self.private.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        self.id = sha(name.encode(), b"\n\x01", self.public)[:4]
        self.vkey = f"{name}+{self.id.hex()}+{base64.b64encode(bytes([1]) + self.public).decode()}"

    def note(self, text):
        line = base64.b64encode(self.id + self.private.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self.name} {line}\n".encode()


def canonical(value):
    # RFC 8785 for what statements hold: integers and strings that need no sorting beyond ASCII.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


class Gateway:
    def __init__(self, org, gateway, first):
        self.org, self.gateway = org, gateway
        self.key = Key(f"{DEPLOYMENT}/{org}/gw/{gateway}", first)
        self.epoch, self.seq = 3, 0
        epoch = self.epoch.to_bytes(8, "big")
        self.head = sha(f"audit-genesis/v1\n{org}\n{gateway}\n".encode(), epoch, ZERO)

    def record(self, kind, signed=False):
        value = event(
            event_id=sha(self.gateway.encode(), bytes([self.seq]))[:16],
            org_id=self.org,
            gateway_id=self.gateway,
            kind=kind,
            phase="single",
            capture="gateway",
            timestamp=1_795_000_000_000_000 + self.seq * 1_000_000,
            tool_name="" if signed else "suche-\u00e9\u2713",
            epoch=self.epoch,
            seq=self.seq,
            prev_hash=self.head,
            key_id=self.key.id.hex(),
            signature=bytes(64) if signed else None,
        )
        datum = datum_of(value)
        if signed:
            body = datum[:-65]
            covered = b"audit-event/v1\n" + FINGERPRINT + len(body).to_bytes(4, "big") + body
            value["signature"] = self.key.private.sign(covered)
            datum = datum_of(value)
        leaf = {"value": value, "datum": datum, "link": self.head, "signed": signed}
        self.head = leaf["hash"] = leaf_hash(datum)
        self.seq += 1
        return leaf


# Trees


def root_of(hashes):
    """RFC 6962, section 2.1, as it is written there."""
    if len(hashes) == 0:
        return sha()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha(b"\x01", root_of(hashes[:split]), root_of(hashes[split:]))


def nodes_of(hashes, first, end):
    nodes = []
    at = first
    while at < end:
        size = 1
        while at % (size * 2) == 0 and at + size * 2 <= end:
            size *= 2
        nodes.append(root_of(hashes[at : at + size]).hex())
        at += size
    return nodes


def pieces_of(hashes, first, end):
    borders = sorted({first, end, *(at for at in range(0, end, 256) if first < at)})
    return [root_of(hashes[start:stop]).hex() for start, stop in zip(borders, borders[1:])]


# Segments


def segment_of(leaves, first, end):
    """fastavro writes the container; its blocks are cut as it cuts them, below the bounds."""
    schema = {
        "type": "record",
        "name": "ArchivedEvent",
        "namespace": "cairn",
        "fields": [
            {"name": "offset", "type": "long"},
            {"name": "received_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            *SCHEMA["fields"],
        ],
    }
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    seed = f"cairn-segment/v1\n{ORIGIN}\n{first}\n{end}\n{FINGERPRINT.hex()}\n".encode()
    marker = sha(seed)[:16]
    rows = []
    for leaf in leaves[first:end]:
        rows.append(varint(leaf["offset"]) + varint(leaf["received_at"]) + leaf["datum"])
    metadata = {
        "avro.schema": text,
        "avro.codec": "zstandard",
        "cairn.origin": ORIGIN,
        "cairn.first": str(first),
        "cairn.end": str(end),
    }
    out = b"Obj\x01" + varint(len(metadata))
    for name, value in metadata.items():
        for part in (name.encode(), value.encode()):
            out += varint(len(part)) + part
    out += b"\x00" + marker
    # Two blocks, so that a reader goes over a border.
    half = (len(rows) + 1) // 2
    for block in (rows[:half], rows[half:]):
        if block:
            frame = zstd_frame(b"".join(block))
            out += varint(len(block)) + varint(len(frame)) + frame + marker
    assert_readable(out, leaves[first:end])
    return out


def varint(value):
    rest = value * 2 if value >= 0 else -value * 2 - 1
    out = b""
    while rest >= 128:
        out += bytes([rest % 128 | 128])
        rest //= 128
    return out + bytes([rest])


def zstd_frame(content):
    """A frame of raw blocks (RFC 8878, section 3.1.1): no library of ours has a part in it, and any decoder reads it."""
    out = bytes.fromhex("28b52ffd") + bytes([0xA0]) + len(content).to_bytes(4, "little")
    blocks = [content[at : at + 65_536] for at in range(0, len(content), 65_536)]
    for at, block in enumerate(blocks):
        last = 1 if at == len(blocks) - 1 else 0
        out += (last | len(block) << 3).to_bytes(3, "little") + block
    return out


def assert_readable(container, leaves):
    """fastavro reads it, where it has a decoder of zstandard, and writes every datum again to the same bytes."""
    try:
        rows = list(fastavro.reader(io.BytesIO(container)))
    except (ValueError, ImportError):
        return
    for row, leaf in zip(rows, leaves, strict=True):
        assert row["offset"] == leaf["offset"]
        value = {name: row[name] for name in leaf["value"]}
        value["timestamp"] = leaf["value"]["timestamp"]
        assert datum_of(value) == leaf["datum"]


def ranges_of(leaves):
    ranges = {}
    for leaf in leaves:
        value = leaf["value"]
        name = (value["org_id"], value["gateway_id"], value["epoch"])
        made = ranges.setdefault(
            name,
            {
                "closed": False,
                "epoch": value["epoch"],
                "events": 0,
                "first_seq": value["seq"],
                "gateway": value["gateway_id"],
                "link": leaf["link"].hex(),
                "org": value["org_id"],
                "sealed_to": -1,
                "whole": True,
            },
        )
        if made["events"] > 0 and (value["seq"] != made["last_seq"] + 1 or leaf["link"].hex() != made["head"]):
            made["whole"] = False
        made["events"] += 1
        made["last_seq"] = value["seq"]
        made["head"] = leaf["hash"].hex()
        made["closed"] = value["kind"] == "stream_close"
        if leaf["signed"]:
            made["sealed_to"] = value["seq"]
    return list(ranges.values())


# The log


def main():
    root = Key(DEPLOYMENT + "/root", 1)
    log = Key(ORIGIN, 0)
    archive = Key(DEPLOYMENT + "/archive", 3)
    gateways = [Gateway("acme", "gw-1", 40), Gateway("other", "gw-2", 80)]
    objects = {}

    previous = ZERO.hex()
    statements = [("log", ORIGIN, log), ("archive", ORIGIN, archive)]
    statements += [("gateway", f"{gateway.org}/{gateway.gateway}", gateway.key) for gateway in gateways]
    for number, (role, subject, key) in enumerate(statements):
        statement = {
            "from": 0,
            "kind": "cairn/key",
            "number": number,
            "previous": previous,
            "reason": "",
            "role": role,
            "subject": subject,
            "until": None,
            "v": 1,
            "vkey": key.vkey,
        }
        note = root.note(canonical(statement))
        objects[f"key/{number:020}.note"] = note
        previous = sha(note).hex()

    leaves = []
    for turn in range(140):
        for gateway in gateways:
            if turn == 0:
                leaves.append(gateway.record("stream_open", signed=True))
            elif turn == 139:
                leaves.append(gateway.record("stream_close", signed=True))
            else:
                leaves.append(gateway.record("seal", signed=True) if turn % 50 == 49 else gateway.record("tool_call"))
    for at, leaf in enumerate(leaves):
        leaf["offset"] = 10 + at + at // 3
        leaf["received_at"] = 1_795_000_000_000 + at * 7
    hashes = [leaf["hash"] for leaf in leaves]

    previous = ZERO.hex()
    for first, end in ((0, 11), (11, 275), (275, 280)):
        part = leaves[first:end]
        container = segment_of(leaves, first, end)
        key = f"segment/{FOLDER}/{first:020}-1.avro"
        objects[key] = container
        signed_root = root_of(hashes[:end])
        manifest = {
            "end": end,
            "first": first,
            "kind": "cairn/manifest",
            "nodes": nodes_of(hashes, first, end),
            "objects": [
                {
                    "crc64": CRC64.hex(),
                    "key": key,
                    "leaves": end - first,
                    "schema": 1,
                    "schema_sha256": FINGERPRINT.hex(),
                    "sha256": sha(container).hex(),
                    "size": len(container),
                    "version_id": "",
                }
            ],
            "offsets": {"first": part[0]["offset"], "last": part[-1]["offset"]},
            "origin": ORIGIN,
            "pieces": pieces_of(hashes, first, end),
            "previous": previous,
            "received": {
                "max": max(leaf["received_at"] for leaf in part),
                "min": min(leaf["received_at"] for leaf in part),
            },
            "retention": {"class": "standard", "mode": "COMPLIANCE", "policy": "p1", "until": 1_900_000_000_000},
            "root": signed_root.hex(),
            "streams": ranges_of(part),
            "timestamps": {
                "max": max(leaf["value"]["timestamp"] for leaf in part),
                "min": min(leaf["value"]["timestamp"] for leaf in part),
            },
            "v": 1,
        }
        note = archive.note(canonical(manifest))
        objects[f"manifest/{FOLDER}/{first:020}.note"] = note
        previous = sha(note).hex()
        text = f"{ORIGIN}\n{end}\n{base64.b64encode(signed_root).decode()}\n"
        objects[f"checkpoint/{FOLDER}/{end:020}.note"] = log.note(text)

    print(
        json.dumps(
            {
                "deployment": DEPLOYMENT,
                "origin": ORIGIN,
                "root_vkey": root.vkey,
                "leaf_hashes": [leaf.hex() for leaf in hashes],
                "objects": {name: content.hex() for name, content in objects.items()},
            },
            indent=1,
        )
    )


main()
