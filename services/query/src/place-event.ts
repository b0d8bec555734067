import { type FoundEvent, findInSegment } from '@cairn/archive';
import { type AuditEvent, decodeDatum, hexOf, parseUuid, SCHEMAS } from '@cairn/event';
import { originOf } from '@cairn/ledger';
import { ROW_SETTINGS } from '@cairn/query';
import type { ApiArchive } from './open-archive.ts';
import { Refusal } from './problem.ts';
import type { Asked } from './route.ts';

/** Segments that are read for an event that ClickHouse does not hold. */
const SEGMENTS_MAX = 16;

/** An event of the archive, with what its bytes say. */
export interface ArchivedEvent extends FoundEvent {
  readonly event: AuditEvent;
}

/**
 * An event of the caller's organisation, in the archive. Where ClickHouse has it, one segment is read; else those that have events
 * of the organisation at the time that stands in the event's id.
 *
 * @throws Refusal `not-found`, also of an event of another organisation; `answer.too-large` when too many segments may hold it;
 *   Failure of the archive.
 */
export async function archivedEvent(
  { caller, clickhouse }: Pick<Asked<unknown, unknown, unknown>, 'caller' | 'clickhouse'>,
  archive: ApiArchive,
  eventId: string,
): Promise<ArchivedEvent> {
  const { orgId } = caller;
  const { segments } = await archive.state();
  const [row] = await clickhouse.query<{ topic: string; partition: number; offset: number }>(
    `SELECT topic, partition, offset FROM cairn.events WHERE org_id = {org:String} AND event_id = {id:UUID}
     UNION ALL SELECT topic, partition, offset FROM cairn.restored_events WHERE org_id = {org:String} AND event_id = {id:UUID} LIMIT 1`,
    { org: orgId, id: eventId },
    ROW_SETTINGS,
  );
  const id = parseUuid(eventId);
  const ms = timeOf(id);
  const origin =
    row && originOf({ deployment: archive.deployment, topic: row.topic, partition: row.partition });
  const asked = segments.filter(({ manifest }) => {
    if (!manifest.streams.some(({ org }) => org === orgId)) return false;
    if (row !== undefined)
      return (
        manifest.origin === origin &&
        manifest.offsets.first <= row.offset &&
        row.offset <= manifest.offsets.last
      );
    const { min, max } = manifest.timestamps;
    return ms !== undefined && Math.floor(min / 1_000) <= ms && ms <= Math.floor(max / 1_000);
  });
  const standing = asked.filter(({ isDeleted }) => !isDeleted);
  if (standing.length > SEGMENTS_MAX)
    throw new Refusal(
      'answer.too-large',
      `${standing.length} segments may hold it, and at most ${SEGMENTS_MAX} are read: \`cairn proof\` reads all.`,
    );
  for (const { placed } of standing) {
    const found = await findInSegment(archive.evidence, placed, id);
    if (found === undefined) continue;
    const event = eventIn(found.entry);
    if (event?.org_id === orgId) return { ...found, event };
  }
  if (asked.length > standing.length)
    throw new Refusal(
      'archive.deleted',
      'The segment that may have held it was deleted when its retention ended.',
    );
  throw new Refusal(
    'not-found',
    row === undefined
      ? 'Neither ClickHouse nor the archive holds such an event of your organisation.'
      : 'It is recorded and not archived yet: that takes some minutes.',
  );
}

/** Milliseconds in a UUIDv7 (RFC 9562, section 5.7); undefined for another id. */
function timeOf(id: Uint8Array): number | undefined {
  if (id[6]! >> 4 !== 7) return undefined;
  return id.subarray(0, 6).reduce((ms, byte) => ms * 256 + byte, 0);
}

/** An entry is the single-object encoding of an event (schemas/README.md). */
function eventIn(entry: Uint8Array): AuditEvent | undefined {
  const crc64 = hexOf(entry.subarray(2, 10));
  const schema = SCHEMAS.find((one) => one.crc64 === crc64);
  return schema && decodeDatum(entry.slice(10), schema.id);
}
