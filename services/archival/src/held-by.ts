import { holdNotesIn, holdNotesOf, readHolds } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { HoldHistory, KeyHistory } from '@cairn/ledger';
import type { ArchiveStore } from './store-object.ts';

/**
 * The holds that persons have signed.
 *
 * @param history undefined where no root key is configured: then nobody can be believed, and any statement is a reason to stop.
 * @throws Failure `hold.unjudged` (no), or as `readHolds`.
 */
export async function heldBy(store: ArchiveStore, history: KeyHistory | undefined): Promise<HoldHistory> {
  const notes = holdNotesOf(store);
  if (history !== undefined) return readHolds(notes, history);
  for await (const _ of holdNotesIn(notes)) {
    throw new Failure({
      code: 'hold.unjudged',
      retry: 'no',
      message:
        'the bucket holds statements about legal holds, and no root key says whose keys they are signed with',
      mend: 'Set CAIRN_ROOT_KEY. Until then nothing is deleted.',
    });
  }
  return new HoldHistory(new KeyHistory('none'));
}
