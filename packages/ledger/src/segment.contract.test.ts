// Segments and vectors before tools that nobody here wrote.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pythonWithFastavro } from '../../event/test/python-environment.ts';
import { Archive, Gateway, Keys, ORIGIN } from '../test/deployment.ts';
import { bytesOfHash, hexOfHash, segmentName } from './index.ts';

const SCHEMAS = join(import.meta.dirname, '..', '..', '..', 'schemas');
const TEST = join(import.meta.dirname, '..', 'test');

describe('fastavro', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-segment-'));
  let python: string;
  beforeAll(() => {
    python = pythonWithFastavro();
  }, 180_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const gateway = new Gateway('acme', 'gw-1');
  const archive = new Archive(new Keys(gateway));
  archive.append(...gateway.stream(9_000));
  archive.cut();
  const bytes = archive.bucket.get(segmentName(ORIGIN, 0, 1))!;
  const hashes = archive.leafHashes.map((hash) => hexOfHash(hash));

  /** Offset, leaf hash and time of each row, or undefined when it is refused. */
  function reread(container: Uint8Array): [number, string, number][] | undefined {
    const file = join(directory, 'segment.avro');
    writeFileSync(file, container);
    const schema = join(SCHEMAS, 'history', 'audit-event.v1.avsc');
    const { status, stdout } = spawnSync(python, [join(TEST, 'reread.py'), file, schema], {
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
    return status === 0 ? (JSON.parse(stdout) as [number, string, number][]) : undefined;
  }

  test('reads a segment and rebuilds the leaf hash of every event', () => {
    const rows = reread(bytes);
    expect(rows?.map(([, leaf]) => leaf)).toEqual(hashes);
    expect(rows?.map(([offset]) => offset)).toEqual(hashes.map((_, offset) => offset));
    expect(bytesOfHash(archive.leafHashes[0]!)).toHaveLength(32);
  });

  test('refuses a segment with a byte changed, or gives another row', () => {
    const whole = reread(bytes);
    for (const at of [bytes.length - 20, bytes.length - 400, Math.floor(bytes.length / 2)]) {
      const changed = bytes.slice();
      changed[at]! ^= 0x10;
      const rows = reread(changed);
      if (rows !== undefined) expect(rows).not.toEqual(whole);
    }
  });

  test('hashlib and cryptography make the vectors of the repository today', () => {
    const options = { encoding: 'utf8', maxBuffer: 2 ** 26 } as const;
    const made = execFileSync(python, [join(TEST, 'make_vectors.py')], options);
    const kept = readFileSync(join(SCHEMAS, 'vectors', 'ledger.json'), 'utf8');
    expect(JSON.parse(made)).toEqual(JSON.parse(kept));
  });
});

test('golang.org/x/mod makes the vectors of the repository today', () => {
  const made = execFileSync('go', ['run', '.'], { cwd: join(TEST, 'vectors-go'), encoding: 'utf8' });
  const kept = readFileSync(join(SCHEMAS, 'vectors', 'ledger-go.json'), 'utf8');
  expect(JSON.parse(made)).toEqual(JSON.parse(kept));
}, 180_000);
