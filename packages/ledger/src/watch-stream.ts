import { KIND_SYMBOLS } from '@cairn/event';
import { genesisHash } from './genesis.ts';
import { bytesOfHash, type HashText, hashAt, hashOfHex, ZERO_HASH } from './hash-text.ts';
import type { KeyHistory } from './key-history.ts';
import { isLinkedTo, type Leaf } from './leaf.ts';
import type { StreamRange } from './manifest.ts';
import { type LedgerVerdict, type Reason, verdictOf } from './reasons.ts';
import { verifyDatum } from './signature.ts';

/** Hashes of each stream that a verifier remembers, to tell an event that came again from another under its number. */
const HASHES_WATCHED = 1_024;
/** Holes of each epoch that a verifier remembers, to tell an event that stands too late from one that is missing. */
const HOLES_WATCHED = 1_024;
/** Events that may follow a signature before the next: what a recorder seals. */
export const UNSEALED_MAX = 256;
const SILENCE_MICROS = 60_000_000;

/** What was found of one stream. */
export interface StreamReport {
  readonly orgId: string;
  readonly gatewayId: string;
  readonly epoch: number;
  readonly verdict: LedgerVerdict;
  readonly reasons: readonly Reason[];
  /** Events that were read. */
  readonly events: number;
  /** Events of segments that were deleted under policy, as the manifests count them. */
  readonly deleted: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Number of the last event that a valid signature authenticates, by an unbroken chain from it; −1 when none does. */
  readonly authenticatedTo: number;
  readonly closed: boolean;
  /** Of times between two events that follow each other, the longest above a minute; milliseconds, 0 when none is. */
  readonly silenceMs: number;
}

export type NoteFinding = (reason: Reason, leaf: number, epoch: number, seq: number, detail: string) => void;

/** Numbers that are missing, both ends included. */
interface Hole {
  readonly from: number;
  readonly to: number;
  /** Leaf that followed. */
  readonly leaf: number;
}

/** One epoch of a gateway's streams of an organisation. */
interface Epoch {
  readonly epoch: number;
  readonly firstSeq: number;
  lastSeq: number;
  head: HashText;
  headLeaf: number;
  events: number;
  deleted: number;
  authenticatedTo: number;
  /** Events that follow the last signature. */
  unsealed: number;
  closed: boolean;
  /** True while what came after the last event is not known. */
  isInterrupted: boolean;
  holes: Hole[];
  lastMicros: number;
  silenceMicros: number;
  readonly reasons: Set<Reason>;
}

/**
 * Verifies the streams of one organisation on one gateway, event by event as they stand in the log
 * (schemas/ledger.md, "A stream"). Remembers the latest hashes and the holes, and nothing of the events.
 */
export class StreamWatch {
  readonly orgId: string;
  readonly gatewayId: string;
  readonly #keys: KeyHistory;
  readonly #note: NoteFinding;
  /** True until the next opening, when what came before it is not known. */
  #isPartial: boolean;
  readonly #left: Epoch[] = [];
  #current: Epoch | undefined;
  /** The epoch before, while its end is named by an opening whose signature is not verified yet. */
  #unsettled: Epoch | undefined;
  /** Latest hashes of the current epoch, at seq modulo their count. */
  #hashes: HashText[] = [];
  #seqs: number[] = [];

  /** @param isPartial whether the log is not read from its first leaf on. */
  constructor(orgId: string, gatewayId: string, keys: KeyHistory, isPartial: boolean, note: NoteFinding) {
    this.orgId = orgId;
    this.gatewayId = gatewayId;
    this.#keys = keys;
    this.#isPartial = isPartial;
    this.#note = note;
  }

