import { addHold, readHolds } from '@cairn/adapters';
import { isFailure } from '@cairn/failure';
import { type HoldHistory, isHoldRefusal, parseHold, RELEASES_NEEDED, type SignedHold } from '@cairn/ledger';
import { z } from 'zod';
import { archiveOf } from './open-archive.ts';
import { Refusal } from './problem.ts';
import { route } from './route.ts';

/** Locked as those that the command line puts. */
const STATEMENT_LOCK_MS = 30 * 365.25 * 86_400_000;

const holdSchema = z
  .object({
    id: z.string(),
    state: z
      .enum(['stands', 'release-asked', 'released'])
      .describe('It ends with the release of a second person.'),
    session_id: z.string().nullable(),
    agent_id: z.string().nullable(),
    from: z.int().nullable().describe('Events from then on; milliseconds since 1970.'),
    to: z.int().nullable(),
    reason: z.string(),
    placed_by: z.string(),
    placed_at: z.int(),
    releases: z.array(z.object({ by: z.string(), at: z.int(), reason: z.string() })),
  })
  .meta({ id: 'Hold' });

const nextSchema = z
  .object({ number: z.int(), previous: z.string() })
  .describe('What the next statement names, whoever signs it.');

export const listHoldsRoute = route({
  id: 'listHolds',
  method: 'get',
  path: '/v1/holds',
  summary: 'Legal holds of the organisation, released ones too, judged by the signatures under them.',
  roles: ['auditor', 'admin'],
  scope: 'trail',
  recorded: ['admin', 'holds/list'],
  mayLack: true,
  response: z.object({ holds: z.array(holdSchema), next: nextSchema }).meta({ id: 'Holds' }),
  async answer({ caller, archive: configured }) {
    const archive = archiveOf(configured);
    const { history } = await archive.state();
    const signed = await readHolds(archive.evidence, history);
    const holds = ownHolds(signed, caller.orgId).map(shown);
    return { body: { holds, next: signed.next }, facts: { rows: holds.length } };
  },
});

export const createHoldStatementRoute = route({
  id: 'createHoldStatement',
  method: 'post',
  path: '/v1/holds',
  summary:
    'Adds a statement that a person has signed: it places a hold of the organisation, or is one of the two that release it.',
  roles: ['admin'],
  scope: 'holds',
  recorded: ['admin', 'holds/state'],
  mayLack: true,
  body: z.strictObject({
    note: z
      .string()
      .min(1)
      .max(16_384)
      .describe('The signed note, as `cairn holds` makes it. The person’s key stays with the person.'),
  }),
  response: z.object({ hold: holdSchema, next: nextSchema }).meta({ id: 'HoldStated' }),
  /**
   * The statement is of the caller's organisation; then it is an act (do-act.ts), whose commit point is that the note is put under its
   * number: archival reads it before its next deletion. Sent again after an answer that was lost, the same note is recognised.
   */
  async answer({ caller, body, now, archive: configured }) {
    const archive = archiveOf(configured);
    const { history } = await archive.state();
    const note = new Uint8Array(Buffer.from(body.note));
    const { act, by, hold: id, org: of } = refusing(() => parseHold(note));
    const before = await readHolds(archive.evidence, history);
    const org = act === 'place' ? of : before.holds.find((one) => one.id === id)?.org;
    if (org !== caller.orgId)
      throw new Refusal('access.forbidden', 'A statement here is about a hold of your organisation alone.');
    const until = new Date(now / 1_000 + STATEMENT_LOCK_MS);
    return {
      facts: { act, by, hold: id },
      async apply() {
        const { number } = await addHold(archive.evidence, history, note, until).catch(refused);
        const after = await readHolds(archive.evidence, history);
        const hold = after.holds.find((one) => one.id === id)!;
        return {
          status: 201,
          body: { hold: shown(hold), next: after.next },
          facts: { number, state: stateOf(hold) },
        };
      },
    };
  },
});

/** What does not count was not put. @throws Refusal `hold.raced`, `hold.invalid`; what else it is given. */
function refused(error: unknown): never {
  if (isFailure(error, 'hold.raced'))
    throw new Refusal('hold.raced', 'Read what the next statement names, and have it signed anew.');
  if (isHoldRefusal(error)) throw new Refusal('hold.invalid', (error as Error).message);
  throw error;
}

function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    return refused(error);
  }
}

const ownHolds = ({ holds }: HoldHistory, orgId: string): SignedHold[] =>
  holds.filter(({ org }) => org === orgId);

const stateOf = ({ releases }: SignedHold): z.infer<typeof holdSchema>['state'] =>
  releases.length >= RELEASES_NEEDED ? 'released' : releases.length === 0 ? 'stands' : 'release-asked';

function shown(hold: SignedHold): z.infer<typeof holdSchema> {
  const { id, session, agent, from, to, reason, placedBy, placedAt, releases } = hold;
  return {
    id,
    state: stateOf(hold),
    session_id: session ?? null,
    agent_id: agent ?? null,
    from: from ?? null,
    to: to ?? null,
    reason,
    placed_by: placedBy,
    placed_at: placedAt,
    releases: releases.map((release) => ({ ...release })),
  };
}
