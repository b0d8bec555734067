import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ParkedRecords } from '@cairn/adapters';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { cairn } from './testing/run-cairn.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-forward-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const record = (offset: number) => ({
  destination: 'soc',
  topic: 'audit.events.standard',
  partition: 0,
  offset,
  appendedAtMs: 1,
  eventId: `01a209cb-0000-7000-8000-00000000000${offset}`,
  value: new Uint8Array([offset]),
  reason: '400 \u001b[2Jbad',
});

test('what was refused is shown with its reason, harmless, and is sent again when a person says so', async () => {
  using store = new ParkedRecords(join(directory, 'parked.sqlite'));
  store.park([record(1), record(2)], 5);
  const shown = await cairn(['forward', 'parked', directory]);
  expect(shown.code).toBe(0);
  expect(shown.stdout).toContain('400 \\u{1b}[2Jbad');
  expect(shown.stdout).not.toContain('\u001b[2J');
  expect(store.due('soc', 10)).toEqual([]);
  expect((await cairn(['forward', 'replay', directory, 'soc', '--by', 'anna'])).code).toBe(0);
  expect(
    store.due('soc', 10).map(({ offset, value, replayedBy }) => [offset, [...value], replayedBy]),
  ).toEqual([
    [1, [1], 'anna'],
    [2, [2], 'anna'],
  ]);
});

test('what is refused again is parked again, once, and what was taken is forgotten', async () => {
  using store = new ParkedRecords(join(directory, 'parked.sqlite'));
  store.park([record(1), record(2)], 5);
  store.replay('soc', 'anna');
  const [first, second] = store.due('soc', 10);
  store.forget([first!.number]);
  store.park([{ ...second!, reason: 'again' }], 6);
  expect(store.list({ most: 10 })).toMatchObject([
    { offset: 2, state: 'parked', refusals: 2, reason: 'again' },
  ]);
});

test('nothing is sent again in nobody’s name', async () => {
  using store = new ParkedRecords(join(directory, 'parked.sqlite'));
  store.park([record(1)], 5);
  expect((await cairn(['forward', 'replay', directory, 'soc'])).code).toBe(64);
  expect((await cairn(['forward', 'replay', directory, 'soc', '--by', 'anna\nroot'])).code).toBe(64);
  expect(store.due('soc', 10)).toEqual([]);
});

test('what an older release parked is still there, and is sent again in nobody’s name where it was due', () => {
  const file = join(directory, 'parked.sqlite');
  {
    using old = new DatabaseSync(file);
    old.exec(`CREATE TABLE parked (number INTEGER PRIMARY KEY, destination TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
      "offset" INTEGER NOT NULL, appended_ms INTEGER NOT NULL, event_id TEXT NOT NULL, value BLOB NOT NULL, reason TEXT NOT NULL,
      state TEXT NOT NULL, refusals INTEGER NOT NULL DEFAULT 1, parked_ms INTEGER NOT NULL, UNIQUE (destination, topic, partition, "offset")) STRICT;
      INSERT INTO parked VALUES (1, 'soc', 't', 0, 7, 1, 'e', x'07', 'no', 'due', 1, 5)`);
  }
  using store = new ParkedRecords(file);
  expect(store.due('soc', 10)).toMatchObject([{ offset: 7, replayedBy: null }]);
});

test('looking where no forwarder has run creates nothing', async () => {
  const { code, stderr } = await cairn(['forward', 'parked', directory]);
  expect(code).toBe(64);
  expect(stderr).toContain('CAIRN_FORWARDER_DATA_DIRECTORY');
});
