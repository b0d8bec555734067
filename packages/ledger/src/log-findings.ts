import { isFailure } from '@cairn/failure';
import { type LedgerFinding, type LedgerVerdict, REASONS, type Reason, verdictOf } from './reasons.ts';

/** What was found of one log and its streams, as its report has it. */
export interface FindingsReport {
  /** Of the log itself; its streams have verdicts of their own. */
  readonly verdict: LedgerVerdict;
  /** Every reason that was found in the log or its streams, with how often. */
  readonly reasons: Readonly<Partial<Record<Reason, number>>>;
  /** The first of them, in the order in which they were found. */
  readonly findings: readonly LedgerFinding[];
  /** The least leaf that a finding of class `broken` names; undefined when none does. */
  readonly firstBadLeaf: number | undefined;
  /** The finding that names it, of several the first. */
  readonly firstBad: LedgerFinding | undefined;
}

/**
 * What is wrong with one log and its streams: all of it counted, the first of it kept, and the least broken leaf remembered,
 * however much there is.
 */
export class LogFindings {
  readonly #reasons: Partial<Record<Reason, number>> = {};
  readonly #kept: LedgerFinding[] = [];
  readonly #keptMax: number;
  readonly #ofLog = new Set<Reason>();
  #firstBad: LedgerFinding | undefined;

  constructor(keptMax: number) {
    this.#keptMax = keptMax;
  }

  get isBroken(): boolean {
    return this.#firstBad !== undefined;
  }

  report(): FindingsReport {
    return {
      verdict: verdictOf(this.#ofLog),
      reasons: this.#reasons,
      findings: this.#kept,
      firstBadLeaf: this.#firstBad?.leaf,
      firstBad: this.#firstBad,
    };
  }

  /** Something about the log itself. @param object name of what is not as it must be. */
  addOfLog(reason: Reason, leaf: number, detail: string, object = ''): void {
    this.#ofLog.add(reason);
    this.add({ reason, leaf, detail, object });
  }

  /** Something about one of its streams. */
  add(finding: LedgerFinding): void {
    const { reason, leaf } = finding;
    this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1;
    if (REASONS[reason] === 'broken' && leaf < (this.#firstBad?.leaf ?? Number.POSITIVE_INFINITY)) {
      this.#firstBad = finding;
    }
    if (this.#kept.length < this.#keptMax) this.#kept.push(finding);
  }
}

/**
 * Why a note does not open: a wrong signature, no known key, or its form.
 *
 * @param form the reason that stands for its form.
 * @throws the error itself when it is no Failure: it is a mistake of this program and says nothing of the note.
 */
export function reasonOfNote(error: unknown, form: Reason): Reason {
  if (!isFailure(error)) throw error;
  if (error.code === 'note.bad-signature') return 'bad-signature';
  return error.code === 'note.unknown-key' ? 'unknown-key' : form;
}
