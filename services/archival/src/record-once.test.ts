import { decodeDatum, unframe } from '@cairn/event';
import { openRecorder, type Recorder } from '@cairn/recorder';
import { describe, expect, test } from '@jest/globals';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import type { Disk, DiskFile } from '../../../packages/recorder/src/disk.ts';
import { MemoryLog } from '../../../packages/recorder/test/memory-log.ts';
import { SimulatedDisk } from '../../../packages/recorder/test/simulated-disk.ts';
import { Rig } from '../test/archiver.ts';
import { DEPLOYMENT } from '../test/simulation.ts';
import type { Finding } from './finding.ts';
import { findingEvent } from './record-events.ts';
import { recordingInto } from './record-once.ts';

/** A disk on which every call that changes something fails, for as long as there is a code. */
class FailingDisk {
  code: 'EIO' | 'ENOSPC' | undefined;
  readonly disk: Disk;

  constructor() {
    const disk = new SimulatedDisk().session();
    const failing =
      <Given extends unknown[], Given2>(call: (...given: Given) => Promise<Given2>) =>
      async (...given: Given): Promise<Given2> => {
        if (this.code !== undefined) throw Object.assign(new Error(this.code), { code: this.code });
        return call(...given);
      };
    const file = (of: DiskFile): DiskFile => ({
      append: failing(of.append),
      overwrite: failing(of.overwrite),
      sync: failing(of.sync),
      cut: failing(of.cut),
      close: of.close,
    });
    this.disk = {
      ...disk,
      create: failing(async (path: string) => file(await disk.create(path))),
      createDurable: failing(async (path: string) => file(await disk.createDurable(path))),
      open: failing(async (path: string) => file(await disk.open(path))),
      rename: failing(disk.rename),
      remove: failing(disk.remove),
      syncDirectory: failing(disk.syncDirectory),
    };
  }
}

async function openOn(disk: Disk, log: MemoryLog): Promise<Recorder> {
  return openRecorder(
    {
      directory: '/recorder',
      deployment: DEPLOYMENT,
      gatewayId: 'archival',
      gatewayVersion: '0',
      environment: 'test',
      capture: 'system',
      log: log.session(),
      topicOf: () => 'audit.events.standard',
      partitions: 1,
    },
    { disk, pace: { retryMs: 1, cursorMs: 1, lingerMs: 0, backoff: { firstMs: 1, mostMs: 2 } } },
  );
}

const quiet = { error: () => {} } as unknown as Parameters<typeof recordingInto>[2];

const alertsIn = (log: MemoryLog): string[] =>
  [...log.partitions.values()].flat().flatMap((value) => {
    const framed = unframe(value);
    if (!framed.ok) throw new Error(framed.reason);
    const { kind, error_code } = decodeDatum(framed.datum, framed.schemaId);
    return kind === 'alert' ? [error_code] : [];
  });

describe.each(['EIO', 'ENOSPC'] as const)('while the disk of archival’s own events answers %s', (code) => {
  test('every event is archived, what was found is counted as not recorded, and recorded when it is found again', async () => {
    const failing = new FailingDisk();
    const log = new MemoryLog();
    const recorder = await openOn(failing.disk, log);
    let unrecorded = 0;
    const record = recordingInto(recorder, () => (unrecorded += 1), quiet);
    const gateway = new Gateway('acme', 'gw-1');
    const rig = await Rig.with([gateway]);
    const datums = gateway.stream(20);
    datums.splice(7, 2);
    rig.append(...datums);

    failing.code = code;
    const open = await rig.open();
    const found = await rig.take(open, rig.records, async () => {});
    const findings = found.map(
      ({ reason, detail }): Finding => ({
        reason: reason as Finding['reason'],
        origin: open.origin,
        at: 7,
        detail,
      }),
    );
    for (const finding of findings) await record(findingEvent(finding, 'cairn'));
    await rig.endSegment(open);
    expect(findings.map(({ reason }) => reason)).toEqual(['gap']);
    expect(unrecorded).toBe(1);
    expect(await rig.report()).toMatchObject({ proven: datums.length, reasons: { gap: 1 } });

    failing.code = undefined;
    for (const finding of [...findings, ...findings]) await record(findingEvent(finding, 'cairn'));
    expect(await recorder.flush(5_000)).toBe(true);
    expect(new Set(alertsIn(log))).toEqual(new Set(['ledger.gap']));
    expect(unrecorded).toBe(1);
    await recorder.close();
  });
});
