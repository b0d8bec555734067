import { openSealed, type SealedEvent } from '@cairn/privacy';
import { z } from 'zod';
import { archivedEvent } from './place-event.ts';
import { Refusal } from './problem.ts';
import { type Asked, route } from './route.ts';

/** An event's detail has its bounds; the counts are of all. */
const PARTS_TOLD_MAX = 50;

const FIELDS = ['parameters_sealed', 'response_sealed'] as const;

export const unsealEventRoute = route({
  id: 'unsealEvent',
  method: 'post',
  path: '/v1/events/{event_id}/unseal',
  summary:
    'Opens what is sealed in one event. That it was opened, by whom and why is on disk before anything is answered.',
  roles: ['auditor'],
  scope: 'unseal',
  recorded: ['audit_access', 'event/unseal'],
  mayLack: true,
  isHeavy: true,
  parameters: z.strictObject({ event_id: z.uuid() }),
  body: z.strictObject({
    reason: z.string().trim().min(3).max(500).describe('Why. It stands in the trail.'),
  }),
  response: z
    .object({
      event_id: z.string(),
      parts: z.array(
        z.object({
          field: z.enum(FIELDS),
          key_id: z.string(),
          subject: z.string().nullable().describe('Whom it is about: a token, or `organisation`.'),
          outcome: z.enum(['opened', 'erased', 'refused']),
          why: z.string().nullable().describe('Code, where it was not opened.'),
          values: z.array(
            z.object({
              name: z.string(),
              value: z.string(),
              cut: z.boolean().describe('Only the beginning of the value was kept.'),
            }),
          ),
        }),
      ),
    })
    .meta({ id: 'Unsealed' }),
  async answer(asked) {
    const { path, body, subjectKeys } = asked;
    if (subjectKeys === undefined)
      throw new Refusal(
        'not-configured',
        'No keys are here: CAIRN_QUERY_SUBJECT_STORE and CAIRN_QUERY_KEY_ENCRYPTION_KEYS name them.',
      );
    const unsealed = await openSealed(await sealedEvent(asked, path.event_id), subjectKeys);
    const parts = unsealed.map(({ field, keyId, subject, outcome, why, values }) => ({
      field,
      key_id: keyId,
      subject: subject ?? null,
      outcome,
      why: why ?? null,
      values: values.map(({ name, value, cut }) => ({ name, value, cut: cut === true })),
    }));
    // Which parts were opened, by field, key and subject; never what they hold.
    const told = parts
      .slice(0, PARTS_TOLD_MAX)
      .map(({ field, key_id: key, subject, outcome }) => [field, key, subject ?? '', outcome].join(' '));
    const event = path.event_id.toLowerCase();
    const opened = parts.filter(({ outcome }) => outcome === 'opened').length;
    return {
      body: { event_id: event, parts },
      facts: { event, opened, of: parts.length, parts: told, reason: body.reason },
    };
  },
});

/** The sealed values of an event of the caller's organisation, from ClickHouse, or where it has left it from the archive. */
async function sealedEvent(
  {
    caller,
    clickhouse,
    archive,
  }: Pick<Asked<unknown, unknown, unknown>, 'caller' | 'clickhouse' | 'archive'>,
  eventId: string,
): Promise<SealedEvent> {
  const { orgId } = caller;
  const [row] = await clickhouse.query<Record<(typeof FIELDS)[number], string>>(
    `SELECT hex(ifNull(parameters_sealed, '')) AS parameters_sealed, hex(ifNull(response_sealed, '')) AS response_sealed
     FROM cairn.events WHERE org_id = {org:String} AND event_id = {event:UUID} ORDER BY partition, offset LIMIT 1`,
    { org: orgId, event: eventId },
  );
  if (row === undefined && archive === undefined)
    throw new Refusal('not-found', 'ClickHouse holds no such event of your organisation.');
  const fields =
    row === undefined
      ? await archive!.reading(async () => {
          const { event } = await archivedEvent({ caller, clickhouse }, archive!, eventId);
          return FIELDS.map((field) => ({ field, bytes: event[field] ?? new Uint8Array() }));
        })
      : FIELDS.map((field) => ({ field, bytes: new Uint8Array(Buffer.from(row[field], 'hex')) }));
  return { eventId, orgId, fields: fields.filter(({ bytes }) => bytes.length > 0) };
}
