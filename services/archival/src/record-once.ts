import { isFailure, messageOf } from '@cairn/failure';
import type { RecordDraft, Recorder } from '@cairn/recorder';
import type { ServiceContext } from '@cairn/runtime';

/** Findings that are recorded within a minute; more are counted and logged, and the verifier finds them again. */
const RECORDED_MAX = 200;

/**
 * Records events of archival's own. A finding that comes again unchanged is recorded once for each start; one that could not
 * be recorded, when it comes again. Evidence is written whether or not its findings can be recorded: they can be found again
 * from it.
 */
export function recordingInto(
  recorder: Pick<Recorder, 'record'>,
  onUnrecorded: () => void,
  log: ServiceContext['log'],
): (draft: RecordDraft) => Promise<void> {
  const told = new Set<string>();
  let minute = 0;
  let within = 0;
  return async (draft) => {
    const key = `${draft.org_id} ${draft.error_code} ${draft.error_message} ${draft.detail}`;
    if (draft.kind === 'alert') {
      if (told.has(key)) return;
      const now = Math.floor(Date.now() / 60_000);
      within = now === minute ? within + 1 : 1;
      minute = now;
      if (within > RECORDED_MAX) return onUnrecorded();
      if (told.size >= 10_000) told.clear();
      told.add(key);
    }
    try {
      await recorder.record(draft);
    } catch (error) {
      if (!isFailure(error)) throw error;
      told.delete(key);
      onUnrecorded();
      log.error({ reason: messageOf(error), event: draft.error_code }, 'an event could not be recorded');
    }
  };
}
