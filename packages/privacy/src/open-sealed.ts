import { parseUuid } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import {
  type NamedValue,
  openBlock,
  type SealedBlock,
  type SealedField,
  splitBlocks,
} from './sealed-value.ts';
import type { SubjectKeys } from './subject-keys.ts';

/** The sealed values of an event. */
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

/** Opens what is sealed in an event, each block by itself. Whoever calls it records that it was opened before they show it. */
export async function openSealed(
  { eventId, orgId, fields }: SealedEvent,
  keys: Pick<SubjectKeys, 'openKey'>,
): Promise<Unsealed[]> {
  const unsealed: Unsealed[] = [];
  for (const { field, bytes } of fields) {
    for (const block of blocksOf(bytes))
      unsealed.push(
        block === undefined
          ? { field, keyId: '', subject: undefined, outcome: 'refused', why: 'sealed.refused', values: [] }
          : await openOne(keys, orgId, eventId, field, block),
      );
  }
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
