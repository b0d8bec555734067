import { hash } from 'node:crypto';
import { uuidV8 } from '@cairn/event';
import { openErasure, parseErasure, signErasure } from '@cairn/ledger';
import type { KeyState, SubjectKey, SubjectKeys } from '@cairn/privacy';
import type { RecordDraft } from '@cairn/recorder';
import { holdsOn, type LegalHold } from '@cairn/retention';
import type { Holds, Person } from './act-as-person.ts';
import type { Acts } from './record-acts.ts';

export interface ErasureOptions {
  readonly keys: SubjectKeys;
  readonly person: Pick<Person, 'signer' | 'history' | 'holdsNow'>;
  readonly acts: Pick<Acts, 'record'>;
  readonly orgId: string;
  /** Tokens. */
  readonly subjects: readonly string[];
  readonly by: string;
  readonly reason: string;
  readonly nowMs: () => number;
  readonly onErased: (erased: Erased) => void;
}

export interface Erased {
  readonly subject: string;
  /** `held`: a legal hold covers it, and it stays. `unknown`: nothing was ever sealed for it here. `before`: there was nothing left. */
  readonly outcome: 'erased' | 'ended' | 'held' | 'before' | 'unknown';
  readonly keyId: string | undefined;
  readonly holds: readonly string[];
}

/** Holds are read again after so many subjects. */
const SUBJECTS_A_READING = 100;
/** As far as a gateway's clock may have been wrong when it made a key. */
const CLOCK_MS = 86_400_000;

/**
 * Destroys the keys of subjects, each for itself: what a crash interrupts is ended by the next run, for whatever subjects it is.
 *
 * 1 What an earlier run has decided and not done is done, with its own decision. Then for each subject: 2 the holds that stand are
 * compared; 3 a person signs; 4 the key goes (`SubjectKeys.erase`: decision written, COMMIT POINT; trail told; file destroyed).
 * A refusal is told to the trail as well, before it is answered.
 *
 * @throws Failure where the person's key does not count or a hold cannot be judged: then nothing more is erased; of the recorder.
 */
export async function eraseSubjects(options: ErasureOptions): Promise<void> {
  const { keys, person, acts, orgId, subjects, by, reason, nowMs, onErased } = options;
  const tell = (note: Uint8Array): Promise<unknown> => acts.record(erasureEvent(note));

  const states = await keys.states(orgId);
  for (const { subject, keyId } of states.filter(({ state }) => state === 'erasing')) {
    const note = await keys.decisionOn(orgId, subject, keyId);
    if (note === undefined) continue;
    await keys.erase({ orgId, subject, keyId }, note, async (standing) => void (await tell(standing)));
    onErased({ subject, outcome: 'ended', keyId, holds: [] });
  }

  const known = new Map<string, KeyState[]>();
  for (const state of states) known.set(state.subject, [...(known.get(state.subject) ?? []), state]);
  let holds: Holds = { holds: [], position: 0 };
  for (const [at, subject] of [...new Set(subjects)].entries()) {
    if (at % SUBJECTS_A_READING === 0) holds = await person.holdsNow();
    const refused = { org: orgId, subject, by, reason };
    const own = known.get(subject) ?? [];
    const living = own.find(({ state }) => state === 'living')?.key;
    if (living === undefined) {
      const outcome = own.length === 0 ? 'unknown' : 'before';
      if (outcome === 'unknown')
        await acts.record(refusalEvent({ ...refused, why: 'subject.unknown', keyId: null, holds: [] }));
      onErased({ subject, outcome, keyId: own.at(-1)?.keyId, holds: [] });
      continue;
    }
    const covering = holdsOver(living, holds.holds, nowMs());
    if (covering.length > 0) {
      const { keyId } = living;
      await acts.record(refusalEvent({ ...refused, why: 'subject.held', keyId, holds: covering }));
      onErased({ subject, outcome: 'held', keyId: living.keyId, holds: covering });
      continue;
    }
    const { commit, keyId } = living;
    const said = {
      at: nowMs(),
      by,
      commit,
      holds: holds.holds.length,
      key: keyId,
      org: orgId,
      position: holds.position,
      reason,
      subject,
    };
    const note = signErasure(said, person.signer);
    try {
      // It must count to whoever reads it: it cannot be signed again once the key is gone.
      openErasure(note, person.history);
    } catch (error) {
      await acts.record(refusalEvent({ ...refused, why: 'erase.not-a-person', keyId, holds: [] }));
      throw error;
    }
    await keys.erase(living, note, async (standing) => void (await tell(standing)));
    onErased({ subject, outcome: 'erased', keyId, holds: [] });
  }
}

/**
 * Ids of the holds that stand and may cover what a key has sealed. A key knows its organisation and since when it seals, no session
 * and no agent; so it is held where more than it is, and never where less.
 */
function holdsOver({ orgId, madeAtMs }: SubjectKey, holds: readonly LegalHold[], nowMs: number): string[] {
  const received = { min: madeAtMs - CLOCK_MS, max: nowMs + CLOCK_MS };
  const timestamps = { min: received.min * 1_000, max: received.max * 1_000 };
  return holdsOn(holds, { orgs: [orgId], timestamps, received }, nowMs).map(({ id }) => id);
}

/** The erasure in the trail, with the signed decision whole: an auditor needs no more. Of one decision there is one event id. */
function erasureEvent(note: Uint8Array): RecordDraft {
  const { org, subject, key, commit, by, reason } = parseErasure(note);
  return {
    event_id: eventIdOf(note),
    org_id: org,
    kind: 'retention',
    phase: 'single',
    service: 'cli',
    method: 'subject/erase',
    action: 'delete',
    result_status: 'success',
    parameters_tokens: [{ name: 'subject', token: subject }],
    detail: JSON.stringify({
      by,
      commit,
      key_id: key,
      note: Buffer.from(note).toString('utf8'),
      reason,
      subject,
    }),
  };
}

function refusalEvent(refused: {
  readonly org: string;
  readonly subject: string;
  readonly by: string;
  readonly reason: string;
  readonly why: 'subject.unknown' | 'subject.held' | 'erase.not-a-person';
  readonly keyId: string | null;
  readonly holds: readonly string[];
}): RecordDraft {
  const { org, subject, by, reason, why, keyId, holds } = refused;
  return {
    org_id: org,
    kind: 'retention',
    phase: 'single',
    service: 'cli',
    method: 'subject/erase',
    action: 'delete',
    result_status: why === 'subject.unknown' ? 'failure' : 'denied',
    error_code: why,
    parameters_tokens: [{ name: 'subject', token: subject }],
    detail: JSON.stringify({ by, holds, key_id: keyId, reason, subject }),
  };
}

/** UUIDv8 (RFC 9562, section 5.8) of the note's SHA-256, so that whoever sees the event twice sees that it is one. */
function eventIdOf(note: Uint8Array): Uint8Array {
  return uuidV8(new Uint8Array(hash('sha256', note, 'buffer').subarray(0, 16)));
}
