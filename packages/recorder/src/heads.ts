import { leafHash, unframe, walkDatum } from '@cairn/event';
import { Failure } from '@cairn/failure';
import type { RecoveredSpool } from './recover-spool.ts';
import { decodeRouted } from './routed-frame.ts';

/** Where a stream stands: its last durable event. */
export interface Head {
  readonly epoch: number;
  readonly seq: number;
  readonly hash: Uint8Array;
}

/** What is known of a stream's end. */
export interface Standing {
  /** Its last durable event, as far as known. */
  readonly head: Head | undefined;
  /** There were or may have been later events, which the spool has lost. */
  readonly unknown: boolean;
}

/** Whose streams they are. A directory belongs to one gateway. */
export interface HeadsOwner {
  readonly deployment: string;
  readonly gatewayId: string;
}

/*
 * Snapshot in the head of a spool file: JSON
 *   {"deployment": "…", "gateway": "…", "streams": {"<org>": [epoch, seq, "<hash hex>", unknown], …}}
 * A stream of which nothing but its having been is known has epoch and seq -1 and an empty hash.
 */

export function encodeHeads(owner: HeadsOwner, standings: ReadonlyMap<string, Standing>): Uint8Array {
  const streams: [string, unknown][] = [];
  for (const [orgId, { head, unknown }] of standings) {
    const hash = head === undefined ? '' : Buffer.from(head.hash).toString('hex');
    streams.push([orgId, [head?.epoch ?? -1, head?.seq ?? -1, hash, unknown]]);
  }
  const { deployment, gatewayId } = owner;
  return Buffer.from(
    JSON.stringify({ deployment, gateway: gatewayId, streams: Object.fromEntries(streams) }),
  );
}

export interface RecoveredHeads {
  readonly standings: Map<string, Standing>;
  /** Highest epoch seen, 0 when none. */
  readonly epoch: number;
}

/** The last state of every stream: the newest readable snapshot and the records after it. */
export function recoverHeads(owner: HeadsOwner, recovered: RecoveredSpool): RecoveredHeads {
  const standings = new Map<string, Standing>();
  /** Number of the record, or first number of the snapshot, that a standing is from. */
  const knownAt = new Map<string, number>();
  const lastDatum = new Map<string, { schemaId: number; datum: Uint8Array }>();
  let lostEnd = 0;
  for (const { first, content } of recovered.contents) {
    for (const { what, numbers } of content.damages) {
      if (what === 'lost' && numbers.to > numbers.from) lostEnd = numbers.to;
    }
    const snapshot = content.head === undefined ? [] : decodeHeads(owner, content.head.snapshot);
    for (const [orgId, standing] of snapshot) {
      if (isBefore(standing.head, standings.get(orgId)?.head)) continue;
      standings.set(orgId, standing);
      lastDatum.delete(orgId);
      knownAt.set(orgId, first);
    }
    for (const { number, body } of content.records) {
      const { orgId, frame } = decodeRouted(body);
      const unframed = unframe(frame);
      const walked = unframed.ok ? walkDatum(unframed.datum, unframed.schemaId) : undefined;
      if (!unframed.ok || walked?.ok !== true) continue;
      const head = { epoch: walked.epoch, seq: walked.seq, hash: EMPTY };
      if (isBefore(head, standings.get(orgId)?.head)) continue;
      standings.set(orgId, { head, unknown: false });
      lastDatum.set(orgId, unframed);
      knownAt.set(orgId, number);
    }
  }
  let epoch = 0;
  for (const [orgId, { head, unknown }] of standings) {
    epoch = Math.max(epoch, head?.epoch ?? 0);
    const last = lastDatum.get(orgId);
    standings.set(orgId, {
      head: last === undefined ? head : { ...head!, hash: leafHash(last.schemaId, last.datum) },
      unknown: unknown || knownAt.get(orgId)! < lostEnd,
    });
  }
  return { standings, epoch };
}

const EMPTY = new Uint8Array(32);

function isBefore(head: Head | undefined, other: Head | undefined): boolean {
  if (other === undefined) return false;
  if (head === undefined || head.epoch < other.epoch) return true;
  return head.epoch === other.epoch && head.seq < other.seq;
}

function decodeHeads(owner: HeadsOwner, snapshot: Uint8Array): [string, Standing][] {
  const { deployment, gateway, streams } = JSON.parse(Buffer.from(snapshot).toString('utf8')) as {
    deployment: string;
    gateway: string;
    streams: Record<string, [number, number, string, boolean]>;
  };
  if (deployment !== owner.deployment || gateway !== owner.gatewayId) {
    throw new Failure({
      code: 'recorder.identity',
      retry: 'no',
      message: `The spool belongs to gateway ${gateway} of ${deployment}, not to ${owner.gatewayId} of ${owner.deployment}.`,
      mend: 'Give every gateway its own directory.',
    });
  }
  return Object.entries(streams).map(([orgId, [epoch, seq, hash, unknown]]) => {
    const head = epoch < 0 ? undefined : { epoch, seq, hash: Buffer.from(hash, 'hex') };
    return [orgId, { head, unknown }];
  });
}