  add(leaf: Leaf, index: number): void {
    const { walked, bytes } = leaf;
    const { epoch, seq, prevHashAt } = walked;
    let current = this.#current;
    if (current === undefined || epoch > current.epoch) {
      const isOpening = seq === 0 && KIND_SYMBOLS[walked.kind] === 'stream_open';
      current = this.#open(epoch, seq, hashAt(bytes, prevHashAt), isOpening, index);
    } else if (epoch < current.epoch) {
      this.#goBack(epoch, seq, index).events += 1;
      return;
    } else if (seq <= current.lastSeq) {
      current.events += 1;
      this.#placeBack(current, seq, leaf.hash, index);
      return;
    } else if (current.isInterrupted) this.#goOn(current, seq, index);
    else if (seq > current.lastSeq + 1) this.#leaveHole(current, seq, index);
    else if (!isLinkedTo(leaf, current.head)) this.#breakLink(current, seq, index);
    if (current.closed) this.#find('after-close', index, current, seq, 'it follows the end of its stream');
    this.#advance(current, leaf, index);
  }

  #advance(current: Epoch, leaf: Leaf, index: number): void {
    const { walked, hash } = leaf;
    const { seq, timestampMicros } = walked;
    current.lastSeq = seq;
    current.head = hash;
    current.headLeaf = index;
    current.events += 1;
    current.unsealed += 1;
    current.closed = KIND_SYMBOLS[walked.kind] === 'stream_close';
    const slot = seq % HASHES_WATCHED;
    this.#hashes[slot] = hash;
    this.#seqs[slot] = seq;
    const silence = timestampMicros - current.lastMicros;
    if (silence > current.silenceMicros) current.silenceMicros = silence;
    current.lastMicros = timestampMicros;
    if (walked.signed && this.#isAuthentic(current, leaf, index)) {
      current.authenticatedTo = seq;
      current.unsealed = 0;
      this.#settle(true);
    } else if (this.#unsettled !== undefined) this.#settle(false);
  }

