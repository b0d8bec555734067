// A deployment that is brought to the next release while events come. Runs in the next release (`next-release.ts`):
//
//   node services/archival/test/archive-upgrade.ts <repository of the release before> <folder for the bucket>
//
// and prints what it came to as JSON.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Acceptance, hexOfHash, parseVkey } from '@cairn/ledger';
import { openRecorder, type RecordDraft, type Recorder } from '@cairn/recorder';
import { recordOf } from '@cairn/runtime';
import { type KnownGateway, NOW_MS, Rig, TOPIC } from './archiver.ts';

/** A leaf of the log: its writer's schema and its hash, hex. */
export interface UpgradedLeaf {
  readonly schema: number;
  readonly hash: string;
}

export interface Upgraded {
  /** Verifier key of the root. */
  readonly root: string;
  /** In order. */
  readonly leaves: readonly UpgradedLeaf[];
  /** Of the same records, what the release before makes of them. */
  readonly before: { readonly leaves: readonly UpgradedLeaf[]; readonly reasons: readonly string[] };
  readonly segments: readonly {
    readonly first: number;
    readonly objects: readonly { readonly key: string; readonly schema: number; readonly leaves: number }[];
  }[];
}

interface Release {
  readonly openRecorder: typeof openRecorder;
  readonly Rig: typeof Rig;
  readonly Acceptance: typeof Acceptance;
}

const [repository = '', folder = ''] = process.argv.slice(2);
const before = {
  ...(await import(join(repository, 'packages', 'recorder', 'src', 'index.ts'))),
  ...(await import(join(repository, 'packages', 'ledger', 'src', 'index.ts'))),
  ...(await import(join(repository, 'services', 'archival', 'test', 'archiver.ts'))),
} as Release;
const next: Release = { openRecorder, Rig, Acceptance };

const BYTES_MAX = 2 ** 30;
/** The partition. */
const values: Uint8Array[] = [];
const directory = mkdtempSync(join(tmpdir(), 'cairn-upgrade-'));
try {
  process.stdout.write(JSON.stringify(await upgrade()));
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function upgrade(): Promise<Upgraded> {
  const [early, late] = [await openGateway(before, 'gw-early'), await openGateway(before, 'gw-late')];
  await recordInTurn([early, late], 40);
  const gateways = Object.entries({ 'gw-early': early, 'gw-late': late }).map(([gateway, recorder]) => ({
    org: 'acme',
    gateway,
    signer: { key: parseVkey(recorder.vkeyOf('acme')) },
  }));

  // Archival of the release before has written a segment, and has ten records of the next one, when it is ended.
  const old = await rigOf(before, gateways);
  await old.archive(values.length - 10);
  await early.close();

  // One gateway is brought to the next release, the other is not yet.
  const upgraded = await openGateway(next, 'gw-early');
  await recordInTurn([upgraded, late], 40, (recorder) =>
    recorder === upgraded ? ({ approved_by: 'person' } as Partial<RecordDraft>) : {},
  );
  await upgraded.close();
  await late.close();

  const rig = await rigOf(next, gateways);
  for await (const { key } of old.bucket.list('')) {
    const bytes = await old.bucket.get(key, { bytesMax: BYTES_MAX });
    const { retainUntil } = (await old.bucket.head(key))!.lock!;
    await rig.bucket.putLocked(key, bytes, { mode: 'COMPLIANCE', retainUntil });
  }
  await rig.archive(60);

  const segments: Upgraded['segments'][number][] = [];
  for await (const { key } of rig.bucket.list('')) {
    const bytes = await rig.bucket.get(key, { bytesMax: BYTES_MAX });
    mkdirSync(dirname(join(folder, key)), { recursive: true });
    writeFileSync(join(folder, key), bytes);
    if (key.startsWith('manifest/')) segments.push(JSON.parse(Buffer.from(bytes).toString().split('\n')[0]!));
  }
  return {
    root: rig.keys.root.key.vkey,
    leaves: acceptedBy(next).leaves,
    before: acceptedBy(before),
    segments,
  };
}

function openGateway(release: Release, gatewayId: string): Promise<Recorder> {
  return release.openRecorder({
    directory: join(directory, gatewayId),
    deployment: 'audit.example',
    gatewayId,
    gatewayVersion: '0',
    environment: 'test',
    capture: 'gateway',
    log: { append: async (_topic, _partition, more) => void values.push(...more) },
    topicOf: () => TOPIC,
    partitions: 1,
    seal: { everyEvents: 8, heartbeatMs: 3_600_000 },
  });
}

/** So that events of both stand among each other. */
async function recordInTurn(
  recorders: readonly Recorder[],
  calls: number,
  more: (recorder: Recorder) => Partial<RecordDraft> = () => ({}),
): Promise<void> {
  for (let call = 0; call < calls; call += 1) {
    for (const recorder of recorders) {
      await recorder.record({
        org_id: 'acme',
        kind: 'tool_call',
        phase: 'single',
        tool_name: `tool-${call % 7}`,
        ...more(recorder),
      });
      if (!(await recorder.flush(10_000))) throw new Error('the partition did not take an event');
    }
  }
}

/** The partition as it is by now, and an archive that knows the gateways. */
async function rigOf(release: Release, gateways: readonly KnownGateway[]): Promise<Rig> {
  const rig = await release.Rig.with(gateways);
  rig.records.push(...values.map((value, offset) => recordOf(offset, value, NOW_MS + offset)));
  return rig;
}

function acceptedBy(release: Release): Upgraded['before'] {
  const acceptance = new release.Acceptance({ partition: 0, partitions: 1 });
  const leaves: UpgradedLeaf[] = [];
  const reasons: string[] = [];
  for (const [offset, value] of values.entries()) {
    const accepted = acceptance.accept(recordOf(offset, value, NOW_MS + offset));
    if (accepted.outcome === 'leaf')
      leaves.push({ schema: accepted.leaf.schemaId, hash: hexOfHash(accepted.leaf.hash) });
    else if (accepted.outcome === 'no-event') reasons.push(accepted.reason);
  }
  return { leaves, reasons };
}
