import type { ArchivedSegment } from '@cairn/archive';
import { textOf } from '@cairn/event';
import { greatestOf, originOf } from '@cairn/ledger';
import { z } from 'zod';
import { type ApiArchive, archiveOf } from './open-archive.ts';
import { Refusal } from './problem.ts';
import { anchorFor, anchorSchema } from './prove-event.ts';
import { route } from './route.ts';

const topic = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/);
const partition = z.coerce.number().int().min(0).max(2_147_483_647);
const leaf = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const segmentSchema = z
  .object({
    topic: z.string(),
    partition: z.int(),
    first: z.int().describe('Its first leaf.'),
    end: z.int().describe('The leaf behind its last one, and the size of its checkpoint.'),
    received_from: z.int().describe('Milliseconds since 1970, by the broker’s clock.'),
    received_to: z.int(),
    timestamps_from: z.int().describe('Microseconds since 1970, of the events’ own time.'),
    timestamps_to: z.int(),
    root: z.string().describe('Signed root of the log at its end, hex.'),
    kept_until: z.int().describe('How long the store was told to keep it; milliseconds since 1970.'),
    deleted: z.boolean().describe('Its deletion was decided when its retention ended.'),
    streams: z
      .array(
        z.object({
          gateway_id: z.string(),
          epoch: z.int(),
          numbers_from: z.int(),
          numbers_to: z.int(),
          events: z.int(),
          signed_to: z.int().nullable(),
        }),
      )
      .describe('What it holds of your organisation. It may hold others’ events, which are not told.'),
  })
  .meta({ id: 'Segment' });

const checkpointSchema = z.object({
  topic: z.string(),
  partition: z.int(),
  size: z.int().describe('Leaves of the log.'),
  root: z.string().describe('Hex.'),
  note: z.string().describe('The checkpoint as it was signed (C2SP tlog-checkpoint). Keep it.'),
});

const LIMIT = z.coerce.number().int().min(1).max(1_000).default(100);

export const listSegmentsRoute = route({
  id: 'listSegments',
  method: 'get',
  path: '/v1/segments',
  summary:
    'Segments of the archive that hold events of the organisation, log after log, in the order of each.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'segments/list'],
  mayLack: true,
  query: z.strictObject({
    after: z
      .string()
      .regex(/^[a-z0-9][a-z0-9.-]{0,62}\/[0-9]{1,10}\/[0-9]{1,15}$/)
      .optional()
      .describe('`next` of the page before.'),
    limit: LIMIT,
  }),
  response: z
    .object({
      segments: z.array(segmentSchema),
      next: z.string().nullable(),
      as_of: z.int().describe('When the archive was read; milliseconds since 1970.'),
    })
    .meta({ id: 'SegmentPage' }),
  async answer({ caller, query, archive }) {
    const { segments, readAtMs } = await archiveOf(archive).state();
    const own = segments.filter((segment) => holds(segment, caller.orgId));
    const at = query.after === undefined ? -1 : own.findIndex((segment) => nameOf(segment) === query.after);
    if (query.after !== undefined && at === -1)
      throw new Refusal('cursor.invalid', 'No segment is called so. Begin anew without it.');
    const page = own.slice(at + 1, at + 1 + query.limit);
    const isLast = at + 1 + page.length >= own.length;
    return {
      body: {
        segments: page.map((segment) => shown(segment, caller.orgId)),
        next: isLast ? null : nameOf(page.at(-1)!),
        as_of: readAtMs,
      },
      facts: { rows: page.length },
    };
  },
});

export const readSegmentRoute = route({
  id: 'readSegment',
  method: 'get',
  path: '/v1/segments/{topic}/{partition}/{first}',
  summary: 'One segment, by its first leaf.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'segments/read'],
  mayLack: true,
  parameters: z.strictObject({ topic, partition, first: leaf }),
  response: segmentSchema,
  async answer({ caller, path, archive: configured }) {
    const { origin, log } = await logOf(configured, path);
    const segment = log.find(({ manifest }) => manifest.first === path.first);
    if (segment === undefined || !holds(segment, caller.orgId))
      throw new Refusal('not-found', 'No segment with events of your organisation begins there.');
    return { body: shown(segment, caller.orgId), facts: { origin, first: path.first } };
  },
});

