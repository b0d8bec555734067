import { messageOf } from '@cairn/failure';
import { type Checkpoint, openCheckpoint, parseCheckpoint } from './checkpoint.ts';
import { CompactRange, EMPTY_ROOT } from './compact-range.ts';
import { greatestOf } from './greatest.ts';
import { type HashText, hexOfHash, sha256Hex, sha256Text } from './hash-text.ts';
import type { KeyHistory } from './key-history.ts';
import { reasonOfNote } from './log-findings.ts';
import { anchorCheckpointName, anchorEntriesName } from './object-names.ts';
import { anchorOrigin } from './origin.ts';
import { type LedgerFinding, type LedgerVerdict, type Reason, verdictOf } from './reasons.ts';
import { notesOfRound } from './round.ts';
import { openNote, splitNote } from './signed-note.ts';

export interface AnchorsReport {
  readonly verdict: LedgerVerdict;
  /** Of the greatest anchor checkpoint that is proven. */
  readonly size: number;
  /** Of that checkpoint, hex. */
  readonly root: string;
  /** Checkpoints of partitions' logs among the leaves, by origin, in order of leaves; opened with the logs' keys. */
  readonly checkpoints: ReadonlyMap<string, readonly AnchoredCheckpoint[]>;
  /** SHA-256 (hex) of every tombstone's note among the leaves. */
  readonly tombstones: ReadonlySet<string>;
  /** The first 1,000, in the order in which they were found. */
  readonly findings: readonly LedgerFinding[];
}

export interface AnchoredCheckpoint extends Checkpoint {
  /** Leaf of the anchor log. */
  readonly leaf: number;
  /** Size of the first anchor checkpoint that covers it: whose timestamps say when it existed. */
  readonly anchoredAt: number;
}

/** The leaf hash of an entry of the anchor log: SHA-256(00 ‖ note). */
export function noteLeafHash(note: Uint8Array): HashText {
  const leaf = new Uint8Array(1 + note.length);
  leaf.set(note, 1);
  return sha256Text(leaf);
}

/**
 * Verifies a deployment's anchor log: fed its checkpoints, then its rounds of entries in order, then ended. What it holds is
 * then compared with the logs themselves.
 */
export class AnchorsVerifier {
  readonly #origin: string;
  readonly #keys: KeyHistory;
  readonly #roots = new Map<number, HashText>();
  readonly #tree = new CompactRange();
  #proven = 0;
  readonly #pending: { origin: string; checkpoint: Checkpoint; leaf: number }[] = [];
  readonly #pendingTombstones: string[] = [];
  readonly #checkpoints = new Map<string, AnchoredCheckpoint[]>();
  readonly #tombstones = new Set<string>();
  readonly #findings: LedgerFinding[] = [];
  readonly #reasons = new Set<Reason>();
  #isBroken = false;
  /** First leaf of the round that is read. */
  #round = 0;

  constructor(keys: KeyHistory) {
    this.#keys = keys;
    this.#origin = anchorOrigin(keys.deployment);
  }

  /** @param size as its name has it. */
  addCheckpoint(size: number, note: Uint8Array): void {
    try {
      const keys = this.#keys.keysAt('anchor', this.#origin, size);
      const checkpoint = openCheckpoint(note, keys, this.#origin);
      if (checkpoint.size === size) {
        this.#roots.set(size, checkpoint.root);
        // Its entries may have been read before it was there.
        if (size > this.#proven && size === this.#tree.end && !this.#isBroken) this.#settle();
      } else
        this.#find(
          'checkpoint-form',
          size,
          `the anchor checkpoint named ${size} is of ${checkpoint.size} leaves`,
          anchorCheckpointName(size),
        );
    } catch (error) {
      this.#find(
        reasonOfNote(error, 'checkpoint-form'),
        size,
        `anchor checkpoint ${size}: ${messageOf(error)}`,
        anchorCheckpointName(size),
      );
    }
  }

  /**
   * One round's entries, in order of rounds.
   *
   * @param first as its name has it.
   */
  addEntries(first: number, bundle: Uint8Array): void {
    if (this.#isBroken) return;
    this.#round = this.#tree.end;
    let notes: Uint8Array[] = [];
    if (first !== this.#tree.end) this.#break('missing', `anchor entries ${this.#tree.end} to ${first - 1}`);
    else {
      try {
        notes = notesOfRound(bundle);
      } catch (error) {
        this.#break('segment-form', `anchor entries ${first}: ${messageOf(error)}`);
      }
    }
    for (const note of notes) {
      this.#read(note, this.#tree.end);
      this.#tree.append(noteLeafHash(note));
    }
    this.#settle();
  }

  /** Compares what was read with the checkpoint of its size. */
  #settle(): void {
    const root = this.#roots.get(this.#tree.end);
    // Entries behind the greatest checkpoint are a round that was not committed.
    if (root === undefined) return;
    if (this.#tree.root() === root) this.#commit(this.#tree.end);
    else
      this.#break(
        'root-mismatch',
        `anchor entries up to ${this.#tree.end - 1} do not lead to the signed root`,
      );
  }

  #commit(size: number): void {
    this.#proven = size;
    for (const { origin, checkpoint, leaf } of this.#pending.splice(0)) {
      const known = this.#checkpoints.get(origin) ?? [];
      known.push({ ...checkpoint, leaf, anchoredAt: size });
      this.#checkpoints.set(origin, known);
    }
    for (const tombstone of this.#pendingTombstones.splice(0)) this.#tombstones.add(tombstone);
  }

  #read(note: Uint8Array, leaf: number): void {
    try {
      const { text } = splitNote(note);
      if (text.startsWith('{')) {
        this.#pendingTombstones.push(sha256Hex(note));
        return;
      }
      const { origin, size } = parseCheckpoint(text);
      openNote(note, this.#keys.keysAt('log', origin, size));
      this.#pending.push({ origin, checkpoint: parseCheckpoint(text), leaf });
    } catch (error) {
      this.#find(
        reasonOfNote(error, 'checkpoint-form'),
        leaf,
        `anchor entry ${leaf}: ${messageOf(error)}`,
        anchorEntriesName(this.#round),
      );
    }
  }

  #break(reason: Reason, detail: string): void {
    this.#isBroken = true;
    this.#find(reason, this.#round, detail, anchorEntriesName(this.#round));
  }

  /** What was noticed elsewhere and concerns the anchor log. */
  find(finding: LedgerFinding): void {
    this.#reasons.add(finding.reason);
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(finding);
  }

  /** What was fed so far; more can be fed afterwards, checkpoints before their entries or behind them. */
  end(): AnchorsReport {
    const greatest = greatestOf(this.#roots.keys());
    const findings = [...this.#findings];
    const reasons = new Set(this.#reasons);
    if (!this.#isBroken && this.#proven < greatest) {
      const detail = `anchor entries ${this.#tree.end} to ${greatest - 1}`;
      const object = anchorEntriesName(this.#tree.end);
      findings.push({ reason: 'missing', leaf: this.#tree.end, detail, object });
      reasons.add('missing');
    }
    return {
      verdict: verdictOf(reasons),
      size: this.#proven,
      root: hexOfHash(this.#roots.get(this.#proven) ?? EMPTY_ROOT),
      checkpoints: this.#checkpoints,
      tombstones: this.#tombstones,
      findings: findings.slice(0, FINDINGS_MAX),
    };
  }

  #find(reason: Reason, leaf: number, detail: string, object: string): void {
    this.find({ reason, leaf, detail, object });
  }
}

/** That are kept; all of them count for the verdict. */
const FINDINGS_MAX = 1_000;
