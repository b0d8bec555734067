import { RecentHashes } from './recent-hashes.ts';

/**
 * Epochs before the current one of which it is known how far they came: an append may arrive after the gateway has
 * started again, and one that is killed as soon as it starts does so many times meanwhile.
 */
export const EPOCHS_REMEMBERED = 64;

/** Of so many of these, the latest, the hashes are kept as well; of the others the last one's. */
export const EPOCHS_WITH_HASHES = 2;

/** How far the events of one organisation on one gateway have been accepted. */
export interface StreamPosition extends EpochPosition {
  /** The epochs before, latest first, at most `EPOCHS_REMEMBERED`. */
  readonly earlier?: readonly EpochPosition[];
}

/** How far the events of one epoch have been accepted. */
export interface EpochPosition {
  readonly epoch: number;
  /** Number of the last accepted event. */
  readonly seq: number;
  /** Leaf hash of the last accepted event: as text in any form, the same for all hashes here. */
  readonly head: string;
  /** Of the latest accepted events of this epoch. */
  readonly hashes: RecentHashes;
}

export interface StreamItem {
  readonly epoch: number;
  readonly seq: number;
  /** Leaf hash. */
  readonly hash: string;
  /** Leaf hash that the event names as its predecessor's. */
  readonly prevHash: string;
}

/**
 * Where an event stands in its stream.
 *
 * - `next`: accepted, the chain is whole.
 * - `duplicate`: the same event again, as a producer resends it; dropped from the table, declared in the ledger.
 * - `gap`: accepted; events before it are missing.
 * - `fork`: accepted, and a finding: another event stands under this number, or its link leads elsewhere.
 * - `new-epoch`: accepted; the gateway has started again.
 * - `stale-epoch`: accepted, and a finding: an event that nobody has seen of an epoch that was left.
 */
export type Verdict = 'next' | 'duplicate' | 'gap' | 'fork' | 'new-epoch' | 'stale-epoch';

export interface Placement {
  readonly verdict: Verdict;
  readonly position: StreamPosition;
  /** Numbers that are missing, both ends included; on `gap`, and on `new-epoch` that does not begin at 0. */
  readonly missing?: { readonly from: number; readonly to: number };
}

/**
 * Accepts an event into its stream. A pure function of the partition's order, so that everyone who reads the partition
 * comes to the same answer.
 *
 * @param position undefined before the first event of the stream; the result's `position` goes into the next call, and the
 *   one that was given must not be used again: it is moved on and not copied.
 */
export function placeInStream(position: StreamPosition | undefined, item: StreamItem): Placement {
  if (position === undefined || item.epoch > position.epoch) {
    const earlier = position === undefined ? [] : [position, ...(position.earlier ?? [])];
    const hashes = new RecentHashes();
    hashes.put(item.seq, item.hash);
    const next = {
      epoch: item.epoch,
      seq: item.seq,
      head: item.hash,
      hashes,
      earlier: remembered(earlier),
    };
    const missing = item.seq > 0 && position !== undefined ? { from: 0, to: item.seq - 1 } : undefined;
    return { verdict: 'new-epoch', position: next, ...(missing === undefined ? {} : { missing }) };
  }
  if (item.epoch < position.epoch) return placeInEarlier(position, item);
  if (item.seq > position.seq + 1) {
    const missing = { from: position.seq + 1, to: item.seq - 1 };
    return { verdict: 'gap', position: advance(position, item), missing };
  }
  if (item.seq === position.seq + 1) {
    const linked = item.prevHash === position.head;
    return { verdict: linked ? 'next' : 'fork', position: advance(position, item) };
  }
  const known = position.hashes.at(item.seq);
  // Beyond memory nobody can tell any more; a resend is by far the likelier, and the verifier of the archive knows all.
  return { verdict: known === undefined || known === item.hash ? 'duplicate' : 'fork', position };
}

/** A batch that was on its way when the gateway started again, and was sent again by the new epoch's recorder. */
function placeInEarlier(position: StreamPosition, item: StreamItem): Placement {
  const left = position.earlier?.find(({ epoch }) => epoch === item.epoch);
  if (left === undefined || item.seq > left.seq) return { verdict: 'stale-epoch', position };
  const known = left.hashes.at(item.seq);
  return { verdict: known === undefined || known === item.hash ? 'duplicate' : 'fork', position };
}

/** Epochs that were left, as far as they are remembered. */
export function remembered(earlier: readonly EpochPosition[]): EpochPosition[] {
  return earlier.slice(0, EPOCHS_REMEMBERED).map(({ epoch, seq, head, hashes }, index) => {
    if (index < EPOCHS_WITH_HASHES) return { epoch, seq, head, hashes };
    const last = new RecentHashes();
    last.put(seq, head);
    return { epoch, seq, head, hashes: last };
  });
}

/** In place: a position for each event would be garbage that has grown old when its stream goes on. */
function advance(position: StreamPosition, { seq, hash }: StreamItem): StreamPosition {
  const moved: { -readonly [Name in keyof StreamPosition]: StreamPosition[Name] } = position;
  moved.hashes.put(seq, hash);
  moved.seq = seq;
  moved.head = hash;
  return position;
}