export const listCheckpointsRoute = route({
  id: 'listCheckpoints',
  method: 'get',
  path: '/v1/checkpoints',
  summary:
    'The latest checkpoint of each log that holds events of the organisation, and how far the log is anchored.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'checkpoints/list'],
  mayLack: true,
  response: z
    .object({
      checkpoints: z.array(
        checkpointSchema.extend({
          anchored_to: z.int().describe('Leaves that a checkpoint in the anchor log covers.'),
        }),
      ),
      as_of: z.int().describe('When the archive was read; milliseconds since 1970.'),
    })
    .meta({ id: 'Checkpoints' }),
  async answer({ caller, archive: configured }) {
    const archive = archiveOf(configured);
    const { segments, readAtMs } = await archive.state();
    const { report } = await archive.anchors();
    const checkpoints = [...Map.groupBy(segments, ({ manifest }) => manifest.origin)]
      .filter(([, of]) => of.some((segment) => holds(segment, caller.orgId)))
      .map(([origin, of]) => {
        const anchored = report.checkpoints.get(origin)?.map(({ size }) => size) ?? [];
        return { ...checkpointOf(of.at(-1)!), anchored_to: greatestOf(anchored) };
      });
    return { body: { checkpoints, as_of: readAtMs }, facts: { rows: checkpoints.length } };
  },
});

export const readCheckpointRoute = route({
  id: 'readCheckpoint',
  method: 'get',
  path: '/v1/checkpoints/{topic}/{partition}/{size}',
  summary: 'One checkpoint, as it was signed, and what anchors it.',
  roles: ['viewer', 'analyst', 'auditor', 'admin'],
  scope: 'trail',
  recorded: ['audit_access', 'checkpoints/read'],
  mayLack: true,
  parameters: z.strictObject({ topic, partition, size: leaf }),
  response: checkpointSchema
    .extend({ anchor: anchorSchema.nullable().describe('Null while nothing anchors it.') })
    .meta({ id: 'Checkpoint' }),
  async answer({ caller, path, archive: configured }) {
    const { archive, origin, log } = await logOf(configured, path);
    const segment = log.find(({ manifest }) => manifest.end === path.size);
    if (segment === undefined || !log.some((one) => holds(one, caller.orgId)))
      throw new Refusal(
        'not-found',
        'No log with events of your organisation has a checkpoint of that size.',
      );
    const anchor = await anchorFor(archive, origin, path.size);
    return { body: { ...checkpointOf(segment), anchor }, facts: { origin, size: path.size } };
  },
});

/** The segments of the log that a path names, in order. @throws Refusal `not-configured` */
async function logOf(
  configured: ApiArchive | undefined,
  path: { readonly topic: string; readonly partition: number },
): Promise<{ archive: ApiArchive; origin: string; log: readonly ArchivedSegment[] }> {
  const archive = archiveOf(configured);
  const origin = originOf({ deployment: archive.deployment, topic: path.topic, partition: path.partition });
  const { segments } = await archive.state();
  return { archive, origin, log: segments.filter(({ manifest }) => manifest.origin === origin) };
}

const holds = ({ manifest }: ArchivedSegment, orgId: string): boolean =>
  manifest.streams.some(({ org }) => org === orgId);

/** `<topic>/<partition>` */
const folderOf = (origin: string): [topic: string, partition: string] => {
  const [, name = '', number = '0'] = origin.split('/');
  return [name, number];
};

const nameOf = ({ manifest }: ArchivedSegment): string =>
  [...folderOf(manifest.origin), manifest.first].join('/');

function checkpointOf({ manifest, placed }: ArchivedSegment): z.input<typeof checkpointSchema> {
  const [name, number] = folderOf(manifest.origin);
  return {
    topic: name,
    partition: Number(number),
    size: manifest.end,
    root: manifest.root,
    note: textOf(placed.checkpoint),
  };
}

function shown({ manifest, isDeleted }: ArchivedSegment, orgId: string): z.input<typeof segmentSchema> {
  const { origin, first, end, received, timestamps, root, retention, streams } = manifest;
  const [name, number] = folderOf(origin);
  return {
    topic: name,
    partition: Number(number),
    first,
    end,
    received_from: received.min,
    received_to: received.max,
    timestamps_from: timestamps.min,
    timestamps_to: timestamps.max,
    root,
    kept_until: retention.until,
    deleted: isDeleted,
    streams: streams
      .filter(({ org }) => org === orgId)
      .map(({ gateway, epoch, first_seq: from, last_seq: to, events, sealed_to: sealed }) => ({
        gateway_id: gateway,
        epoch,
        numbers_from: from,
        numbers_to: to,
        events,
        signed_to: sealed < 0 ? null : sealed,
      })),
  };
}
