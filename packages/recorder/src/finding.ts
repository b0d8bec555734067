/**
 * Something the recorder found wrong with what it had written before, or with the disk under it.
 *
 * - `spool.torn`: the end of an interrupted write was cut; nobody had been told that it was recorded
 * - `spool.damaged`: bytes that had been durable cannot be read; the records in them are lost
 * - `spool.missing`: records that had been durable and were not sent are no longer in the directory
 * - `spool.write-failed`: a write or sync failed; its records were written again to a new file
 * - `epoch.lost`: the epoch counter is unreadable; the spool and the clock supplied the next
 */
export interface Finding {
  readonly code: 'spool.torn' | 'spool.damaged' | 'spool.missing' | 'spool.write-failed' | 'epoch.lost';
  readonly message: string;
  /** File within the recorder's directory. */
  readonly file?: string;
}
