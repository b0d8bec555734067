import type { ArchivedSegment } from '@cairn/archive';
import { Failure } from '@cairn/failure';
import {
  DAY_MS,
  type Day,
  dayOf,
  daysWithin,
  type HotDays,
  rowsOfSegment,
  StreamHeads,
  startOf,
} from '@cairn/query';
import { digestOf, type RestoredTable } from './restored-table.ts';

export interface RestoreOptions {
  readonly table: RestoredTable;
  readonly segments: readonly ArchivedSegment[];
  /** The objects of a segment as the archive has them now. @throws Failure when one is not there. */
  readonly read: (segment: ArchivedSegment) => Promise<readonly { schemaId: number; bytes: Uint8Array }[]>;
  /** First leaves of the segments of a log whose deletion was decided by now. */
  readonly deletedNow: (origin: string) => Promise<ReadonlySet<number>>;
  readonly hot: HotDays;
  /** Days as the broker's clock had them: from this one on, to before the other. */
  readonly from: Day;
  readonly to: Day;
  /** Organisation whose events are loaded; empty for all. */
  readonly org: string;
  /** How long the rows stay. */
  readonly until: Date;
  readonly nowMs: number;
  /** Told of every day that is done. */
  readonly onDay: (day: RestoredReport) => void;
}

export interface RestoredReport {
  readonly day: Day;
  /** `hot`: the table has it, nothing was done. `empty`: the archive has nothing of it. */
  readonly outcome: 'restored' | 'hot' | 'empty';
  readonly events: number;
  /** Segments that were read and proven. */
  readonly segments: number;
  /** Segments with events of it that were deleted under policy. */
  readonly deleted: number;
}

/**
 * Loads days back from the archive, each event once. The steps of a day are durable in this order; one that was cut off
 * anywhere is begun again, and inserts what is missing.
 *
 * 1. The day is marked as being restored, by this run and until when. Earlier runs insert nothing from now on.
 * 2. Segment after segment: read, proven against its manifest and so against the signed root, its missing rows inserted in one
 *    block, and what the table has compared with the leaves.
 * 3. What was deleted under policy meanwhile is deleted here too.
 * 4. The day is marked as restored: questions are answered from it. COMMIT POINT.
 *
 * @throws Failure `restore.day-open` (no), `restore.overtaken` (later), `restore.differs` (later), `archive.broken` (no); of the
 *   stores: then it may have had its effect, and is to be run again.
 */
export async function restoreDays(options: RestoreOptions): Promise<RestoredReport[]> {
  const { from, to, nowMs, hot, onDay } = options;
  const last = startOf(to) - 1;
  if (last >= nowMs) throw dayOpen(dayOf(nowMs));
  const held = new Set(hot.held);
  const reports: RestoredReport[] = [];
  for (const day of daysWithin(startOf(from), last)) {
    const report = held.has(day)
      ? { ...NOTHING, day, outcome: 'hot' as const }
      : await restoreDay(options, day);
    reports.push(report);
    onDay(report);
  }
  return reports;
}

const NOTHING = { events: 0, segments: 0, deleted: 0 };

async function restoreDay(options: RestoreOptions, day: Day): Promise<RestoredReport> {
  const { table, segments, org, until, read } = options;
  const begin = startOf(day);
  const isOfDay = (ms: number): boolean => ms >= begin && ms < begin + DAY_MS;
  const ofDay = segments.filter(
    ({ manifest: { received } }) => received.max >= begin && received.min < begin + DAY_MS,
  );
  if (ofDay.length === 0) return { ...NOTHING, day, outcome: 'empty' };

  // 1. From now on this run alone inserts into the day.
  const run = await table.begin(day, org, until, ofDay.length);

  // 2. Segment after segment, in the order of each log.
  const loaded: ArchivedSegment[] = [];
  let events = 0;
  let deleted = 0;
  for (const [, log] of Map.groupBy(segments, ({ manifest }) => manifest.origin)) {
    const heads = new StreamHeads();
    for (const segment of log) {
      const { manifest, isDeleted } = segment;
      const isAsked =
        ofDay.includes(segment) && (org === '' || manifest.streams.some((stream) => stream.org === org));
      if (isAsked && isDeleted) deleted += 1;
      if (!isAsked || isDeleted) {
        heads.skip(manifest);
        continue;
      }
      const rows = rowsOfSegment(
        manifest,
        await read(segment),
        heads,
        ({ orgId, receivedAtMs }) => isOfDay(receivedAtMs) && (org === '' || orgId === org),
      );
      loaded.push(segment);
      if (rows.rows.length === 0) continue;
      // Sent rows are gone from memory that is used again, so what they must be is counted before.
      const wanted = digestOf(rows);
      await run.insert(rows);
      const found = await run.leavesOf(rows);
      if (found.rows !== wanted.rows || found.sha256 !== wanted.sha256)
        throw differs(day, manifest.origin, manifest.first, wanted.rows, found.rows);
      events += rows.rows.length;
    }
  }

  // 3. A deletion that was decided while this ran: the job that deletes has looked here before, or will not look again.
  for (const [origin, log] of Map.groupBy(loaded, ({ manifest }) => manifest.origin)) {
    const gone = await options.deletedNow(origin);
    for (const { manifest } of log) {
      if (!gone.has(manifest.first)) continue;
      const [topic = '', partition = ''] = origin.split('/').slice(1);
      await run.forget(topic, Number(partition), manifest.offsets.first, manifest.offsets.last);
      deleted += 1;
    }
  }

  // 4. COMMIT POINT of the day.
  if (!(await run.end(events))) throw overtaken(day);
  return { day, outcome: 'restored', events, segments: loaded.length, deleted };
}

function dayOpen(today: Day): Failure {
  return new Failure({
    code: 'restore.day-open',
    retry: 'no',
    message: `the range reaches beyond yesterday, and ${today} is still being archived`,
    mend: `Restore days to before ${today} at the latest.`,
  });
}

function overtaken(day: Day): Failure {
  return new Failure({
    code: 'restore.overtaken',
    retry: 'later',
    message: `another restoration of ${day} has begun after this one`,
    mend: 'Run it again when the other one has ended.',
  });
}

function differs(day: Day, origin: string, first: number, wanted: number, found: number): Failure {
  return new Failure({
    code: 'restore.differs',
    retry: 'later',
    message: `the table has other rows of ${day} than the ${wanted} of the segment of leaf ${first} of ${origin}: ${found}`,
    mend: 'Another restoration may have begun; run it again when it has ended. If this stays, drop the day in cairn.restored_events.',
  });
}