  #isAuthentic(current: Epoch, leaf: Leaf, index: number): boolean {
    const { walked, schemaId, bytes, start, end } = leaf;
    const { seq, keyId } = walked;
    const key = this.#keys.gatewayKey(this.orgId, this.gatewayId, walked.epoch, keyId);
    if (key === undefined) {
      // Said once for each epoch: every seal of it is by the same key.
      if (!current.reasons.has('unknown-key')) {
        this.#find('unknown-key', index, current, seq, `no key ${keyId} is known for this epoch`);
      }
      return false;
    }
    if (verifyDatum(key.publicKey, schemaId, bytes.subarray(start, end))) return true;
    this.#find('bad-signature', index, current, seq, `its signature is not by key ${keyId}`);
    return false;
  }

  /** The range of a segment that was deleted under policy, in place of its events. */
  addDeleted(range: StreamRange, index: number): void {
    const { epoch, first_seq: firstSeq, last_seq: lastSeq, events } = range;
    const link = hashOfHex(range.link);
    let current = this.#current;
    if (current === undefined || epoch > current.epoch) {
      current = this.#open(epoch, firstSeq, link, firstSeq === 0, index);
      this.#settle(range.sealed_to >= 0);
    } else if (epoch < current.epoch) {
      this.#goBack(epoch, firstSeq, index).deleted += events;
      return;
    } else if (firstSeq <= current.lastSeq) {
      this.#find('fork', index, current, firstSeq, 'a deleted segment begins at a number that was taken');
    } else if (current.isInterrupted) this.#goOn(current, firstSeq, index);
    else if (firstSeq > current.lastSeq + 1) this.#leaveHole(current, firstSeq, index);
    else if (link !== current.head) this.#breakLink(current, firstSeq, index);
    if (!range.whole)
      this.#find('gap', index, current, firstSeq, 'the deleted events were no unbroken chain');
    current.reasons.add('deleted');
    current.deleted += events;
    current.unsealed = range.sealed_to < 0 ? current.unsealed + events : lastSeq - range.sealed_to;
    if (range.sealed_to >= 0) current.authenticatedTo = range.sealed_to;
    this.#standAt(current, range, index);
  }

  /** What follows is not known until the next event that is added. */
  interrupt(): void {
    this.#isPartial = true;
    if (this.#current !== undefined) this.#current.isInterrupted = true;
  }

  #goOn(current: Epoch, seq: number, index: number): void {
    current.isInterrupted = false;
    this.#isPartial = false;
    this.#find(
      'history-missing',
      index,
      current,
      seq,
      `what followed number ${current.lastSeq} is not known here`,
    );
  }

  /**
   * Goes on from what a manifest says, behind a segment whose own rows cannot be relied on.
   *
   * @param first leaf of the segment. @param last leaf of it.
   */
  resume(range: StreamRange, first: number, last: number): void {
    let current = this.#current;
    if (current === undefined || current.epoch < range.epoch) {
      if (current !== undefined) this.#leave(current);
      current = newEpoch(range.epoch, range.first_seq, last);
      this.#current = current;
    } else if (current.epoch > range.epoch) return;
    this.#closeHoles(current);
    current.unsealed = 0;
    this.#standAt(current, range, last);
    const detail = `the events to number ${range.last_seq} are not known here; its manifest stands for them`;
    this.#find('history-missing', first, current, range.first_seq, detail);
  }

  #standAt(current: Epoch, range: StreamRange, index: number): void {
    current.lastSeq = range.last_seq;
    current.head = hashOfHex(range.head);
    current.headLeaf = index;
    current.closed = range.closed;
    current.isInterrupted = false;
    current.lastMicros = Number.POSITIVE_INFINITY;
    this.#hashes = [];
    this.#seqs = [];
  }

  #open(epoch: number, seq: number, link: HashText, isOpening: boolean, index: number): Epoch {
    const before = this.#current;
    const opened = newEpoch(epoch, seq, index);
    const isLinked = seq === 0 && this.#isLinked(before, opened, link, index);
    if (before !== undefined) {
      this.#leave(before);
      this.#unsettled = before;
      if (!isLinked) this.#settle(false);
    }
    this.#current = opened;
    this.#hashes = [];
    this.#seqs = [];
    if (this.#isPartial && !isOpening) {
      this.#find('history-missing', index, opened, seq, 'what was before is not known here');
    } else if (!isOpening) {
      this.#find('not-opened', index, opened, seq, 'its first event is not its opening');
      if (seq > 0) opened.holes.push({ from: 0, to: seq - 1, leaf: index });
    }
    this.#isPartial = false;
    return opened;
  }

  /** Whether the first event of an epoch names the end of the one before. */
  #isLinked(before: Epoch | undefined, opened: Epoch, link: HashText, index: number): boolean {
    const genesisOver = (head: HashText): HashText =>
      hashAt(genesisHash(this.orgId, this.gatewayId, opened.epoch, bytesOfHash(head)), 0);
    if (before !== undefined && link === genesisOver(before.head)) return true;
    const namesNone = link === genesisOver(ZERO_HASH);
    if (before === undefined) {
      if (!namesNone && !this.#isPartial) {
        this.#find('unlinked-epoch', index, opened, 0, 'the epoch that it names is not in this log');
      }
    } else if (namesNone) this.#find('unlinked-epoch', index, opened, 0, 'it does not name the epoch before');
    else if (before.isInterrupted)
      this.#find('history-missing', index, opened, 0, 'the end of the epoch before is not known here');
    else
      this.#find(
        'link',
        index,
        opened,
        0,
        `it does not name leaf ${before.headLeaf}, the end of the epoch before`,
      );
    return false;
  }

  /** The end of the epoch before is authenticated by the opening of the current one, or stays as it was. */
  #settle(isNamed: boolean): void {
    const before = this.#unsettled;
    this.#unsettled = undefined;
    if (before === undefined) return;
    if (isNamed) before.authenticatedTo = before.lastSeq;
    else if (before.unsealed > 0) {
      const detail = `${before.unsealed} events are not signed for, and nothing authentic names them`;
      this.#find('unsealed-tail', before.headLeaf, before, before.lastSeq, detail);
    }
  }

  #leaveHole(current: Epoch, seq: number, index: number): void {
    current.holes.push({ from: current.lastSeq + 1, to: seq - 1, leaf: index });
    if (current.holes.length > HOLES_WATCHED) this.#closeHole(current, current.holes.shift()!);
  }

  #closeHoles(epoch: Epoch): void {
    for (const hole of epoch.holes) this.#closeHole(epoch, hole);
    epoch.holes = [];
  }

  #closeHole(epoch: Epoch, { from, to, leaf }: Hole): void {
    this.#find('gap', leaf, epoch, from, `numbers ${from} to ${to} are missing`);
  }

  #breakLink(current: Epoch, seq: number, index: number): void {
    const detail = `it does not name leaf ${current.headLeaf}, the event before it`;
    this.#find('link', index, current, seq, detail);
  }

  /** An event whose number is not above the last one's. */
  #placeBack(current: Epoch, seq: number, hash: HashText, index: number): void {
    const at = current.holes.findIndex(({ from, to }) => seq >= from && seq <= to);
    const hole = current.holes[at];
    if (hole !== undefined) {
      const parts = [
        { ...hole, to: seq - 1 },
        { ...hole, from: seq + 1 },
      ].filter(({ from, to }) => from <= to);
      current.holes.splice(at, 1, ...parts);
      this.#find('order', index, current, seq, `it stands behind number ${current.lastSeq}`);
      return;
    }
    const slot = seq % HASHES_WATCHED;
    if (this.#seqs[slot] === seq && this.#hashes[slot] === hash) {
      this.#find('repeated', index, current, seq, 'the same event stands twice');
    } else this.#find('fork', index, current, seq, 'its number was taken');
  }

  /** An event of an epoch that was left. */
  #goBack(epoch: number, seq: number, index: number): Epoch {
    let left = this.#left.find((one) => one.epoch === epoch);
    if (left === undefined) this.#left.push((left = newEpoch(epoch, seq, index)));
    this.#find('fork', index, left, seq, 'an epoch that was left goes on');
    return left;
  }

  #leave(epoch: Epoch): void {
    this.#closeHoles(epoch);
    if (epoch.silenceMicros > SILENCE_MICROS) epoch.reasons.add('silence');
    this.#left.push(epoch);
  }

  /** Ends with the log. One for each epoch, in order. */
  end(): StreamReport[] {
    const current = this.#current;
    if (current !== undefined) {
      if (current.unsealed > UNSEALED_MAX) {
        const detail = `${current.unsealed} events follow the last signature`;
        this.#find('unsealed-tail', current.headLeaf, current, current.lastSeq, detail);
      } else if (current.unsealed > 0) current.reasons.add('open-tail');
      this.#leave(current);
      this.#current = undefined;
    }
    return this.#left
      .toSorted((one, other) => one.epoch - other.epoch)
      .map((epoch) => ({
        orgId: this.orgId,
        gatewayId: this.gatewayId,
        epoch: epoch.epoch,
        verdict: verdictOf(epoch.reasons),
        reasons: [...epoch.reasons].sort(),
        events: epoch.events,
        deleted: epoch.deleted,
        firstSeq: epoch.firstSeq,
        lastSeq: epoch.lastSeq,
        authenticatedTo: epoch.authenticatedTo,
        closed: epoch.closed,
        silenceMs: epoch.silenceMicros > SILENCE_MICROS ? Math.round(epoch.silenceMicros / 1_000) : 0,
      }));
  }

  #find(reason: Reason, leaf: number, { epoch, reasons }: Epoch, seq: number, detail: string): void {
    reasons.add(reason);
    this.#note(reason, leaf, epoch, seq, detail);
  }
}

const newEpoch = (epoch: number, firstSeq: number, index: number): Epoch => ({
  epoch,
  firstSeq,
  lastSeq: firstSeq,
  head: ZERO_HASH,
  headLeaf: index,
  events: 0,
  deleted: 0,
  authenticatedTo: -1,
  unsealed: 0,
  closed: false,
  isInterrupted: false,
  holes: [],
  lastMicros: Number.POSITIVE_INFINITY,
  silenceMicros: 0,
  reasons: new Set(),
});
