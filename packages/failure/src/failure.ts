/**
 * Whether the same work may be tried again.
 *
 * - `yes`: at once, unchanged; the other side was busy or the line broke.
 * - `later`: not before something outside has changed (disk freed, broker back).
 * - `no`: never; the input or the configuration is wrong.
 */
export type Retry = 'yes' | 'later' | 'no';

export interface FailureFacts {
  /** Stable, documented, `area.what` in lower case with hyphens: `spool.full`, `config.invalid`. */
  readonly code: string;
  readonly retry: Retry;
  /** What went wrong and where, for operators' logs. Never holds a secret or a personal value. */
  readonly message: string;
  /** What the caller may be told; absent means the code alone. */
  readonly publicMessage?: string;
  /** What a person can do about it: one sentence. */
  readonly mend?: string;
  readonly cause?: unknown;
}

/**
 * An operating error: something that is expected to happen and is handled. Programmers' mistakes are not
 * failures; they are assertions that stop the process.
 *
 * Adapters translate the errors of their library into failures once, at the border, by code or class and never
 * by searching text.
 */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: string;
  readonly retry: Retry;
  readonly publicMessage: string | undefined;
  readonly mend: string | undefined;

  constructor(facts: FailureFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.retry = facts.retry;
    this.publicMessage = facts.publicMessage;
    this.mend = facts.mend;
  }
}

/** True for a failure, optionally one with this code. */
export function isFailure(error: unknown, code?: string): error is Failure {
  return error instanceof Failure && (code === undefined || error.code === code);
}

/** The message of anything that was thrown, in one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s+/g, ' ').trim();
}

/** A failure as a person reads it on a terminal: what, the code, and how to mend it. */
export function explain(error: unknown): string {
  if (!isFailure(error)) return messageOf(error);
  const mend = error.mend === undefined ? '' : ` ${error.mend}`;
  return `${messageOf(error)} [${error.code}]${mend}`;
}
