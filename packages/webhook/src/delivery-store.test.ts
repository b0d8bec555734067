import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { alertOf } from '../test/alerts.ts';
import { DeliveryStore } from './delivery-store.ts';

let directory: string;
let store: DeliveryStore;
const file = () => join(directory, 'deliveries.sqlite');
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-deliveries-'));
  store = new DeliveryStore(file());
});
afterEach(() => {
  store[Symbol.dispose]();
  rmSync(directory, { recursive: true, force: true });
});

const to = (endpoint: string, id: string, more: Parameters<typeof alertOf>[0] = {}) => ({
  endpoint,
  alert: alertOf({ id, key: id, ...more }),
});
const idsOf = (endpoint: string, nowMs = 1_000) =>
  store.due(endpoint, nowMs, 10).map(({ alert }) => alert.id);

describe('the store of deliveries', () => {
  test('promises once: an alert that comes again changes nothing, also after it was delivered or parked', () => {
    expect(store.add([to('a', '1'), to('b', '1'), to('a', '2')], 1_000)).toBe(3);
    store.settle([
      { endpoint: 'a', id: '1', attempts: 1, outcome: { state: 'delivered', status: 200 } },
      { endpoint: 'a', id: '2', attempts: 9, outcome: { state: 'parked', status: 500, note: 'x' } },
    ]);
    expect(store.add([to('a', '1'), to('a', '2')], 2_000)).toBe(0);
    expect(idsOf('a', 9_000)).toEqual([]);
    expect(idsOf('b', 9_000)).toEqual(['1']);
  });

  test('keeps what it promised when the process ends without a word', () => {
    store.add([to('a', '1')], 1_000);
    using reader = new DeliveryStore(file());
    expect(reader.due('a', 1_000, 10)).toEqual([
      { endpoint: 'a', alert: alertOf({ id: '1', key: '1' }), attempts: 0, dueMs: 1_000, addedMs: 1_000 },
    ]);
  });

  test('gives nothing before it is due, and the oldest first', () => {
    store.add([to('a', '1'), to('a', '2'), to('a', '3')], 1_000);
    store.settle([
      {
        endpoint: 'a',
        id: '1',
        attempts: 1,
        outcome: { state: 'due', dueMs: 6_000, status: 500, note: 'x' },
      },
    ]);
    expect(idsOf('a', 5_999)).toEqual(['2', '3']);
    expect(idsOf('a', 6_000)).toEqual(['2', '3', '1']);
    expect(store.due('a', 6_000, 10)[2]?.attempts).toBe(1);
    expect(store.nextDueMs('a')).toBe(1_000);
    expect(store.nextDueMs('b')).toBeUndefined();
  });

  test('tells the end of an alert after its beginning, at each endpoint by itself', () => {
    store.add([to('a', '1', { key: 'k' }), to('b', '1', { key: 'k' })], 1_000);
    store.add([to('a', '2', { key: 'k', what: 'ended' }), to('b', '2', { key: 'k', what: 'ended' })], 1_000);
    store.settle([
      { endpoint: 'a', id: '1', attempts: 1, outcome: { state: 'due', dueMs: 9_000, status: 500, note: '' } },
      { endpoint: 'b', id: '1', attempts: 1, outcome: { state: 'delivered', status: 200 } },
    ]);
    expect(idsOf('a')).toEqual([]);
    expect(idsOf('b')).toEqual(['2']);
    store.settle([
      { endpoint: 'a', id: '1', attempts: 9, outcome: { state: 'parked', status: 500, note: '' } },
    ]);
    expect(idsOf('a')).toEqual(['2']);
  });

  test('parks what waits for an endpoint that is disabled, and a replay from another process sends it again', () => {
    store.add([to('a', '1'), to('b', '1')], 1_000);
    store.disable('a', 'gone', 2_000);
    expect(idsOf('a')).toEqual([]);
    expect(store.disabled('a')).toBe('gone');
    expect(store.disabled('b')).toBeUndefined();
    using operator = new DeliveryStore(file());
    expect(operator.list({ state: 'parked', most: 10 })).toMatchObject([
      { endpoint: 'a', id: '1', note: 'gone', alert: { title: 'Repeated denials of one agent' } },
    ]);
    expect(operator.replay('a', 5_000, 1_001)).toBe(0);
    expect(operator.replay('a', 5_000)).toBe(1);
    expect(store.disabled('a')).toBeUndefined();
    expect(store.due('a', 5_000, 10)).toMatchObject([{ attempts: 0, dueMs: 5_000 }]);
  });

  test('a success that arrives after its endpoint was disabled still counts', () => {
    store.add([to('a', '1')], 1_000);
    store.disable('a', 'gone', 2_000);
    store.settle([{ endpoint: 'a', id: '1', attempts: 1, outcome: { state: 'delivered', status: 200 } }]);
    expect(store.replay('a', 5_000)).toBe(0);
  });

  test('counts what is owed and parked, and forgets successes after a week', () => {
    store.add([to('a', '1'), to('a', '2'), to('b', '1')], 1_000);
    store.settle([{ endpoint: 'b', id: '1', attempts: 1, outcome: { state: 'delivered', status: 200 } }]);
    store.settle([
      { endpoint: 'a', id: '2', attempts: 1, outcome: { state: 'parked', status: 500, note: '' } },
    ]);
    expect(store.counts()).toEqual([{ endpoint: 'a', due: 1, parked: 1, oldestDueMs: 1_000 }]);
    store.forget(1_000 + 7 * 86_400_000);
    expect(store.add([to('b', '1')], 2_000)).toBe(0);
    store.forget(1_001 + 7 * 86_400_000);
    expect(store.add([to('b', '1'), to('a', '2')], 2_000)).toBe(1);
  });

  test('a file that is no database is refused with what to look at', () => {
    rmSync(file(), { force: true });
    expect(() => new DeliveryStore(directory)).toThrow(
      expect.objectContaining({ code: 'deliveries.unusable' }),
    );
  });
});
