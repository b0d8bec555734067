import { AUDIT_EVENT_SCHEMA_ID } from '@cairn/event';
import {
  gatewayKeyName,
  keyName,
  type Leaf,
  type Manifest,
  manifestName,
  openManifest,
  parseObjectName,
  signDatum,
} from '@cairn/ledger';
import type { EventRow, EventRows } from '@cairn/native';
import { type DatumSigner, streamsOf } from '../../../../tools/traffic/src/index.ts';
import { recordOf, seedFrom, signerOf } from '../../../ledger/test/deployment.ts';
import { Archive, DEPLOYMENT, Keys, ORIGIN } from './archive-on-disk.ts';

export const TOPIC = 'audit.events.standard';
const DAY_MS = 86_400_000;

export interface ColdWorld {
  readonly archive: Archive;
  /** As ingest inserts them, a day after the other. */
  readonly chunks: readonly EventRows[];
  readonly manifests: readonly Manifest[];
}

/**
 * Events of several agents, received by one partition evenly over some whole days, archived in segments of so many leaves. Some
 * segments reach over midnight.
 *
 * @param firstDay `YYYY-MM-DD`
 */
export function coldWorldOf(options: {
  readonly firstDay: string;
  readonly days: number;
  readonly events: number;
  readonly segmentLeaves: number;
  /** Gateways open their streams and sign, with keys that the history has: all of it verifies. */
  readonly isSigned?: boolean;
}): ColdWorld {
  const { firstDay, days, events, segmentLeaves, isSigned = false } = options;
  const begin = Date.parse(`${firstDay}T00:00:00Z`);
  const archive = new Archive(new Keys());
  const byDay = new Map<number, EventRow[]>();
  const { keys } = archive;
  const signerFor = (org: string, gateway: string): DatumSigner => {
    const seed = seedFrom(100 + Number(gateway.slice('gw-'.length)));
    const { key, privateKey } = signerOf(gatewayKeyName(DEPLOYMENT, org, gateway), seed);
    keys.add('gateway', `${org}/${gateway}`, key);
    return { keyId: key.keyId, sign: (datum) => signDatum(privateKey, AUDIT_EVENT_SCHEMA_ID, datum) };
  };
  const traffic = streamsOf({
    seed: 11,
    gateways: 6,
    startMicros: begin * 1_000,
    eventsPerSecond: 0.004,
    ...(isSigned && { signerOf: signerFor }),
  });
  let offset = 0;
  for (const { seq, datum } of traffic.take(events)) {
    const receivedAtMs = begin + Math.floor((offset * days * DAY_MS) / events);
    const accepted = archive.acceptance.accept(recordOf(offset, datum, receivedAtMs));
    if (accepted.outcome !== 'leaf') throw new Error(`offset ${offset} is no leaf`);
    archive.appendLeaf(accepted.leaf);
    const day = Math.floor((receivedAtMs - begin) / DAY_MS);
    byDay.set(day, [...(byDay.get(day) ?? []), rowOf(accepted.leaf, datum, seq > 0)]);
    offset += 1;
    if (offset % segmentLeaves === 0) archive.cut();
  }
  if (offset % segmentLeaves !== 0) archive.cut();
  for (const [number, note] of keys.notes.entries()) archive.bucket.set(keyName(number), note);
  const manifests = [...archive.bucket]
    .filter(([name]) => parseObjectName(name)?.kind === 'manifest')
    .map(([, note]) => openManifest(note, [archive.keys.archive.key]));
  return { archive, manifests, chunks: [...byDay.values()].map(chunkOf) };
}

const rowOf = ({ offset, receivedAtMs, hash }: Leaf, datum: Uint8Array, linked: boolean): EventRow => ({
  offset,
  receivedAtMs,
  leafHash: hash,
  linked,
  schemaId: AUDIT_EVENT_SCHEMA_ID,
  bytes: datum,
  start: 0,
  end: datum.length,
});

function chunkOf(rows: readonly EventRow[]): EventRows {
  return { topic: TOPIC, partition: 0, rows };
}

export { manifestName, ORIGIN };
