import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import {
  AUDIT_EVENT_SCHEMA_ID,
  type AuditEvent,
  crc64Of,
  decodeDatum,
  encodeDatum,
  entryOf,
  frame,
  leafHash,
  partitionOf,
  releasedSchema,
  SCHEMAS,
  signedBytes,
  topicOf,
  unframe,
  walkDatum,
} from './index.ts';

const SCHEMA_DIRECTORY = join(import.meta.dirname, '..', '..', '..', 'schemas');
const json = (file: string) => JSON.parse(readFileSync(join(SCHEMA_DIRECTORY, file), 'utf8'));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

interface Vector {
  readonly name: string;
  readonly event: Record<string, unknown>;
  readonly datum: string;
  readonly frame: string;
  readonly entry: string;
  readonly leaf_hash: string;
  readonly signed_bytes_sha256: string;
}
const vectors = json('vectors/event.json') as {
  crc64: string;
  canonical_form_sha256: string;
  events: Vector[];
};

/** `{"hex": …}` back to bytes. */
function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== 'object' || value === null) return value;
  if ('hex' in value) return new Uint8Array(Buffer.from(String(value.hex), 'hex'));
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, revive(entry)]));
}

describe('known answers, made by fastavro and hashlib', () => {
  test.each(vectors.events.map((vector) => [vector.name, vector] as const))(
    '%s: every form of the event',
    (_, vector) => {
      const event = revive(vector.event) as AuditEvent;
      const datum = encodeDatum(event);
      expect(hex(datum)).toBe(vector.datum);
      expect(hex(frame(AUDIT_EVENT_SCHEMA_ID, datum))).toBe(vector.frame);
      expect(hex(entryOf(AUDIT_EVENT_SCHEMA_ID, datum))).toBe(vector.entry);
      expect(hex(leafHash(AUDIT_EVENT_SCHEMA_ID, datum))).toBe(vector.leaf_hash);
      const body = datum.subarray(0, datum.length - (event.signature ? 65 : 1));
      const signed = signedBytes(AUDIT_EVENT_SCHEMA_ID, body);
      expect(createHash('sha256').update(signed).digest('hex')).toBe(vector.signed_bytes_sha256);
      expect(decodeDatum(datum)).toEqual(event);
    },
  );

  test.each(vectors.events.map((vector) => [vector.name, vector] as const))(
    '%s: the walk notes what the event says',
    (_, vector) => {
      const event = revive(vector.event) as AuditEvent;
      const datum = new Uint8Array(Buffer.from(vector.datum, 'hex'));
      const walked = walkDatum(datum, AUDIT_EVENT_SCHEMA_ID);
      expect(walked).toMatchObject({
        ok: true,
        orgId: event.org_id,
        gatewayId: event.gateway_id,
        timestampMicros: event.timestamp,
        epoch: event.epoch,
        seq: event.seq,
        keyId: event.key_id,
        signed: event.signature !== null,
      });
      if (walked.ok) expect(datum.slice(walked.prevHashAt, walked.prevHashAt + 32)).toEqual(event.prev_hash);
    },
  );

  test('a partition is the first four bytes of a hash over organisation and gateway', () => {
    // python3: int.from_bytes(hashlib.sha256(b"acme\0gw-1").digest()[:4], "big") % 12
    const first = createHash('sha256').update('acme\0gw-1').digest().readUInt32BE(0);
    expect(partitionOf('acme', 'gw-1', 12)).toBe(first % 12);
    expect(partitionOf('acmeg', 'w-1', 1 << 30)).not.toBe(partitionOf('acme', 'gw-1', 1 << 30));
  });

  test('a class that is no name of a topic is refused', () => {
    expect(topicOf('standard')).toBe('audit.events.standard');
    for (const wrong of ['', 'A', 'a.b', 'a/b', 'x'.repeat(41), '../x'])
      expect(() => topicOf(wrong)).toThrow();
  });

  test('a value that is no frame is told by its reason', () => {
    expect(unframe(null)).toEqual({ ok: false, reason: 'value.empty' });
    expect(unframe(new Uint8Array([0, 0, 0]))).toEqual({ ok: false, reason: 'frame.short' });
    expect(unframe(new Uint8Array([9, 0, 0, 0, 1, 2]))).toEqual({ ok: false, reason: 'frame.magic' });
  });
});

describe('released schemas', () => {
  test('keep their id, their text and their fingerprints for ever', () => {
    const registry = json('registry.json') as {
      schemas: { id: number; file: string; crc64: string; sha256: string }[];
    };
    expect(registry.schemas.map(({ id }) => id)).toEqual(SCHEMAS.map(({ id }) => id));
    for (const { id, file, crc64, sha256 } of registry.schemas) {
      const released = releasedSchema(id);
      expect(released.schema).toEqual(json(file));
      expect({ crc64: released.crc64, sha256: released.sha256 }).toEqual({ crc64, sha256 });
    }
    expect({ crc64: SCHEMAS[0]?.crc64, sha256: SCHEMAS[0]?.sha256 }).toEqual({
      crc64: vectors.crc64,
      sha256: vectors.canonical_form_sha256,
    });
  });

  test('today is the latest of them: a change of the schema needs a release', () => {
    expect(json('audit-event.avsc')).toEqual(SCHEMAS.at(-1)?.schema);
  });

  test('data of every one of them is read by the code of today', () => {
    for (const { id } of SCHEMAS) {
      for (const vector of vectors.events) {
        const event = decodeDatum(new Uint8Array(Buffer.from(vector.datum, 'hex')), id);
        expect(event.org_id).toBe(revive(vector.event['org_id']));
      }
    }
  });

  test('the eight names of the seed record are fields as they were', () => {
    const names = SCHEMAS.at(-1)?.schema.fields.map(({ name }) => name);
    const seed = [
      'agent_id',
      'user_id',
      'tool_name',
      'action',
      'parameters_hash',
      'result_status',
      'timestamp',
      'latency_ms',
    ];
    expect(names).toEqual(expect.arrayContaining(seed));
  });

  test('the CRC is CRC-64-AVRO: the known answer of the specification for "int"', () => {
    // Avro 1.11, "Schema Fingerprints": fingerprint of "int" is 7275d51a3f395c8f, most significant byte first.
    expect(hex(crc64Of(new TextEncoder().encode('"int"')))).toBe('8f5c393f1ad57572');
  });
});
