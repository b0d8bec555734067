import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRedis } from '@cairn/adapters';
import { startParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { claimsIn, claimsInMemory, countingAlone, type SharedClaims } from './shared-claims.ts';

const own = new AsyncDisposableStack();
let url: string;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-claims-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true }));
  const parts = own.use(await startParts({ directory, parts: ['redis'], ports: 'any' }));
  url = parts.env()['REDIS_URL']!;
}, 60_000);
afterAll(() => own.disposeAsync());

describe.each(['Redis', 'memory'])('claims in %s', (where) => {
  /** As two processes have them: two connections, or one memory. */
  let one: SharedClaims;
  let two: SharedClaims;
  beforeAll(() => {
    one = where === 'memory' ? claimsInMemory(Date.now) : claimsIn(own.use(openRedis({ url })), 'test');
    two = where === 'memory' ? one : claimsIn(own.use(openRedis({ url })), 'test');
  });

  test('a name has one owner, who may change what stands there and give it back', async () => {
    const both = await Promise.all([one.claim('a', 'first', 60_000), two.claim('a', 'second', 60_000)]);
    expect(both.filter((held) => held === undefined)).toHaveLength(1);
    const owner = both[0] === undefined ? 'first' : 'second';
    expect(both).toContain(owner);
    await one.settle('a', 'done', 60_000);
    expect(await two.claim('a', 'third', 60_000)).toBe('done');
    await one.release('a');
    expect(await two.claim('a', 'third', 60_000)).toBeUndefined();
  });

  test('a name is free when its time is over', async () => {
    await one.claim('b', 'first', 40);
    expect(await two.claim('b', 'second', 60_000)).toBe('first');
    await sleep(80);
    expect(await two.claim('b', 'second', 60_000)).toBeUndefined();
  });

  test('all count together in one window, which ends and begins anew', async () => {
    const counted = await Promise.all(
      Array.from({ length: 50 }, (_, at) => (at % 2 === 0 ? one : two).count('c', 1_500)),
    );
    expect(counted.map(({ count }) => count).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 50 }, (_, at) => at + 1),
    );
    for (const { leftMs } of counted) expect(leftMs > 0 && leftMs <= 1_500).toBe(true);
    await one.uncount('c');
    expect((await two.count('c', 1_500)).count).toBe(50);
    await sleep(1_600);
    expect((await two.count('c', 1_500)).count).toBe(1);
  });
});

test('when Redis is away each process counts for itself and says so, and nothing is claimed', async () => {
  await using redis = openRedis({ url: 'redis://127.0.0.1:1', answerMsMax: 500 });
  let told = 0;
  const alone = claimsInMemory(Date.now);
  const claims = countingAlone(claimsIn(redis, 'test'), alone, () => (told += 1));
  expect((await claims.count('x', 60_000)).count).toBe(1);
  expect((await claims.count('x', 60_000)).count).toBe(2);
  expect(told).toBe(2);
  await expect(claims.claim('x', 'y', 60_000)).rejects.toMatchObject({ retry: 'later' });
});
