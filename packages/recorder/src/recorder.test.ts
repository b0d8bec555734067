import { setTimeout as sleep } from 'node:timers/promises';
import { type AuditEvent, decodeDatum, unframe } from '@cairn/event';
import { expect, test } from '@jest/globals';
import { MemoryLog } from '../test/memory-log.ts';
import { SimulatedDisk } from '../test/simulated-disk.ts';
import { openRecorder, type RecorderOptions } from './recorder.ts';

const PACE = { retryMs: 1, cursorMs: 1, lingerMs: 0, backoff: { firstMs: 1, mostMs: 2 } };

const open = (disk: SimulatedDisk, log: MemoryLog, more: Partial<RecorderOptions> = {}) =>
  openRecorder(
    {
      directory: '/r',
      deployment: 'test',
      gatewayId: 'gw',
      gatewayVersion: '1',
      environment: 'test',
      capture: 'gateway',
      topicOf: () => 'audit.events.standard',
      partitions: 1,
      log: log.session(),
      seal: { everyMs: 20, heartbeatMs: 50 },
      ...more,
    },
    { disk: disk.session(), pace: PACE },
  );

const call = (org_id: string) => ({ org_id, kind: 'tool_call', phase: 'single' }) as const;

const eventsOf = (log: MemoryLog): AuditEvent[] =>
  [...log.partitions.values()].flat().map((value) => {
    const unframed = unframe(value);
    if (!unframed.ok) throw new Error(unframed.reason);
    return decodeDatum(unframed.datum);
  });

/** How many refused calls an organisation's gap events own up to, once they do. */
async function ownedUpTo(log: MemoryLog, orgId: string, wanted: number): Promise<number> {
  const sum = (): number =>
    eventsOf(log)
      .filter(({ org_id, kind }) => org_id === orgId && kind === 'gap')
      .reduce((total, { detail }) => total + (JSON.parse(detail) as { gap_count: number }).gap_count, 0);
  for (let wait = 0; wait < 200 && sum() < wanted; wait += 1) await sleep(10);
  return sum();
}

test('a clock may tell microseconds between two milliseconds', async () => {
  const log = new MemoryLog();
  let micros = 1_795_000_000_000_123;
  await using recorder = await open(new SimulatedDisk(), log, {
    clock: { nowMicros: () => (micros += 777) },
  });
  expect((await recorder.record(call('acme'))).durable).toBe(true);
});

test('a call that is refused before its organisation has a stream is owned up to as any other', async () => {
  const [disk, log] = [new SimulatedDisk(), new MemoryLog()];
  await using recorder = await open(disk, log);
  await recorder.record(call('acme'));
  disk.plan = (operation, path) => (operation === 'append' && path.endsWith('.wal') ? 'before' : undefined);
  await expect(recorder.record(call('acme'))).rejects.toMatchObject({ code: 'spool.failed' });
  // While the write is tried again, nothing of these gets as far as a stream.
  await expect(recorder.record(call('globex'))).rejects.toMatchObject({ code: 'spool.failed' });
  await expect(recorder.record(call('globex'))).rejects.toMatchObject({ code: 'spool.failed' });
  disk.plan = () => undefined;
  expect(await ownedUpTo(log, 'globex', 2)).toBe(2);
});

test('a call that is refused because its organisation’s key cannot be stored is owned up to', async () => {
  const [disk, log] = [new SimulatedDisk(), new MemoryLog()];
  await using recorder = await open(disk, log, { onFull: 'gap' });
  disk.plan = (operation, path) => (operation === 'create' && path.includes('/keys/') ? 'before' : undefined);
  expect((await recorder.record(call('acme'))).durable).toBe(false);
  disk.plan = () => undefined;
  expect(await ownedUpTo(log, 'acme', 1)).toBe(1);
  expect(recorder.stats().refused).toBe(1);
});

test('what is acknowledged after the recorder was closed changes nothing in its directory', async () => {
  const [disk, log] = [new SimulatedDisk(), new MemoryLog()];
  const gate = Promise.withResolvers<void>();
  log.gate = gate.promise;
  const recorder = await open(disk, log);
  await recorder.record(call('acme'));
  await recorder.close(20);
  const before = disk.calls.length;
  gate.resolve();
  await sleep(50);
  expect(disk.calls.slice(before)).toEqual([]);
});
