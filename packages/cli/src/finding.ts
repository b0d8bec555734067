import { isFailure, messageOf } from '@cairn/failure';

/** What one check of the doctor came to. */
export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'failed' | 'skipped';
  readonly says: string;
  /** What to do; every failed check has it. */
  readonly mend?: string;
}

export const ok = (check: string, says: string): Finding => ({ check, state: 'ok', says });

export const failed = (check: string, says: string, mend: string): Finding => ({
  check,
  state: 'failed',
  says,
  mend,
});

export const skipped = (check: string, says: string): Finding => ({ check, state: 'skipped', says });

/** A check that ended in an error has failed; the error says what to do where it knows. */
export async function orFailed(check: string, mend: string, run: () => Promise<Finding>): Promise<Finding> {
  try {
    return await run();
  } catch (error) {
    return failed(check, messageOf(error), (isFailure(error) ? error.mend : undefined) ?? mend);
  }
}
