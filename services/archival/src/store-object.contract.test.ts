import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openObjectStore } from '@cairn/adapters';
import { type Parts, S3_ACCESS_KEY, S3_SECRET_KEY, startTestParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

const BUCKET = 'evidence';
const directory = mkdtempSync(join(tmpdir(), 'cairn-descriptors-'));
let parts: Parts;
beforeAll(async () => {
  parts = await startTestParts({ directory, parts: ['s3'] });
}, 300_000);
afterAll(async () => {
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

describe('a process without a file descriptor left', () => {
  test('is told of each object that it could not put that it is to be tried later, and puts it once there are some', async () => {
    const endpoint = parts.part('s3').address;
    const options = { endpoint, bucket: BUCKET, accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY };
    await using store = await openObjectStore(options);
    await store.ensureBucket();
    const program = join(import.meta.dirname, '..', 'test', 'without-descriptors.ts');
    const said = execFileSync(
      '/bin/sh',
      [
        '-c',
        'ulimit -n 64; exec "$0" "$@"',
        process.execPath,
        program,
        endpoint,
        BUCKET,
        S3_ACCESS_KEY,
        S3_SECRET_KEY,
      ],
      { encoding: 'utf8', timeout: 110_000 },
    );
    const { held, without, withSome } = JSON.parse(said) as {
      held: number;
      without: string[];
      withSome: string[];
    };
    const put = Array.from({ length: 8 }, (_, number) => `bytes ${number}`);
    expect(held).toBeGreaterThan(0);
    for (const [number, outcome] of without.entries())
      expect(['s3.unreachable later', put[number]]).toContain(outcome);
    expect(without).toContain('s3.unreachable later');
    expect(withSome).toEqual(put);
    for (const [number, text] of put.entries())
      expect(Buffer.from(await store.get(`object-${number}`, { bytesMax: 100 })).toString()).toBe(text);
  }, 120_000);
});
