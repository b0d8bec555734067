import { isFailure } from '@cairn/failure';
import type { RecordDraft, Recorder } from '@cairn/recorder';
import { LRUCache } from 'lru-cache';
import type { Drafted } from './draft-from-telemetry.ts';

/** What became of the records of one request. */
export interface Imported {
  /** On disk, in this request or, told again, in an earlier one. */
  readonly recorded: number;
  /** They say nothing of an agent's deeds. */
  readonly others: number;
  readonly rejected: readonly { readonly index: number; readonly reason: string }[];
}

/** How many of the latest records are known again. Older ones that come again are events with the same id. */
const KNOWN_MAX = 200_000;

/** What brings drafts into the trail. */
export interface DraftRecorder {
  /**
   * Resolves when every draft is on disk or has its reason why it never will be.
   *
   * @throws Failure of the recorder, such as `spool.full`: some drafts may be on disk; they are known when all come again.
   */
  record(drafts: readonly Drafted[]): Promise<Imported>;
}

export function draftRecorder(recorder: Pick<Recorder, 'record'>): DraftRecorder {
  const known = new LRUCache<string, true>({ max: KNOWN_MAX });
  const underWay = new Map<string, Promise<void>>();

  /** What is told twice, in one request or in two at the same time, is recorded once. */
  const recordOnce = (sameAs: string, draft: RecordDraft): Promise<void> => {
    if (known.has(sameAs)) return Promise.resolve();
    const recording =
      underWay.get(sameAs) ??
      // COMMIT POINT of this record: it is on disk when this resolves.
      recorder
        .record(draft)
        .then(() => void known.set(sameAs, true))
        .finally(() => underWay.delete(sameAs));
    underWay.set(sameAs, recording);
    return recording;
  };
  return {
    async record(drafts) {
      const rejected: { index: number; reason: string }[] = [];
      let [recorded, others] = [0, 0];
      const outcomes = await Promise.allSettled(
        drafts.map(async (drafted, index) => {
          if (drafted.kind === 'other') others += 1;
          else if (drafted.kind === 'rejected') rejected.push({ index, reason: drafted.reason });
          else {
            try {
              await recordOnce(drafted.sameAs, drafted.draft);
              recorded += 1;
            } catch (error) {
              // What does not fit the schema will not fit it tomorrow; anything else is the recorder's trouble.
              if (!isFailure(error, 'event.invalid') && !isFailure(error, 'event.too-large')) throw error;
              rejected.push({ index, reason: error.message.slice(0, 200) });
            }
          }
        }),
      );
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return { recorded, others, rejected: rejected.toSorted((left, right) => left.index - right.index) };
    },
  };
}
