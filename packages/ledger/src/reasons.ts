/** Why something is not as it must be (schemas/ledger.md, "A stream"), and what that makes of its log or stream. */

/** `broken` contradicts itself; `unverifiable` lacks what a judgement needs; a `remark` is to be known. */
export type FindingClass = 'broken' | 'unverifiable' | 'remark';

export const REASONS = {
  missing: 'broken',
  'object-altered': 'broken',
  'segment-form': 'broken',
  'datum-form': 'broken',
  'root-mismatch': 'broken',
  'manifest-form': 'broken',
  'manifest-mismatch': 'broken',
  'bad-signature': 'broken',
  'checkpoint-form': 'broken',
  rollback: 'broken',
  'split-view': 'broken',
  'tombstone-form': 'broken',
  'key-form': 'broken',
  'bundle-form': 'broken',
  gap: 'broken',
  repeated: 'broken',
  order: 'broken',
  fork: 'broken',
  link: 'broken',
  'not-opened': 'broken',
  'after-close': 'broken',
  'unknown-key': 'unverifiable',
  'unknown-schema': 'unverifiable',
  'unlinked-epoch': 'unverifiable',
  'unsealed-tail': 'unverifiable',
  'history-missing': 'unverifiable',
  'not-anchored': 'unverifiable',
  'time-missing': 'unverifiable',
  'tombstone-late': 'unverifiable',
  'open-tail': 'remark',
  deleted: 'remark',
  silence: 'remark',
  uncommitted: 'remark',
  disturbed: 'remark',
} as const satisfies Readonly<Record<string, FindingClass>>;

export type Reason = keyof typeof REASONS;

/** One stream: all events of an organisation on a gateway in one epoch. */
export interface StreamName {
  readonly orgId: string;
  readonly gatewayId: string;
  readonly epoch: number;
}

export interface LedgerFinding {
  readonly reason: Reason;
  /** Index of the leaf at which it was noticed, or the first that it concerns. */
  readonly leaf: number;
  /** Undefined when it concerns the log. */
  readonly stream?: StreamName;
  /** Number of the event, or the first of those that are missing. */
  readonly seq?: number;
  /** For a person; names no content of an event. */
  readonly detail: string;
  /** Name of the object that is not as it must be; undefined when it concerns a stream. */
  readonly object?: string;
}

export type LedgerVerdict = 'intact' | 'broken' | 'not verifiable here';

/** What findings make of what they are about. */
export function verdictOf(reasons: Iterable<Reason>): LedgerVerdict {
  let verdict: LedgerVerdict = 'intact';
  for (const reason of reasons) {
    if (REASONS[reason] === 'broken') return 'broken';
    if (REASONS[reason] === 'unverifiable') verdict = 'not verifiable here';
  }
  return verdict;
}
