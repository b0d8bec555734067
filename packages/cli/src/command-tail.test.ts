import { describe, expect, test } from '@jest/globals';
import type { LoggedEvent, LogPosition } from './read-log.ts';
import { fakeTrail, loggedEvent } from './testing/fake-trail.ts';
import { cairn } from './testing/run-cairn.ts';

const event = (partition: number, offset: number, timestamp: number): LoggedEvent =>
  loggedEvent({ topic: 'audit.events.standard', partition, offset, timestamp });
const nameOf = ({ partition, offset }: LogPosition): string => `${partition}:${offset}`;

/** Tails until the trail was read so often, adding events before the readings that are named. */
async function tailed(
  before: readonly LoggedEvent[],
  arriving: Readonly<Record<number, readonly LoggedEvent[]>>,
  readings: number,
  ...args: string[]
): Promise<string[]> {
  const stop = new AbortController();
  const trail = fakeTrail([...before]);
  let reading = 0;
  trail.onAsked = (sql) => {
    if (!sql.includes('LIMIT {limit:UInt32} BY')) return;
    reading += 1;
    trail.events.push(...(arriving[reading] ?? []));
    if (reading >= readings) stop.abort();
  };
  const said = await cairn(['tail', '--json', '--poll-ms', '50', ...args], {
    parts: { openTrail: () => trail },
    interruption: () => stop.signal,
  });
  expect(said).toMatchObject({ code: 0, stderr: '' });
  const lines = said.stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => nameOf(JSON.parse(line) as LogPosition));
}

describe('tail', () => {
  test('the last events of all partitions come first, oldest first', async () => {
    const before = [event(0, 0, 10), event(0, 1, 40), event(1, 0, 20), event(1, 1, 30)];
    expect(await tailed(before, {}, 1, '--last', '3')).toEqual(['1:0', '1:1', '0:1']);
    expect(await tailed(before, {}, 1, '--last', '0')).toEqual([]);
  });

  test('an event whose time lies before one already shown is shown as well, once', async () => {
    const arriving = { 1: [event(0, 1, 90)], 2: [event(0, 2, 5), event(1, 0, 4)], 3: [event(1, 1, 1)] };
    expect(await tailed([event(0, 0, 50)], arriving, 4, '--last', '0')).toEqual(['0:1', '1:0', '0:2', '1:1']);
  });

  test('more than fits one reading is shown whole, though times run against offsets', async () => {
    const many = Array.from({ length: 2_500 }, (_, offset) => event(0, offset, 10_000 - offset));
    const shown = await tailed([], { 1: many }, 4, '--last', '0');
    expect(shown).toHaveLength(2_500);
    expect(new Set(shown).size).toBe(2_500);
  });

  test('an empty trail waits for its first event', async () => {
    expect(await tailed([], { 2: [event(3, 0, 1)] }, 3)).toEqual(['3:0']);
  });

  test('--no-follow ends after what is there', async () => {
    const trail = fakeTrail([event(0, 0, 1)]);
    const said = await cairn(['tail', '--no-follow'], { parts: { openTrail: () => trail } });
    expect(said.code).toBe(0);
    expect(said.stdout.trim().split('\n')).toHaveLength(1);
  });
});
