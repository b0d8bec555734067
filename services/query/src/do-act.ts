// Whatever is done here and not only read (keys, saved searches, holds) is recorded as a gateway records a call: the decision before it,
// the outcome behind it, both under one call_id.
//
//   1. The decision is on disk: who, what, to which key, search or statement.   decision, pending
//   2. It is done.   COMMIT POINT, in the store of what it is
//   3. The outcome is on disk.   outcome: success; failure where it is known that nothing was done; unknown where nobody knows
//   4. It is answered.
//
// What each failure leaves:
//   - 1 fails: nothing is done. Whether the recorder has the decision all the same (applied, but unreported) or not: no store was asked.
//   - 2 is refused (another one came first): nothing is done, and 3 says so.
//   - 2 fails otherwise: it may have been done (applied, but unreported). 3 says that nobody knows; the caller asks what stands.
//   - 3 fails: it was done, and its decision is in the trail. Nothing is undone, since what takes it back can fail as well and could
//     be recorded no better. The caller is told that it may have been done.
//   - A crash after 1 leaves a decision without an outcome: the trail says that it was asked for, and what stands is in the store.
//
// One act does not wait for 1: what takes away a right. A recorder that is away is no reason to let a key stand that somebody
// wants gone, maybe since it was stolen. Its store keeps who did it in the same write, and the trail gets it from there
// (tell-revocations.ts).
import { Refusal } from './problem.ts';
import type { Access } from './record-access.ts';
import type { Act, Answered, Facts } from './route.ts';

/** Resolves when the event is on disk. */
export type RecordStep = (
  step: Pick<Access, 'phase' | 'outcome' | 'code'> & { readonly facts: Facts },
) => Promise<unknown>;

/**
 * Does an act.
 *
 * @param onDecided is called when the decision is on disk: from then on its outcome is recorded here and nowhere else.
 * @param onUnrecorded gets what the recorder threw at an outcome.
 * @throws Refusal `act.unconfirmed` when it may have been done, `unavailable` when it was refused and that is not recorded; what the act throws; what the recorder throws at the decision.
 */
export async function doAct<Body>(
  act: Act<Body>,
  record: RecordStep,
  onDecided: () => void,
  onUnrecorded: (error: unknown) => void,
): Promise<Answered<Body>> {
  // 1. The decision.
  try {
    await record({ phase: 'decision', outcome: 'pending', code: '', facts: act.facts });
  } catch (error) {
    if (act.withoutDecision === undefined) throw error;
    onUnrecorded(error);
    const told = await act.withoutDecision().catch((failed: unknown) => {
      throw new Refusal('act.unconfirmed', UNKNOWN, {}, failed);
    });
    throw new Refusal('act.unconfirmed', told, {}, error);
  }
  onDecided();

  // 2. It is done. COMMIT POINT.
  let done: Answered<Body>;
  try {
    done = await act.apply();
  } catch (error) {
    // 3. The outcome of what was not done, or of what nobody knows of.
    const isKnown = error instanceof Refusal;
    const outcome = isKnown ? 'failure' : 'unknown';
    const code = isKnown ? error.code : 'act.unconfirmed';
    await record({ phase: 'outcome', outcome, code, facts: act.facts }).catch((untold: unknown) => {
      onUnrecorded(untold);
      // A refusal is told when it is recorded, and not before.
      if (isKnown) throw new Refusal('unavailable', NOT_DONE, {}, untold);
    });
    if (isKnown) throw error;
    throw new Refusal('act.unconfirmed', UNKNOWN, {}, error);
  }

  // 3. The outcome.
  const facts = { ...act.facts, ...done.facts };
  try {
    await record({ phase: 'outcome', outcome: 'success', code: '', facts });
  } catch (error) {
    onUnrecorded(error);
    throw new Refusal('act.unconfirmed', UNTOLD, {}, error);
  }
  return { ...done, facts };
}

const UNKNOWN = 'What keeps it did not say whether it was done. Read what stands before you ask again.';
const NOT_DONE = 'It was not done, and why cannot be recorded now.';
const UNTOLD =
  'It was done, and that could not be recorded behind its decision, so its answer is kept back. Read what stands before you ask again.';
