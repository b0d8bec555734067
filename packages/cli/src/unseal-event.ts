import type { ClickHouse } from '@cairn/adapters';
import { parseUuid } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import { openUnsealing, signUnsealing } from '@cairn/ledger';
import {
  type NamedValue,
  openBlock,
  type SealedBlock,
  type SealedField,
  type SubjectKeys,
  splitBlocks,
} from '@cairn/privacy';
import type { RecordDraft } from '@cairn/recorder';
import type { Person } from './act-as-person.ts';
import type { Acts } from './record-acts.ts';

/** The sealed values of an event, as the table has them. */
export interface SealedEvent {
  readonly eventId: string;
  readonly orgId: string;
  readonly fields: readonly { readonly field: SealedField; readonly bytes: Uint8Array }[];
}

/** One block of an event: what it held, or why it does not open. */
export interface Unsealed {
  readonly field: SealedField;
  readonly keyId: string;
  /** Token; undefined where no key is known. */
  readonly subject: string | undefined;
  readonly outcome: 'opened' | 'erased' | 'refused';
  /** Why not. A code. */
  readonly why: string | undefined;
  readonly values: readonly NamedValue[];
}

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
  const unsealed: Unsealed[] = [];
  for (const { field, bytes } of fields) {
    for (const block of blocksOf(bytes))
      unsealed.push(
        block === undefined
          ? { field, keyId: '', subject: undefined, outcome: 'refused', why: 'sealed.refused', values: [] }
          : await openOne(keys, orgId, eventId, field, block),
      );
  }
  await acts.record(unsealingEvent(about, unsealed, unsealed.find(({ why }) => why !== undefined)?.why));
  return unsealed;
}

async function openOne(
  keys: Pick<SubjectKeys, 'openKey'>,
  orgId: string,
  eventId: string,
  field: SealedField,
  block: SealedBlock,
): Promise<Unsealed> {
  const { keyId } = block;
  const not = (outcome: 'erased' | 'refused', why: string, subject?: string): Unsealed => ({
    field,
    keyId,
    subject,
    outcome,
    why,
    values: [],
  });
  try {
    const found = await keys.openKey(orgId, keyId);
    if (found.state === 'unknown') return not('refused', 'keys.unknown');
    if (found.state === 'erased') return not('erased', 'subject.erased', found.subject);
    const { subject } = found.key;
    try {
      const place = { orgId, subject, field, eventId: parseUuid(eventId) };
      return {
        field,
        keyId,
        subject,
        outcome: 'opened',
        why: undefined,
        values: openBlock(found.dataKey, block, place),
      };
    } catch (error) {
      return not('refused', codeOf(error), subject);
    } finally {
      found.dataKey.fill(0);
    }
  } catch (error) {
    return not('refused', codeOf(error));
  }
}

/** Undefined for bytes that are no sealed values. */
function blocksOf(bytes: Uint8Array): (SealedBlock | undefined)[] {
  try {
    return splitBlocks(bytes);
  } catch (error) {
    if (isFailure(error, 'sealed.refused')) return [undefined];
    throw error;
  }
}

const codeOf = (error: unknown): string => (isFailure(error) ? error.code : messageOf(error).slice(0, 100));

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
