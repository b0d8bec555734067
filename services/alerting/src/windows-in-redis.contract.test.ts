import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRedis, type Redis } from '@cairn/adapters';
import { type Parts, startTestParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { correlationNamed } from '../test/rules.ts';
import { addition, BASE, holdWindowsToTheirPromises, LATENESS, rules } from '../test/windows-contract.ts';
import { windowsInRedis } from './windows-in-redis.ts';

let directory: string;
let parts: Parts;
let redis: Redis;
let deployments = 0;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-redis-'));
  parts = await startTestParts({ directory, parts: ['redis'] });
  redis = openRedis({ url: parts.part('redis').address });
}, 120_000);
afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const windowsOn = (on: Pick<Redis, 'run'>, deployment = `test-${(deployments += 1)}`) =>
  windowsInRedis({
    redis: on,
    deployment,
    lateness: LATENESS,
    correlationOf: (id) => rules.correlations.find((one) => one.id === id),
  });

describe('windows in Redis', () => {
  holdWindowsToTheirPromises(() => windowsOn(redis));

  const first = {
    expected: undefined,
    last: 9,
    oldest: BASE,
    streams: new Map<string, string>(),
    additions: [addition('a', [[0, 3]])],
  };

  test('that are to be judged at their close do not expire before they were', async () => {
    const deployment = `test-${(deployments += 1)}`;
    const owned = await windowsOn(redis, deployment).take('p/0');
    const undeleted = correlationNamed(rules, 'undeleted');
    const waiting = addition('a', [[0, 1, '0']], undeleted);
    const plain = addition('a', [[0, 1]]);
    await owned.add({ ...first, last: 1, additions: [waiting, plain] });
    await owned.add({ ...first, expected: 1, last: 2, additions: [addition('a', [[9, 1, '1']], undeleted)] });
    const lifeOf = async ({ window }: typeof waiting): Promise<number> =>
      Number(
        await redis.run(
          { name: 'testLife', lua: `return redis.call('PTTL', ARGV[1])` },
          ['{test}'],
          [`{cairn:${deployment}}:window:${window}`],
        ),
      );
    expect(await lifeOf(waiting)).toBe(-1);
    expect(await lifeOf(plain)).toBeGreaterThan(3_600_000);
    await owned.closed([{ window: waiting.window, next: undefined }], BASE + 60_000_000);
    expect(await lifeOf(waiting)).toBeGreaterThan(3_600_000);
  });

  test.each(['before it was applied', 'after it was applied'])(
    'a call that fails %s is found out from the position, and counts once',
    async (when) => {
      let fails = true;
      const shaky: Pick<Redis, 'run'> = {
        async run(script, keys, args) {
          const does = fails && script.name === 'cairnAddToWindows';
          if (does && when === 'before it was applied') throw new Error('lost');
          const answer = await redis.run(script, keys, args);
          if (does) throw new Error('lost');
          return answer;
        },
      };
      const store = windowsOn(shaky);
      const windows = await store.take('p/0');
      await expect(windows.add(first)).rejects.toThrow('lost');
      fails = false;
      const again = await store.take('p/0');
      expect(again.offset).toBe(when === 'after it was applied' ? 9 : undefined);
      const views = again.offset === undefined ? await again.add(first) : await again.look(first.additions);
      expect(views[0]?.cells.map(({ count }) => count)).toEqual([3]);
    },
  );

  test('survive kill -9 of Redis; one that comes back empty is noticed by the next batch', async () => {
    const store = windowsOn(redis, 'killed');
    const windows = await store.take('p/0');
    await windows.add(first);
    const part = parts.part('redis');
    await part.kill9();
    await expect(store.take('p/0')).rejects.toMatchObject({
      code: 'redis.unreachable',
      retry: 'later',
    });
    await part.start();
    const back = async (): Promise<void> => {
      for (let wait = 0; wait < 100 && !(await redis.ping()); wait += 1)
        await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await back();
    const next = { ...first, expected: 9, last: 19 };
    await windows.add(next);
    await part.kill9();
    rmSync(join(directory, 'redis'), { recursive: true, force: true });
    await part.start();
    await back();
    await expect(windows.look(first.additions)).rejects.toMatchObject({ code: 'windows.fenced' });
    expect((await store.take('p/0')).offset).toBeUndefined();
  }, 60_000);

  test('without memory nothing is counted in part', async () => {
    // No script may do this.
    const memory = async (value: string): Promise<void> => {
      const { hostname, port } = new URL(parts.part('redis').address);
      const socket = connect(Number(port), hostname);
      socket.write(`CONFIG SET maxmemory ${value}\r\n`);
      await once(socket, 'data');
      socket.destroy();
    };
    const store = windowsOn(redis);
    const windows = await store.take('p/0');
    await memory('1');
    try {
      await expect(windows.add(first)).rejects.toMatchObject({ code: 'redis.full', retry: 'later' });
    } finally {
      await memory('0');
    }
    expect((await store.take('p/0')).offset).toBeUndefined();
    const again = await store.take('p/0');
    expect((await again.add(first))[0]?.cells.map(({ count }) => count)).toEqual([3]);
  });

  test('take a chunk that touches twenty thousand windows in one step, and as many firings', async () => {
    const windows = await windowsOn(redis).take('p/0');
    const tools = correlationNamed(rules, 'many-tools');
    const additions = Array.from({ length: 10_000 }, (_, index) => [
      addition(`agent-${index}`, [[index % 60, 3]]),
      addition(`agent-${index}`, [[index % 60, 1, `tool-${index}`]], tools),
    ]).flat();
    const views = await windows.add({ ...first, additions });
    // Of those alone the counts reach the floor.
    expect(views.length).toBe(10_000);
    const firings = additions.map(({ window }) => ({
      window,
      ends: [BASE],
      timespan: 60_000_000,
      measure: 3,
      facts: () => '{}',
      told: false,
    }));
    expect((await windows.continueEpisodes(firings)).length).toBe(20_000);
  }, 60_000);

  test('old cells and windows do not stay for ever', async () => {
    const windows = await windowsOn(redis, 'trimmed').take('p/0');
    const denials = correlationNamed(rules, 'repeated-denials');
    let expected: number | undefined;
    for (let second = 0; second < 3_000; second += 30) {
      const oldest = BASE + second * 1_000_000;
      await windows.add({
        ...first,
        expected,
        last: second,
        oldest,
        additions: [addition('a', [[second, 1]])],
      });
      expected = second;
    }
    const key = `{cairn:trimmed}:window:${addition('a', []).window}`;
    const [cells, msLeft] = (await redis.run(
      { name: 'cairnTestSize', lua: `return { redis.call('HLEN', KEYS[1]), redis.call('PTTL', KEYS[1]) }` },
      [key],
      [],
    )) as [number, number];
    expect(cells).toBeLessThan((2 * (denials.timespan + LATENESS)) / 30_000_000 + 5);
    expect(msLeft).toBeGreaterThan(0);
  });
});
