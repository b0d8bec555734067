import type { Reason } from '@cairn/ledger';

/** What the proof machinery noticed while the log was written. Recorded as an alert event. */
export interface Finding {
  /**
   * A reason of schemas/ledger.md where the verifier would find the same, or one of archival's own:
   *
   * - `log-rollback`: Kafka has lost, or holds otherwise, what the archive has from it.
   * - `log-lost`: Kafka deleted records before they were archived.
   * - `second-writer`: somebody else writes this log.
   * - `disturbed`: an object was replaced by a newer version or hidden.
   * - `row-differs`: ClickHouse holds another event than the archive.
   * - `read-back`: the store gave other bytes than it was given.
   * - `clock-off`: archival's clock and the store's are far apart.
   */
  readonly reason:
    | Reason
    | 'log-rollback'
    | 'log-lost'
    | 'second-writer'
    | 'disturbed'
    | 'row-differs'
    | 'read-back'
    | 'clock-off';
  readonly origin: string;
  /** Offset at which it was noticed, or leaf where `at` says so; -1 when it concerns the whole log. */
  readonly at: number;
  /** Undefined when it concerns the log. */
  readonly stream?: {
    readonly orgId: string;
    readonly gatewayId: string;
    readonly epoch: number;
    readonly seq: number;
  };
  /** For a person; names no content of an event. */
  readonly detail: string;
}
