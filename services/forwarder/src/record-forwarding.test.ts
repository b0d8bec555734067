import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RecordDraft } from '@cairn/recorder';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { frameOf, itemsFor } from '../test/items.ts';
import type { DestinationConfig } from './config.ts';
import { parkedEvent, recordDestinations, startedEvent } from './record-forwarding.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-forwarding-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const lake = {
  name: 'lake',
  type: 'ocsf',
  url: 'https://lake.example/in/secret-path',
  filter: { kinds: ['alert'] },
  start: 'earliest',
  batch: { itemsMax: 500, bytesMax: 65_536, ageMsMax: 100 },
} as unknown as DestinationConfig;
const soc = { ...lake, name: 'soc', url: 'https://soc.example' } as DestinationConfig;

describe('what destinations there are', () => {
  const told: RecordDraft[] = [];
  let isDeaf = false;
  const start = (...destinations: DestinationConfig[]) =>
    recordDestinations(
      {
        record: async (draft) => {
          if (isDeaf) throw new Error('the spool is full');
          told.push(draft);
        },
      },
      join(directory, 'destinations.json'),
      destinations,
      'cairn',
    );
  const latest = () => JSON.parse(told.at(-1)!.detail!);

  test('is told when it changes, and not at each start', async () => {
    await start(lake);
    await start(lake);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ kind: 'policy_change', method: 'destinations/changed', org_id: 'cairn' });
    expect(latest()).toEqual({
      added: [{ destination: 'lake', type: 'ocsf', to: 'lake.example', filter: { kinds: ['alert'] } }],
      changed: [],
      removed: [],
    });
    await start({ ...lake, filter: {} } as DestinationConfig, soc);
    expect(latest()).toMatchObject({
      added: [{ destination: 'soc' }],
      changed: [{ destination: 'lake', filter: {} }],
    });
    await start(soc);
    expect(latest()).toMatchObject({ added: [], removed: ['lake'] });
    // Neither what is told nor what is kept holds the path, which may be a secret.
    expect(JSON.stringify(told) + readFileSync(join(directory, 'destinations.json'))).not.toContain(
      'secret-path',
    );
  });

  test('is told at the next start when it could not be recorded at this one, which does not go on', async () => {
    const before = told.length;
    isDeaf = true;
    await expect(start(lake)).rejects.toThrow('the spool is full');
    isDeaf = false;
    await start(lake);
    expect(told.length).toBe(before + 1);
  });
});

test('a destination is told by its host alone', () => {
  expect(startedEvent(lake, 'cairn').detail).not.toContain('secret-path');
});

describe('what was parked', () => {
  const refusals = (...fields: object[]) =>
    itemsFor(
      { format: ({ event_id: id }) => id },
      fields.map((of, seq) => frameOf(seq, of)),
    ).map((item) => ({ item, reason: '400 \u001b[2Jno' }));

  test('is told by its count and places, with what the destination said as harmless text', () => {
    const event = parkedEvent('lake', refusals({}, {}), 'cairn')!;
    expect(event).toMatchObject({ kind: 'export', method: 'forward/parked', result_status: 'failure' });
    expect(event.error_message).toBe('400 \\u{1b}[2Jno');
    expect(JSON.parse(event.detail!)).toMatchObject({
      destination: 'lake',
      count: 2,
      first_offset: 0,
      last_offset: 1,
    });
  });

  test('of the forwarder’s own events is not told: that would be refused as well, and so without an end', () => {
    const own = { service: 'forwarder', capture: 'system' };
    expect(parkedEvent('lake', refusals(own), 'cairn')).toBeUndefined();
    // An agent that calls its server so is told all the same.
    expect(
      JSON.parse(parkedEvent('lake', refusals(own, { service: 'forwarder' }), 'cairn')!.detail!).count,
    ).toBe(1);
  });
});
