import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pythonWithFastavro } from '../test/python-environment.ts';
import { AUDIT_EVENT_SCHEMA_ID, containerOf, leafHash } from './index.ts';

const SCHEMAS = join(import.meta.dirname, '..', '..', '..', 'schemas');
const vectors = JSON.parse(readFileSync(join(SCHEMAS, 'vectors', 'event.json'), 'utf8')) as {
  events: { datum: string }[];
};

describe('a container', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-container-'));
  let python: string;
  beforeAll(() => {
    python = pythonWithFastavro();
  }, 180_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const rows = Array.from({ length: 50 }, (_, index) => {
    const datum = new Uint8Array(
      Buffer.from(vectors.events[index % vectors.events.length]?.datum ?? '', 'hex'),
    );
    return {
      topic: 'audit.events.standard',
      partition: index % 3,
      offset: 2 ** 33 + index,
      receivedAtMs: 1_795_000_000_000 + index,
      leafHash: leafHash(AUDIT_EVENT_SCHEMA_ID, datum),
      datum,
    };
  });

  test('is read by fastavro, which writes every datum again to the same bytes', () => {
    const file = join(directory, 'rows.avro');
    writeFileSync(file, containerOf(AUDIT_EVENT_SCHEMA_ID, rows));
    const script = join(import.meta.dirname, '..', 'test', 'reread.py');
    const printed = execFileSync(python, [script, file, join(SCHEMAS, 'history', 'audit-event.v1.avsc')], {
      encoding: 'utf8',
    });
    const reread = JSON.parse(printed) as {
      datum: string;
      offset: number;
      leaf_hash: string;
      received_at: string;
    }[];
    expect(reread.map(({ datum }) => datum)).toEqual(
      rows.map(({ datum }) => Buffer.from(datum).toString('hex')),
    );
    expect(reread.map(({ offset }) => offset)).toEqual(rows.map(({ offset }) => offset));
    expect(reread.map(({ leaf_hash }) => leaf_hash)).toEqual(
      rows.map((row) => Buffer.from(row.leafHash).toString('hex')),
    );
    expect(reread[0]?.received_at).toBe(new Date(1_795_000_000_000).toISOString().replace('.000Z', '+00:00'));
  });

  test('is the same bytes for the same rows', () => {
    const digest = () => createHash('sha256').update(containerOf(AUDIT_EVENT_SCHEMA_ID, rows)).digest('hex');
    expect(digest()).toBe(digest());
  });

  test('the vectors in the repository are what fastavro and hashlib make today', () => {
    const script = join(import.meta.dirname, '..', 'test', 'make_vectors.py');
    const made = JSON.parse(execFileSync(python, [script], { encoding: 'utf8' })) as unknown;
    expect(made).toEqual(vectors);
  });
});
