import type { ArchivedSegment } from '@cairn/archive';
import { manifestName } from '@cairn/ledger';
import { ROW_SETTINGS } from '@cairn/query';
import { z } from 'zod';
import { type Asked, route } from './route.ts';

const LIMITS = { max_execution_time: 30, max_memory_usage: 2_000_000_000, ...ROW_SETTINGS } as const;
/** As long as the runs of archival's job can be looked up: an event of each is in the hot table. */
const RUNS_MAX = 10_000;
const STREAMS_MAX = 10_000;

const countSchema = z
  .object({ of: z.string().describe('Where it is from.'), as_of: z.int().nullable() })
  .describe('`as_of` in milliseconds since 1970; null where it is not known here.');

export const readCompletenessRoute = route({
  id: 'readCompleteness',
  method: 'get',
  path: '/v1/completeness',
  summary:
    'Of each stream of each gateway four counts: numbers given, events stored, events archived, events that were read back. Where they differ, it says why.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'completeness/read'],
  response: z
    .object({
      streams: z.array(
        z.object({
          gateway_id: z.string(),
          epoch: z.int(),
          numbers_from: z.int().describe('First number that ClickHouse or the archive holds.'),
          numbers_to: z.int(),
          accepted: z
            .int()
            .describe('Numbers from the first to the last: so many events the gateway accepted.'),
          stored: z.int().describe('Of these, events in ClickHouse.'),
          stored_from: z
            .int()
            .nullable()
            .describe('First number there: above the first once days were dropped.'),
          missing: z.int().describe('Numbers from there on that have no event in ClickHouse.'),
          archived: z.int().nullable().describe('Events in segments that stand; null without an archive.'),
          archived_deleted: z
            .int()
            .nullable()
            .describe('Events of segments that were deleted when their retention ended.'),
          archived_missing: z
            .int()
            .nullable()
            .describe('Numbers, as far as the archive goes, that it does not hold.'),
          waiting: z.int().nullable().describe('Numbers behind those: a segment ends within some minutes.'),
          verified: z
            .int()
            .nullable()
            .describe(
              `Archived events whose segments archival read back since, without a finding; by its latest ${RUNS_MAX} runs.`,
            ),
          signed_to: z.int().nullable(),
          last_received_at: z.int().nullable().describe('Milliseconds since 1970; of what ClickHouse holds.'),
        }),
      ),
      more: z
        .boolean()
        .describe(
          `ClickHouse holds more than ${STREAMS_MAX} streams of the organisation: of these the last ones by gateway are not told, and nothing is told to be complete.`,
        ),
      complete: z
        .boolean()
        .describe('No number is missing, in ClickHouse or in the archive, and every stream is told.'),
      counts: z.object({
        accepted: countSchema,
        stored: countSchema,
        archived: countSchema,
        verified: countSchema,
      }),
    })
    .meta({ id: 'Completeness' }),
  async answer({ caller, clickhouse, archive, now, installationOrg }) {
    const found = await storedIn(clickhouse, caller.orgId);
    const more = found.length > STREAMS_MAX;
    const stored = new Map(
      found.slice(0, STREAMS_MAX).map((row) => [keyOf(row.gateway_id, row.epoch), row] as const),
    );
    const state = await archive?.state();
    const runs = state === undefined ? [] : await verifiedRuns(clickhouse, installationOrg);
    const archived = state && archivedIn(state.segments, caller.orgId, runs);
    const names = [...new Set([...stored.keys(), ...(archived?.keys() ?? [])])].sort();
    const streams = names.map((name) =>
      compared(name, stored.get(name), archived && (archived.get(name) ?? NONE)),
    );
    const complete =
      !more &&
      streams.every(({ missing, archived_missing: lacking }) => missing === 0 && (lacking ?? 0) === 0);
    const counts = {
      accepted: {
        of: 'the numbers that gateways gave, by the first and last that ClickHouse or the archive holds',
        as_of: now / 1_000,
      },
      stored: { of: 'cairn.events in ClickHouse', as_of: now / 1_000 },
      archived: {
        of: 'the signed manifests of the archive, which lead to signed roots',
        as_of: state?.readAtMs ?? null,
      },
      verified: {
        of: 'runs of archival’s job verify that found nothing, by their events',
        as_of: runs[0]?.atMs ?? null,
      },
    };
    return { body: { streams, more, complete, counts }, facts: { rows: streams.length, complete } };
  },
});

interface Stored {
  readonly gateway_id: string;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly events: number;
  readonly signed_to: number | null;
  readonly last_received_at: number;
}

const keyOf = (gateway: string, epoch: number): string => JSON.stringify([gateway, epoch]);

