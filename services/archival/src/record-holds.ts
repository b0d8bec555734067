import { hash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { holdNotesIn, holdNotesOf } from '@cairn/adapters';
import { uuidV8 } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { HoldHistory, type HoldStatement, type KeyHistory, sha256Hex } from '@cairn/ledger';
import type { RecordDraft } from '@cairn/recorder';
import { compactJson, isOrgId } from './record-events.ts';
import type { ArchiveStore } from './store-object.ts';

export interface RecordHoldsOptions {
  readonly store: ArchiveStore;
  readonly history: KeyHistory;
  /** The installation's organisation, for holds that name none. */
  readonly org: string;
  /** File with the number of statements that are recorded. */
  readonly toldFile: string;
  /** Resolves when the event is on disk. */
  readonly record: (draft: RecordDraft) => Promise<void>;
}

/**
 * Records every statement about a hold as an event of the organisation that it concerns: who, what, why, and the note's hash. The
 * note in the bucket is what counts; the event makes it found beside everything else, and chains it into the ledger.
 *
 * The count is stored behind the events: after a crash between the two they are recorded again, under the same event ids.
 *
 * @throws Failure where a statement does not count; of the store.
 */
export async function recordHolds({ store, history, org, toldFile, record }: RecordHoldsOptions): Promise<{
  readonly statements: number;
  readonly recorded: number;
  readonly standing: number;
}> {
  const told = await toldIn(toldFile);
  const holds = new HoldHistory(history);
  let recorded = 0;
  for await (const note of holdNotesIn(holdNotesOf(store))) {
    const statement = holds.add(note);
    if (statement.number < told) continue;
    const of = holds.holds.find(({ id }) => id === statement.hold);
    await record(holdEvent(statement, note, of?.org, of?.releases.length ?? 0, org));
    recorded += 1;
  }
  await checkNoneLost(toldFile, holds);
  const statements = holds.next.number;
  if (statements > told) {
    await writeFile(`${toldFile}.new`, `${statements}\n`, { flush: true });
    await rename(`${toldFile}.new`, toldFile);
  }
  return { statements, recorded, standing: holds.holds.filter(({ releases }) => releases.length < 2).length };
}

/** What stands in the trail of a statement. @param of organisation of the hold. @param releases that it has by now. */
function holdEvent(
  statement: HoldStatement,
  note: Uint8Array,
  of: string | undefined,
  releases: number,
  org: string,
): RecordDraft {
  const { act, agent, at, by, from, hold, number, reason, session, to } = statement;
  return {
    event_id: eventIdOf(note),
    org_id: of !== undefined && isOrgId(of) ? of : org,
    kind: 'retention',
    phase: 'single',
    service: 'archival',
    method: `hold/${act}`,
    action: act === 'place' ? 'create' : 'delete',
    // One person alone asks for a release.
    result_status: act === 'release' && releases < 2 ? 'pending' : 'success',
    detail: compactJson({
      agent,
      at,
      by,
      from,
      hold,
      number,
      reason,
      session,
      statement: sha256Hex(note),
      to,
    }),
  };
}

/** UUIDv8 (RFC 9562, section 5.8) of the note's SHA-256, so that whoever sees the event twice sees that it is one. */
function eventIdOf(note: Uint8Array): Uint8Array {
  return uuidV8(new Uint8Array(hash('sha256', note, 'buffer').subarray(0, 16)));
}

/**
 * Statements that an earlier run has recorded. There are never fewer in the bucket: one that is gone was taken away.
 *
 * @throws Failure `hold.lost` (no)
 */
export async function checkNoneLost(toldFile: string, holds: HoldHistory): Promise<void> {
  const [told, there] = [await toldIn(toldFile), holds.next.number];
  if (there >= told) return;
  throw new Failure({
    code: 'hold.lost',
    retry: 'no',
    message: `${told} statements about legal holds were recorded, and the bucket has ${there}`,
    mend: 'Restore the bucket. The events of kind retention and method hold/… say which they were. Until then nothing is deleted.',
  });
}

async function toldIn(file: string): Promise<number> {
  try {
    return Number((await readFile(file, 'utf8')).trim()) || 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
