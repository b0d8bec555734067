import { Failure } from '@cairn/failure';
import type { StreamPositions } from '@cairn/ledger';
import type { AssignedPartition } from '@cairn/runtime';
import { type Anchor, type EventTable, membership, type Owner } from './event-table.ts';

/** A partition that this process may load, and how far the table has come. */
export interface OpenedPartition {
  readonly owner: Owner;
  /** First offset that the table does not account for. */
  readonly start: number;
  /** Offsets behind the anchor that it accounts for. */
  readonly isCovered: (offset: number) => boolean;
  /** Last offset that it accounts for; below `start` when that is the next. */
  readonly coveredTo: number;
  readonly streams: StreamPositions;
  /** The last row before `start`, which the log must still hold: it is read again and compared, and what follows it too. */
  readonly anchor: Anchor | undefined;
  /** Offsets below Kafka's commit that are loaded again because the table lost them. */
  readonly rewound: number;
}

/**
 * Takes a partition over. The table says how far it was loaded; Kafka's committed offset only says where to look.
 *
 * 1. Become the latest owner: inserts of earlier ones that come later insert nothing.
 * 2. End the inserts of earlier owners that are running.
 * 3. Read what the table accounts for. Now nothing but this process changes it.
 *
 * @throws Failure `ledger.ahead` when the table holds offsets that the log does not have.
 */
export async function openPartition(
  table: EventTable,
  partition: AssignedPartition,
  name: string,
): Promise<OpenedPartition> {
  const owner: Owner = { topic: partition.topic, partition: partition.partition, name };
  await table.becomeOwner(owner);
  await table.endInserts(owner);

  const [committed, bounds] = await Promise.all([partition.committed(), partition.bounds()]);
  const held = await table.held(owner, bounds.first);
  if (held.highest >= bounds.end) throw tableAhead(partition, held.highest, bounds.end);
  const committedTo = committed.offset ?? bounds.first;
  // After a power loss the table may have lost what Kafka was told is loaded: its end, or parts in its midst.
  const lookFrom = held.whole ? Math.min(committedTo, held.highest + 1) : bounds.first;
  const from = Math.max(lookFrom, bounds.first);
  const covered = await table.covered(owner, from);
  const [head, ...later] = covered;
  const begun = head !== undefined && head.first <= from;
  const start = begun ? head.last + 1 : from;
  const rest = begun ? later : covered;
  const streams = await table.streams(owner, start, rest.length === 0);
  // A log that lost its end and grew again has other records under the same offsets; so has a topic created anew.
  // The offset before may be a declared gap, which says nothing of what the log held there: the last row does.
  const below = await table.rowBelow(owner, start);
  const anchor = below && below.offset >= bounds.first ? below : undefined;
  const between = anchor && anchor.offset + 1 < start ? [{ first: anchor.offset + 1, last: start - 1 }] : [];
  return {
    owner,
    start,
    isCovered: membership([...between, ...rest]),
    coveredTo: rest.at(-1)?.last ?? start - 1,
    streams,
    anchor,
    rewound: Math.max(0, committedTo - start),
  };
}

function tableAhead({ topic, partition }: AssignedPartition, highest: number, end: number): Failure {
  return new Failure({
    code: 'ledger.ahead',
    retry: 'later',
    message: `the table holds offset ${highest} of partition ${partition} of ${topic}, but the log ends at ${end}`,
    mend: 'The topic was created again or its tail was lost: restore it, or give the new one another name.',
  });
}