/** One more than are told, where there are so many. */
function storedIn(
  clickhouse: Asked<unknown, unknown, unknown>['clickhouse'],
  orgId: string,
): Promise<Stored[]> {
  return clickhouse.query<Stored>(
    `SELECT toString(gateway_id) AS gateway_id, epoch, min(seq) AS from, max(seq) AS to,
       toInt64(uniqExact(seq)) AS events, if(countIf(signature != '') = 0, NULL, maxIf(seq, signature != '')) AS signed_to,
       toUnixTimestamp64Milli(max(received_at)) AS last_received_at
     FROM cairn.events WHERE org_id = {org:String} GROUP BY gateway_id, epoch ORDER BY gateway_id, epoch LIMIT {limit:UInt32}`,
    { org: orgId, limit: STREAMS_MAX + 1 },
    LIMITS,
  );
}

/** What one run of archival's job read back: all manifests from one name to another. */
interface VerifiedRun {
  readonly from: string;
  readonly to: string;
  readonly atMs: number;
}

/** The latest first. A run that found something says nothing of what it read. */
async function verifiedRuns(
  clickhouse: Asked<unknown, unknown, unknown>['clickhouse'],
  org: string,
): Promise<VerifiedRun[]> {
  return clickhouse.query<VerifiedRun>(
    `SELECT JSONExtractString(detail, 'from') AS from, JSONExtractString(detail, 'to') AS to,
       toUnixTimestamp64Milli(max(timestamp)) AS atMs
     FROM cairn.events
     WHERE org_id = {org:String} AND kind = 'admin' AND service = 'archival' AND method = 'job/verify' AND result_status = 'success'
       AND JSONExtractInt(detail, 'found') = 0 AND JSONHas(detail, 'from') AND JSONExtractString(detail, 'to') != ''
     GROUP BY from, to ORDER BY atMs DESC LIMIT {limit:UInt32}`,
    { org, limit: RUNS_MAX },
    LIMITS,
  );
}

interface Archived {
  readonly from: number;
  readonly to: number;
  readonly events: number;
  readonly deleted: number;
  readonly verified: number;
  readonly signedTo: number;
}

const NONE: Archived = { from: 0, to: -1, events: 0, deleted: 0, verified: 0, signedTo: -1 };

/** What the manifests say of the streams of an organisation. */
function archivedIn(
  segments: readonly ArchivedSegment[],
  orgId: string,
  runs: readonly VerifiedRun[],
): Map<string, Archived> {
  const streams = new Map<string, Archived>();
  const isWithin = withinSome(runs);
  for (const { manifest, isDeleted } of segments) {
    const name = manifestName(manifest.origin, manifest.first);
    const isVerified = !isDeleted && isWithin(name);
    for (const stream of manifest.streams) {
      if (stream.org !== orgId) continue;
      const key = keyOf(stream.gateway, stream.epoch);
      const before = streams.get(key);
      streams.set(key, {
        from: Math.min(before?.from ?? stream.first_seq, stream.first_seq),
        to: Math.max(before?.to ?? stream.last_seq, stream.last_seq),
        events: (before?.events ?? 0) + (isDeleted ? 0 : stream.events),
        deleted: (before?.deleted ?? 0) + (isDeleted ? stream.events : 0),
        verified: (before?.verified ?? 0) + (isVerified ? stream.events : 0),
        signedTo: Math.max(before?.signedTo ?? -1, stream.sealed_to),
      });
    }
  }
  return streams;
}

/** Whether a name lies in one of the ranges, both ends inside. */
function withinSome(ranges: readonly VerifiedRun[]): (name: string) => boolean {
  const sorted = ranges.toSorted((one, other) => (one.from < other.from ? -1 : 1));
  // How far those reach that begin up to here.
  let reach = '';
  const reaches = sorted.map(({ to }) => (reach = to > reach ? to : reach));
  return (name) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]!.from <= name) low = middle + 1;
      else high = middle;
    }
    return low > 0 && reaches[low - 1]! >= name;
  };
}

function compared(name: string, stored: Stored | undefined, archived: Archived | undefined) {
  const [gateway, epoch] = JSON.parse(name) as [string, number];
  const isArchived = archived !== undefined && archived.to >= 0;
  const from = Math.min(
    stored?.from ?? Number.MAX_SAFE_INTEGER,
    isArchived ? archived.from : Number.MAX_SAFE_INTEGER,
  );
  const to = Math.max(stored?.to ?? -1, isArchived ? archived.to : -1);
  const signed = Math.max(stored?.signed_to ?? -1, archived?.signedTo ?? -1);
  return {
    gateway_id: gateway,
    epoch,
    numbers_from: from,
    numbers_to: to,
    accepted: to - from + 1,
    stored: stored?.events ?? 0,
    stored_from: stored?.from ?? null,
    missing: stored === undefined ? 0 : to - stored.from + 1 - stored.events,
    archived: archived?.events ?? null,
    archived_deleted: archived?.deleted ?? null,
    archived_missing:
      archived === undefined
        ? null
        : isArchived
          ? archived.to - from + 1 - archived.events - archived.deleted
          : 0,
    waiting: archived === undefined ? null : isArchived ? to - archived.to : to - from + 1,
    verified: archived?.verified ?? null,
    signed_to: signed < 0 ? null : signed,
    last_received_at: stored?.last_received_at ?? null,
  };
}
