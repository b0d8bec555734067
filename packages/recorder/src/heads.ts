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

/** Whose streams they are. A directory belongs to one gateway. */
export interface HeadsOwner {
  readonly deployment: string;
  readonly gatewayId: string;
}

/*
 * Snapshot in the head of a spool file: JSON
 *   {"deployment": "…", "gateway": "…", "streams": {"<org>": [epoch, seq, "<hash hex>"], …}}
 */

export function encodeHeads(owner: HeadsOwner, heads: ReadonlyMap<string, Head>): Uint8Array {
  const streams: [string, unknown][] = [];
  for (const [orgId, { epoch, seq, hash }] of heads) {
    streams.push([orgId, [epoch, seq, Buffer.from(hash).toString('hex')]]);
  }
  const { deployment, gatewayId } = owner;
  return Buffer.from(
    JSON.stringify({ deployment, gateway: gatewayId, streams: Object.fromEntries(streams) }),
  );
}

export interface RecoveredHeads {
  readonly heads: ReadonlyMap<string, Head>;
  /** Streams that had later events, which the spool has lost. */
  readonly behind: ReadonlySet<string>;
  /** Highest epoch seen, 0 when none. */
  readonly epoch: number;
}

/** The last state of every stream: the newest readable snapshot and the records after it. */
export function recoverHeads(owner: HeadsOwner, recovered: RecoveredSpool): RecoveredHeads {
  const heads = new Map<string, Head>();
  const knownAt = new Map<string, number>();
  const last = new Map<string, { number: number; position: Head; schemaId: number; datum: Uint8Array }>();
  let epoch = 0;
  let lostEnd = 0;
  for (const { first, content } of recovered.contents) {
    for (const damage of content.damages) {
      if (damage.what === 'lost' && damage.numbers.to > damage.numbers.from) lostEnd = damage.numbers.to;
    }
    if (content.head !== undefined) {
      for (const [orgId, head] of decodeHeads(owner, content.head.snapshot)) {
        epoch = Math.max(epoch, head.epoch);
        if (!isAfter(head, heads.get(orgId))) continue;
        heads.set(orgId, head);
        last.delete(orgId);
        knownAt.set(orgId, first);
      }
    }
    for (const { number, body } of content.records) {
      const routed = decodeRouted(body);
      const frame = unframe(routed.frame);
      const walked = frame.ok ? walkDatum(frame.datum, frame.schemaId) : undefined;
      if (!frame.ok || walked?.ok !== true) continue;
      epoch = Math.max(epoch, walked.epoch);
      const position = { epoch: walked.epoch, seq: walked.seq, hash: EMPTY };
      if (!isAfter(position, heads.get(routed.orgId))) continue;
      heads.set(routed.orgId, position);
      last.set(routed.orgId, { number, position, schemaId: frame.schemaId, datum: frame.datum });
      knownAt.set(routed.orgId, number);
    }
  }
  for (const [orgId, { position, schemaId, datum }] of last) {
    heads.set(orgId, { ...position, hash: leafHash(schemaId, datum) });
  }
  const behind = new Set([...knownAt].filter(([, number]) => number < lostEnd).map(([orgId]) => orgId));
  return { heads, behind, epoch };
}

const EMPTY = new Uint8Array(32);

function isAfter(head: Head, other: Head | undefined): boolean {
  if (other === undefined) return true;
  return head.epoch > other.epoch || (head.epoch === other.epoch && head.seq > other.seq);
}

function decodeHeads(owner: HeadsOwner, snapshot: Uint8Array): [string, Head][] {
  const { deployment, gateway, streams } = JSON.parse(Buffer.from(snapshot).toString('utf8')) as {
    deployment: string;
    gateway: string;
    streams: Record<string, [number, number, string]>;
  };
  if (deployment !== owner.deployment || gateway !== owner.gatewayId) {
    throw new Failure({
      code: 'recorder.identity',
      retry: 'no',
      message: `The spool belongs to gateway ${gateway} of ${deployment}, not to ${owner.gatewayId} of ${owner.deployment}.`,
      mend: 'Give every gateway its own directory.',
    });
  }
  return Object.entries(streams).map(([orgId, [epoch, seq, hash]]) => [
    orgId,
    { epoch, seq, hash: Buffer.from(hash, 'hex') },
  ]);
}
