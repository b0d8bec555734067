import { type EventDraft, uuidV8 } from '@cairn/event';
import type { SubjectKey } from './subject-keys.ts';

/** What stands in the trail of a key that was made: its commitment, so that no other can be put in its place later. */
export function keyMadeEvent(key: SubjectKey): Omit<EventDraft, 'capture' | 'gateway_id' | 'timestamp'> {
  const { orgId, subject, keyId, commit, kek, madeAtMs } = key;
  return {
    event_id: eventIdOfKey(keyId),
    org_id: orgId,
    kind: 'admin',
    phase: 'single',
    method: 'subject-key/create',
    action: 'create',
    result_status: 'success',
    parameters_tokens: [{ name: 'subject', token: subject }],
    detail: JSON.stringify({ commit, kek, key_id: keyId, made_at: madeAtMs, subject }),
  };
}

/** UUIDv8 (RFC 9562, section 5.8) of the key's id, so that whoever sees the event twice sees that it is one. */
function eventIdOfKey(keyId: string): Uint8Array {
  return uuidV8(new Uint8Array(Buffer.from(keyId, 'hex')));
}
