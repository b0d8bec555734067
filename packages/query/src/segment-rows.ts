import { Failure, isFailure, messageOf } from '@cairn/failure';
import {
  CompactRange,
  type HashText,
  hashOfHex,
  hexOfHash,
  isHashAt,
  type Manifest,
  parseOrigin,
  readSegment,
  type SegmentObject,
} from '@cairn/ledger';
import type { EventRow, EventRows } from '@cairn/native';

/** The last event of each stream of a log, as far as its segments were passed; in order of the log. */
export class StreamHeads {
  readonly #heads = new Map<string, { seq: number; hash: HashText }>();

  /** Passes over a segment that is not read. */
  skip({ streams }: Pick<Manifest, 'streams'>): void {
    for (const { org, gateway, epoch, last_seq: seq, head } of streams)
      this.#heads.set(keyOf(org, gateway, epoch), { seq, hash: hashOfHex(head) });
  }

  /** Passes over an event. @returns whether it follows the one before it in its stream, and links to it. */
  pass(
    { orgId, gatewayId, epoch, seq, prevHashAt }: PassedEvent,
    hash: HashText,
    bytes: Uint8Array,
  ): boolean {
    const key = keyOf(orgId, gatewayId, epoch);
    const head = this.#heads.get(key);
    this.#heads.set(key, { seq, hash });
    return head !== undefined && seq === head.seq + 1 && isHashAt(head.hash, bytes, prevHashAt);
  }
}

interface PassedEvent {
  readonly orgId: string;
  readonly gatewayId: string;
  readonly epoch: number;
  readonly seq: number;
  readonly prevHashAt: number;
}

const keyOf = (org: string, gateway: string, epoch: number): string => `${org}\0${gateway}\0${epoch}`;

/**
 * The events of a segment as rows of the table, once all of its leaves were seen to lead to the nodes of its manifest: what
 * comes back is what was signed, or nothing does.
 *
 * @param objects of the segment, in the order of the manifest.
 * @param heads of the segments before; this one is passed over.
 * @param wanted which events become rows.
 * @throws Failure `archive.broken` (no) when the segment is not what its manifest says.
 */
export function rowsOfSegment(
  manifest: Manifest,
  objects: readonly SegmentObject[],
  heads: StreamHeads,
  wanted: (event: { readonly orgId: string; readonly receivedAtMs: number }) => boolean,
): EventRows {
  const { origin, first, nodes } = manifest;
  const { topic, partition } = parseOrigin(origin);
  const range = new CompactRange(first);
  const rows: EventRow[] = [];
  let page = new Uint8Array(0);
  let at = 0;
  try {
    readSegment(manifest, objects, ({ offset, receivedAtMs, schemaId, bytes, start, end, walked, hash }) => {
      range.append(hash);
      const linked = heads.pass(walked, hash, bytes);
      if (!wanted({ orgId: walked.orgId, receivedAtMs })) return;
      // What is read is written over; datums lie together, as they did.
      const size = end - start;
      if (at + size > page.length) {
        page = new Uint8Array(Math.max(PAGE_BYTES, size));
        at = 0;
      }
      page.set(bytes.subarray(start, end), at);
      rows.push({
        offset,
        receivedAtMs,
        leafHash: hash,
        linked,
        schemaId,
        bytes: page,
        start: at,
        end: at + size,
      });
      at += size;
    });
  } catch (error) {
    if (!isFailure(error)) throw error;
    throw broken(manifest, messageOf(error), error);
  }
  if (range.nodes().map(hexOfHash).join() !== nodes.join())
    throw broken(manifest, 'its leaves do not lead to the nodes of its manifest');
  return { topic, partition, rows };
}

const PAGE_BYTES = 1024 ** 2;

function broken({ origin, first }: Manifest, why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'archive.broken',
    retry: 'no',
    message: `the segment of leaf ${first} of ${origin} does not hold: ${why}`,
    mend: 'Run `cairn verify` to see all of it.',
    ...(cause === undefined ? {} : { cause }),
  });
}
