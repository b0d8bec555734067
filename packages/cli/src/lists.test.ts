import type { ClickHouse } from '@cairn/adapters';
import { describe, expect, test } from '@jest/globals';
import { cairn } from './testing/run-cairn.ts';

/** A trail that has so many of whatever is listed. */
function trailOf(count: number): ClickHouse {
  const row = {
    session_id: 'session',
    agent_id: 'a',
    org_id: 'acme',
    first: '',
    last: '',
    calls: 1,
    denied: 0,
  };
  const alert = {
    event_id: 'e',
    time: '',
    service: 's',
    method: 'alert/raised',
    error_code: '',
    detail: '{}',
  };
  return {
    query: async (_sql: string, { limit, prefix }: { limit?: number; prefix?: string }) => {
      // A session that is asked for by its whole id is none of these.
      if (limit === undefined) return [];
      return Array.from({ length: Math.min(count, limit) }, (_, at) => ({
        ...row,
        ...alert,
        failed: 0,
        session_id: `${prefix ?? 'session'}-${at}`,
      }));
    },
    [Symbol.asyncDispose]: async () => {},
  } as unknown as ClickHouse;
}

describe.each([
  ['sessions', ['sessions', '--limit', '3']],
  ['alerts', ['alerts', '--limit', '3']],
] as const)('a list of %s', (_, args) => {
  test.each([
    [2, 2, false],
    [3, 3, false],
    [4, 3, true],
  ])('of %i shows %i of at most 3, and says whether there are more: %p', async (there, shown, isMore) => {
    const parts = { openTrail: () => trailOf(there) };
    const { code, stdout, stderr } = await cairn([...args], { parts });
    expect([code, stdout.trimEnd().split('\n').length - 1]).toEqual([0, shown]);
    expect(stderr.includes('There are more than these 3')).toBe(isMore);
    const json = await cairn([...args, '--json'], { parts });
    expect(json.stdout.trimEnd().split('\n')).toHaveLength(shown);
    expect(json.stderr.includes('There are more than these 3')).toBe(isMore);
  });
});

test('sessions whose ids begin alike are named, and it is said when there are more of them', async () => {
  for (const [there, isMore] of [
    [5, false],
    [6, true],
  ] as const) {
    const parts = { openTrail: () => trailOf(there) };
    const { code, stderr } = await cairn(['session', 'abcdefgh'], { parts });
    expect(code).toBe(1);
    expect([
      stderr.includes('abcdefgh-4'),
      stderr.includes('abcdefgh-5'),
      stderr.includes(' and more'),
    ]).toEqual([true, false, isMore]);
  }
});
