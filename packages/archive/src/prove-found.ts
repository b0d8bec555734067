import { type AuditEvent, decodeDatum, hexOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { hexOfHash, type Leaf, originOf } from '@cairn/ledger';
import { ANSWER_FIELDS, type FoundEvent } from '@cairn/query';
import type { ArchivedSegment } from './archive-segments.ts';
import type { Evidence } from './evidence.ts';
import { readLeaves } from './walk-log.ts';

/** An event that was found in the archive, at its place there: what `cairn proof` needs and a tlog-proof says. */
export interface PlacedEvent extends FoundEvent {
  /** Its leaf in the log of its topic and partition; undefined for an event out of ClickHouse. */
  readonly leaf_index?: number;
}

export interface Placed {
  /** As they were given, in that order. */
  readonly events: readonly PlacedEvent[];
  /** Segments that were read for it. */
  readonly segments: number;
}

/**
 * Gives each cold event its place: the leaf in its log, and the leaf hash, over the bytes that the archive keeps. For this the
 * segment that holds it is read once more, by ourselves and the version that was put first, and its leaves are seen to lead to
 * its manifest's nodes and so to the signed root. A row that is in no segment is not of the archive, and nothing is answered.
 *
 * @param segments of the archive, as `readArchive` found them.
 * @param isProven also compares every field of every cold row with the event's own bytes: ClickHouse reads the latest version
 *   of an object, which may be another than the one that was signed.
 * @throws Failure `answer.unproven` (no) when a row is not what the archive holds; `archive.broken`, `archive.deleted` (no).
 */
export async function placeFound(
  evidence: Evidence,
  deployment: string,
  segments: readonly ArchivedSegment[],
  events: readonly FoundEvent[],
  isProven: boolean,
): Promise<Placed> {
  const wanted = Map.groupBy(events.filter(isCold), (event) => segmentOf(deployment, segments, event));
  const places = new Map<FoundEvent, { readonly index: number; readonly hash: string }>();
  for (const [segment, rows] of wanted) {
    const byOffset = new Map(rows.map((row) => [row.offset, row]));
    const differing = new Map<FoundEvent, string>();
    // Nothing is said before all leaves were seen to be those of the manifest.
    await readLeaves(evidence, segment.placed, (leaf, index) => {
      const row = byOffset.get(leaf.offset);
      if (row === undefined) return;
      places.set(row, { index, hash: hexOfHash(leaf.hash) });
      const field = isProven ? differenceOf(row, leaf) : undefined;
      if (field !== undefined) differing.set(row, `its ${field} is not that of leaf ${index}`);
    });
    for (const [row, why] of differing) throw unproven(row, why);
    const missing = rows.find((row) => !places.has(row));
    if (missing !== undefined)
      throw unproven(missing, `the segment of leaf ${segment.manifest.first} has no such event`);
  }
  return {
    events: events.map((event) => {
      const place = places.get(event);
      return place === undefined ? event : { ...event, leaf_index: place.index, leaf_hash: place.hash };
    }),
    segments: wanted.size,
  };
}

const isCold = ({ store }: FoundEvent): boolean => store === 'archive' || store === 'copy';

function segmentOf(
  deployment: string,
  segments: readonly ArchivedSegment[],
  event: FoundEvent,
): ArchivedSegment {
  const { topic, partition, offset } = event;
  const origin = originOf({ deployment, topic, partition });
  const segment = segments.find(
    ({ manifest }) =>
      manifest.origin === origin && manifest.offsets.first <= offset && offset <= manifest.offsets.last,
  );
  if (segment === undefined) throw unproven(event, 'no segment of the archive has its offset');
  return segment;
}

/** The first field of a row that the event itself has otherwise. */
export function differenceOf(row: FoundEvent, leaf: Leaf): string | undefined {
  if (row.received_at !== leaf.receivedAtMs) return 'received_at';
  if (row.leaf_hash !== null && row.leaf_hash !== hexOfHash(leaf.hash)) return 'leaf_hash';
  const event = decodeDatum(leaf.bytes.slice(leaf.start, leaf.end), leaf.schemaId);
  return ANSWER_FIELDS.find((name) => !isShown(event[name as keyof AuditEvent], row[name]));
}

/** Bytes of a keyed hash that the table keeps at least (docs/adr/0006-the-table-keeps-half-of-a-keyed-hash.md). */
const HASH_BYTES_SHOWN = 16;

/** Whether a value of an event is what a row shows of it: ids and bytes as text, absent values as the empty ones of a column. */
function isShown(value: unknown, shown: unknown): boolean {
  if (value === null || value === undefined) return isEmpty(shown);
  if (value instanceof Uint8Array) {
    if (typeof shown !== 'string') return value.length === 0 && isEmpty(shown);
    const [hex, digits] = [hexOf(value), shown.replaceAll('-', '')];
    return hex === digits || (digits.length >= 2 * HASH_BYTES_SHOWN && hex.startsWith(digits));
  }
  if (Array.isArray(value))
    return (
      Array.isArray(shown) &&
      shown.length === value.length &&
      value.every((one, at) => isShown(one, shown[at]))
    );
  if (typeof value === 'object')
    return (
      typeof shown === 'object' &&
      shown !== null &&
      Object.entries(value).every(([name, part]) =>
        isShown(part, (shown as Readonly<Record<string, unknown>>)[name]),
      )
    );
  return typeof value === 'boolean' ? Number(value) === Number(shown) : value === shown;
}

/** A column that cannot be null has the empty text. */
const isEmpty = (shown: unknown): boolean => shown === null || shown === '';

function unproven({ topic, partition, offset }: FoundEvent, why: string): Failure {
  return new Failure({
    code: 'answer.unproven',
    retry: 'no',
    message: `ClickHouse gave an event at offset ${offset} of ${topic}/${partition} that the archive does not hold so: ${why}`,
    mend: 'Run `cairn verify`: an object of the archive has another version before it, or a query copy is not as it was made.',
  });
}
