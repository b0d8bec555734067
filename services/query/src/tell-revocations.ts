import { type KeyDatabase, owedRevocations, settleRevocation } from '@cairn/access';
import type { AccessRecorder } from './record-access.ts';

/**
 * Records revocations that were done while they could not be recorded.
 *
 * 1. The rows that owe an event are read.
 * 2. The event is on disk. COMMIT POINT: the trail has it.
 * 3. The row owes nothing.
 *
 * What dies between 2 and 3, and two processes that look at the same time, tell one twice, with the same `key` and `request`; none is
 * told never.
 *
 * @returns how many were told. @throws what the database and the recorder throw; then it is run again, later.
 */
export async function tellRevocations(database: KeyDatabase, recorder: AccessRecorder): Promise<number> {
  const owed = await owedRevocations(database);
  for (const one of owed) {
    const { key, by } = one;
    const detail = { key: key.id, key_role: key.role, request: by.request, revoked_at: key.revokedAtMs };
    await recorder.record({
      org_id: key.orgId,
      kind: 'admin',
      phase: 'single',
      service: by.service,
      method: 'keys/revoke',
      principal_type: by.principal_type,
      user_id: by.user_id,
      auth_method: by.auth_method,
      decision: 'allow',
      result_status: 'success',
      detail: JSON.stringify({ ...detail, told_later: true }),
    });
    await settleRevocation(database, one);
  }
  return owed.length;
}
