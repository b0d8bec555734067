import type { ClickHouse } from '@cairn/adapters';
import { parseUuid } from '@cairn/event';
import { openUnsealing, signUnsealing } from '@cairn/ledger';
import {
  openSealed,
  type SealedEvent,
  type SealedField,
  type SubjectKeys,
  type Unsealed,
} from '@cairn/privacy';
import type { RecordDraft } from '@cairn/recorder';
import type { Person } from './act-as-person.ts';
import type { Acts } from './record-acts.ts';

/** Undefined where the table has no such event. */
export async function readSealed(trail: ClickHouse, eventId: string): Promise<SealedEvent | undefined> {
  const [row] = await trail.query<Record<'org_id' | SealedField, string>>(
    `SELECT org_id, hex(ifNull(parameters_sealed, '')) AS parameters_sealed, hex(ifNull(response_sealed, '')) AS response_sealed
     FROM cairn.events WHERE event_id = {event:UUID} ORDER BY partition, offset LIMIT 1`,
    { event: eventId },
  );
  if (row === undefined) return undefined;
  const fields = (['parameters_sealed', 'response_sealed'] as const)
    .map((field) => ({ field, bytes: new Uint8Array(Buffer.from(row[field], 'hex')) }))
    .filter(({ bytes }) => bytes.length > 0);
  return { eventId, orgId: row.org_id, fields };
}

/**
 * Opens what is sealed in an event, for a person who signs that they do.
 *
 * The event that tells of it, with the signed statement and what came of each part, is on disk before anything is given back; so
 * is that of a refusal.
 *
 * @throws Failure when the person's key does not count, once that is recorded; of the recorder: then nothing is opened.
 */
export async function unsealEvent(
  { eventId, orgId, fields }: SealedEvent,
  keys: Pick<SubjectKeys, 'openKey'>,
  person: Pick<Person, 'signer' | 'history' | 'holdsNow'>,
  acts: Pick<Acts, 'record'>,
  { by, reason, nowMs }: { readonly by: string; readonly reason: string; readonly nowMs: number },
): Promise<Unsealed[]> {
  const { position } = await person.holdsNow();
  const note = signUnsealing({ at: nowMs, by, event: eventId, org: orgId, position, reason }, person.signer);
  const about = { eventId, orgId, by, reason, note: Buffer.from(note).toString('utf8') };
  try {
    openUnsealing(note, person.history);
  } catch (error) {
    await acts.record(unsealingEvent(about, [], 'unseal.not-a-person'));
    throw error;
  }
  const unsealed = await openSealed({ eventId, orgId, fields }, keys);
  await acts.record(unsealingEvent(about, unsealed, unsealed.find(({ why }) => why !== undefined)?.why));
  return unsealed;
}

function unsealingEvent(
  about: {
    readonly eventId: string;
    readonly orgId: string;
    readonly by: string;
    readonly reason: string;
    readonly note: string;
  },
  unsealed: readonly Unsealed[],
  why: string | undefined,
): RecordDraft {
  const { eventId, orgId, by, reason, note } = about;
  const isDenied = unsealed.length === 0 && why !== undefined;
  return {
    org_id: orgId,
    kind: 'audit_access',
    phase: 'single',
    service: 'cli',
    method: 'event/unseal',
    action: 'read',
    result_status: isDenied ? 'denied' : why === undefined ? 'success' : 'failure',
    error_code: why ?? '',
    parent_event_id: parseUuid(eventId),
    parameters_tokens: [...new Set(unsealed.flatMap(({ subject }) => subject ?? []))]
      .slice(0, 32)
      .map((token) => ({ name: 'subject', token })),
    // Which values were opened, by name of the key; never what they are.
    detail: JSON.stringify({
      by,
      note,
      parts: unsealed.map(({ field, keyId, outcome, why: cause }) => ({
        field,
        key_id: keyId,
        outcome,
        why: cause ?? '',
      })),
      reason,
    }),
  };
}
