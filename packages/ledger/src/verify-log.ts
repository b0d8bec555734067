import { schemaById } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { CompactRange, EMPTY_ROOT } from './compact-range.ts';
import { type HashText, hashOfHex, hexOfHash, sha256Hex, ZERO_HASH } from './hash-text.ts';
import type { KeyHistory } from './key-history.ts';
import type { Leaf } from './leaf.ts';
import { type FindingsReport, LogFindings, reasonOfNote } from './log-findings.ts';
import { LogStreams, type Population } from './log-streams.ts';
import { type Manifest, openManifest } from './manifest.ts';
import { checkpointName, manifestName, segmentName, tombstoneName } from './object-names.ts';
import { pieceAt } from './pieces.ts';
import { readSegment } from './read-segment.ts';
import type { Reason } from './reasons.ts';
import { SegmentFacts, type SegmentSummary } from './segment-facts.ts';
import { openTombstone, tombstoneMisfit } from './tombstone.ts';
import type { StreamReport } from './watch-stream.ts';

export interface LogReport extends FindingsReport {
  readonly origin: string;
  /** Of the greatest checkpoint. */
  readonly size: number;
  /** Hex. */
  readonly root: string;
  /** Leaves that were read and whose hashes lead to the root. */
  readonly proven: number;
  /** Leaves that were deleted under policy. */
  readonly deleted: number;
  readonly streams: readonly StreamReport[];
  readonly population: readonly Population[];
}

export interface LogVerification {
  readonly origin: string;
  readonly keys: KeyHistory;
  /** Findings that are kept; all are counted. Default 1,000. */
  readonly findingsMax?: number;
}

/** What was found of a segment in the store. */
export interface FetchedSegment {
  /** Of the manifest's objects, in its order; undefined for one that is not there. */
  readonly objects: readonly (Uint8Array | undefined)[];
  /** The tombstone's note; undefined when there is none. */
  readonly tombstone?: Uint8Array | undefined;
  /** Whether an anchored round holds the tombstone; undefined when anchors are not judged. */
  readonly isTombstoneAnchored?: boolean;
}

/**
 * Verifies one log: fed its checkpoints, then its manifests in order of their first leaf, each with its segment, and then
 * ended. Holds one segment's objects and one block at a time, the state of each stream, and the findings.
 *
 * Everything it is given is taken for hostile; a note counts when it opens with a key that the history has at its position.
 */
export class LogVerifier {
  readonly #origin: string;
  readonly #deployment: string;
  readonly #keys: KeyHistory;
  readonly #findings: LogFindings;
  readonly #streams: LogStreams;
  readonly #roots = new Map<number, HashText>();
  /** Sizes of the checkpoints that no segment was compared with yet, falling. */
  #sizes: number[] | undefined;
  #size = 0;
  #root: HashText = EMPTY_ROOT;
  /** The tree up to where it is known; undefined behind a range whose nodes nobody can give. */
  #tree: CompactRange | undefined = new CompactRange();
  /** Leaf at which the next manifest must begin. */
  #next = 0;
  #previous = hexOfHash(ZERO_HASH);
  #manifest: { readonly manifest: Manifest; readonly note: Uint8Array } | undefined;
  /** Why the manifest before the next one did not count. */
  #unopened: Reason | undefined;
  #proven = 0;
  /** Leaves that wait for a checkpoint that proves them. */
  #waiting = 0;
  #deleted = 0;

  constructor({ origin, keys, findingsMax }: LogVerification) {
    this.#origin = origin;
    this.#deployment = keys.deployment;
    this.#keys = keys;
    this.#findings = new LogFindings(findingsMax ?? 1_000);
    const isHistoryUnknown = () => this.#tree === undefined;
    this.#streams = new LogStreams({ keys, findings: this.#findings, isHistoryUnknown });
    if (!origin.startsWith(`${this.#deployment}/`)) {
      this.find('unknown-key', 0, `${origin} is no log of ${this.#deployment}`);
    }
  }

  /**
   * One checkpoint of the log; all of them come before the first manifest, in any order.
   *
   * @param size as its name has it.
   */
  addCheckpoint(size: number, note: Uint8Array): void {
    const keys = this.#keys.keysAt('log', this.#origin, size);
    let checkpoint: Checkpoint;
    try {
      checkpoint = openCheckpoint(note, keys, this.#origin);
    } catch (error) {
      this.find(
        reasonOfNote(error, 'checkpoint-form'),
        size,
        `checkpoint ${size}: ${messageOf(error)}`,
        this.#checkpoint(size),
      );
      return;
    }
    if (checkpoint.size !== size) {
      this.find(
        'checkpoint-form',
        size,
        `the checkpoint named ${size} is of ${checkpoint.size} leaves`,
        this.#checkpoint(size),
      );
      return;
    }
    this.#roots.set(size, checkpoint.root);
    if (size > this.#size) {
      this.#size = size;
      this.#root = checkpoint.root;
    }
  }

  /** Leaves of the greatest checkpoint that opens. */
  get size(): number {
    return this.#size;
  }

  /** Leaf at which the next manifest must begin; the log is read when it is `size`. */
  get next(): number {
    return this.#next;
  }

  /**
   * The next manifest, by rising first leaf; `addSegment` follows when it is returned.
   *
   * @param first as its name has it.
   * @returns undefined when it is none of the committed log, and its segment is not to be added.
   */
  openManifest(first: number, note: Uint8Array): Manifest | undefined {
    if (first >= this.#size) {
      this.find('uncommitted', first, 'a manifest beyond the latest checkpoint', this.#manifestName(first));
      return undefined;
    }
    const manifest = this.#readManifest(first, note);
    if (manifest === undefined) return undefined;
    if (first > this.#next) this.#skipTo(first);
    else if (manifest.previous !== this.#previous) {
      this.find(
        'manifest-form',
        first,
        'it does not follow the manifest before it',
        this.#manifestName(first),
      );
    }
    if (manifest.end > this.#size) {
      this.find(
        'uncommitted',
        first,
        'a manifest that goes beyond the latest checkpoint',
        this.#manifestName(first),
      );
      return undefined;
    }
    this.#findInner(manifest);
    this.#manifest = { manifest, note };
    return manifest;
  }

  /** Checkpoints within a segment: a log has them where segments end and nowhere else. */
  #findInner({ first, end }: Manifest): void {
    this.#sizes ??= [...this.#roots.keys()].sort((one, other) => other - one);
    while ((this.#sizes.at(-1) ?? Number.POSITIVE_INFINITY) < end) {
      const size = this.#sizes.pop()!;
      if (size > first)
        this.find(
          'checkpoint-form',
          size,
          `no segment ends at the checkpoint of ${size} leaves`,
          this.#checkpoint(size),
        );
    }
  }

  #readManifest(first: number, note: Uint8Array): Manifest | undefined {
    const end = endClaimedBy(note);
    if (end < 0) {
      this.#unopened = 'manifest-form';
      this.find(
        'manifest-form',
        first,
        `manifest ${first}: it does not begin with its end`,
        this.#manifestName(first),
      );
      return undefined;
    }
    let manifest: Manifest;
    try {
      // Which keys may sign it depends on what it says; that it says so is believed when one of these has signed it.
      manifest = openManifest(note, this.#keys.keysAt('archive', this.#origin, end));
    } catch (error) {
      this.#unopened = reasonOfNote(error, 'manifest-form');
      this.find(this.#unopened, first, `manifest ${first}: ${messageOf(error)}`, this.#manifestName(first));
      return undefined;
    }
    const wrong =
      manifest.origin !== this.#origin
        ? `it is of ${manifest.origin}`
        : manifest.first !== first || manifest.end <= first
          ? `it is of [${manifest.first}, ${manifest.end})`
          : first < this.#next
            ? `leaf ${first} belongs to the manifest before it`
            : manifest.objects.some(({ key, schema }) => key !== segmentName(this.#origin, first, schema))
              ? 'an object of it is named otherwise'
              : undefined;
    if (wrong === undefined) return manifest;
    this.#unopened = 'manifest-form';
    this.find('manifest-form', first, `manifest ${first}: ${wrong}`, this.#manifestName(first));
    return undefined;
  }

  /** The segment of the manifest that was opened last. */
  addSegment(segment: FetchedSegment): void {
    if (this.#manifest === undefined) throw new TypeError('no manifest was opened');
    const { manifest, note } = this.#manifest;
    this.#manifest = undefined;
    const isRead = this.#readObjects(manifest, note, segment);
    if (!isRead) this.#streams.resume(manifest);
    this.#next = manifest.end;
    this.#previous = sha256Hex(note);
  }

  /** @returns whether its streams have been moved on. */
  #readObjects(manifest: Manifest, note: Uint8Array, segment: FetchedSegment): boolean {
    const { first, end, objects, root } = manifest;
    const signed = this.#roots.get(end);
    if (signed !== undefined && hexOfHash(signed) !== root) {
      this.find('manifest-mismatch', first, 'its root is not the signed one', this.#manifestName(first));
    }
    const missing = objects.filter((_, at) => segment.objects[at] === undefined);
    if (missing.length === objects.length && this.#isDeleted(manifest, note, segment)) {
      this.#join(manifest);
      this.#deleted += end - first;
      this.find(
        'deleted',
        first,
        `leaves ${first} to ${end - 1} were deleted under policy`,
        tombstoneName(this.#origin, first),
      );
      this.#streams.addDeleted(manifest);
      return true;
    }
    if (missing.length > 0) {
      const keys = missing.map(({ key }) => key);
      this.find('missing', first, `${keys.join(', ')} is not there`, keys[0]);
      this.#join(manifest);
      return false;
    }
    for (const [at, { key, size, sha256 }] of objects.entries()) {
      const bytes = segment.objects[at]!;
      if (bytes.length !== size || sha256Hex(bytes) !== sha256) {
        this.find('object-altered', first, `${key} has another size or SHA-256 than the manifest says`, key);
      }
    }
    const unknown = objects.find(({ schema }) => schemaById(schema) === undefined);
    if (unknown !== undefined) {
      const detail = `${unknown.key} is of schema ${unknown.schema}, which this release does not know`;
      this.find('unknown-schema', first, detail, unknown.key);
      this.#join(manifest);
      return false;
    }
    return this.#readLeaves(manifest, segment.objects as readonly Uint8Array[]);
  }

  #readLeaves(manifest: Manifest, objects: readonly Uint8Array[]): boolean {
    const { first, end } = manifest;
    const facts = new SegmentFacts(first);
    let index = first;
    const onLeaf = (leaf: Leaf): void => {
      facts.add(leaf);
      this.#streams.add(leaf, index);
      index += 1;
    };
    try {
      const parts = manifest.objects.map(({ schema }, at) => ({ schemaId: schema, bytes: objects[at]! }));
      readSegment({ origin: this.#origin, first, end }, parts, onLeaf);
    } catch (error) {
      const reason = isFailure(error, 'segment.datum') ? 'datum-form' : 'segment-form';
      if (!isFailure(error)) throw error;
      this.find(reason, Math.min(index, end - 1), messageOf(error), manifest.objects[0]!.key);
      this.#findPiece(manifest, facts.leaves.pieces().map(hexOfHash), index);
      this.#join(manifest);
      return false;
    }
    const summary = facts.summary();
    this.#waiting += end - first;
    const isProven = this.#goOn(facts.leaves.nodes(), end);
    if (isProven === false) {
      this.#waiting = 0;
      this.#findPiece(manifest, summary.pieces, index);
      this.#join(manifest);
      return false;
    }
    const differing = differenceOf(manifest, summary);
    if (differing !== undefined)
      this.find(
        'manifest-mismatch',
        first,
        `its ${differing} are not those of its leaves`,
        this.#manifestName(first),
      );
    return true;
  }

  /**
   * Takes the tree on to `end` by nodes.
   *
   * @returns whether they lead to the signed root; undefined when there is none at `end`, so that the next one decides, or
   *   when the tree is not known.
   */
  #goOn(nodes: readonly HashText[], end: number): boolean | undefined {
    if (this.#tree === undefined) return undefined;
    const tree = CompactRange.of(this.#tree.end, this.#tree.nodes());
    if (!tree.join(end, nodes)) return false;
    const signed = this.#roots.get(end);
    if (signed === undefined)
      this.find('missing', end, `the checkpoint of ${end} leaves is not there`, this.#checkpoint(end));
    else if (tree.root() !== signed) return false;
    this.#tree = tree;
    if (signed === undefined) return undefined;
    this.#proven += this.#waiting;
    this.#waiting = 0;
    return true;
  }

  /** Goes on from the nodes that the manifest names. */
  #join({ end, first, nodes }: Manifest): void {
    if (this.#goOn(nodes.map(hashOfHex), end) !== false) return;
    this.find(
      'root-mismatch',
      first,
      'the nodes of its manifest do not lead to the signed root',
      this.#manifestName(first),
    );
    this.#tree = undefined;
  }

  /** Names the first piece of a segment whose root is not as the manifest has it. */
  #findPiece(manifest: Manifest, pieces: readonly string[], read: number): void {
    const { first, end } = manifest;
    const at = pieces.findIndex((piece, number) => {
      const piecesEnd = pieceAt(first, end, number).end;
      return piecesEnd <= read && piece !== manifest.pieces[number];
    });
    if (at >= 0) {
      const piece = pieceAt(first, end, at);
      this.find(
        'root-mismatch',
        piece.first,
        `leaves ${piece.first} to ${piece.end - 1} do not lead to the signed root`,
        manifest.objects[0]!.key,
      );
    } else if (read === end)
      this.find(
        'root-mismatch',
        first,
        'the leaves do not lead to the signed root',
        manifest.objects[0]!.key,
      );
  }

  #isDeleted(
    manifest: Manifest,
    note: Uint8Array,
    { tombstone, isTombstoneAnchored }: FetchedSegment,
  ): boolean {
    const { first, end } = manifest;
    if (tombstone === undefined) return false;
    try {
      const opened = openTombstone(tombstone, this.#keys.keysAt('archive', this.#origin, end));
      const misfit = tombstoneMisfit(opened, manifest, note);
      if (misfit !== undefined) {
        this.find(
          'tombstone-form',
          first,
          `the tombstone of leaf ${first} does not fit: ${misfit}`,
          tombstoneName(this.#origin, first),
        );
        return false;
      }
    } catch (error) {
      this.find(
        reasonOfNote(error, 'tombstone-form'),
        first,
        `the tombstone of leaf ${first}: ${messageOf(error)}`,
        tombstoneName(this.#origin, first),
      );
      return false;
    }
    if (isTombstoneAnchored === false)
      this.find(
        'tombstone-late',
        first,
        'the tombstone is in no anchored round',
        tombstoneName(this.#origin, first),
      );
    return true;
  }

  /** No manifest that counts says what lies before this leaf. */
  #skipTo(first: number): void {
    const reason = this.#unopened === 'unknown-key' ? 'history-missing' : 'missing';
    this.find(
      reason,
      this.#next,
      `no manifest accounts for leaves ${this.#next} to ${first - 1}`,
      this.#manifestName(this.#next),
    );
    this.#tree = undefined;
    this.#next = first;
    this.#streams.interrupt();
  }

  /**
   * A checkpoint of this log that was seen elsewhere: among the leaves of the anchor log, or kept by the auditor. After the
   * last segment.
   *
   * @param where for the finding's text.
   */
  addWitnessed({ size, root }: Checkpoint, where: string): void {
    const known = this.#roots.get(size);
    if (size > this.#size)
      this.find(
        'rollback',
        this.#size,
        `${where} has a checkpoint of ${size} leaves`,
        this.#checkpoint(size),
      );
    else if (known === undefined)
      this.find(
        'missing',
        size,
        `${where} has a checkpoint of ${size} leaves, the log none`,
        this.#checkpoint(size),
      );
    else if (known !== root)
      this.find('split-view', size, `${where} has another root of ${size} leaves`, this.#checkpoint(size));
  }

  /**
   * A finding about the log, also of a caller: anchors, timestamps, locks.
   *
   * @param object name of what is not as it must be.
   */
  find(reason: Reason, leaf: number, detail: string, object?: string): void {
    this.#findings.addOfLog(reason, leaf, detail, object);
  }

  /** The verdict, once everything was added. */
  end(): LogReport {
    if (this.#next < this.#size) this.#skipTo(this.#size);
    // Before the findings are told: the ends of streams are among them.
    const ends = this.#streams.end();
    return {
      ...this.#findings.report(),
      ...ends,
      origin: this.#origin,
      size: this.#size,
      root: hexOfHash(this.#root),
      proven: this.#proven,
      deleted: this.#deleted,
    };
  }

  #checkpoint(size: number): string {
    return checkpointName(this.#origin, size);
  }

  #manifestName(first: number): string {
    return manifestName(this.#origin, first);
  }
}

/** The `end` that a manifest claims, before anything of it is verified; −1 when it claims none. */
function endClaimedBy(note: Uint8Array): number {
  let head = '';
  for (const byte of note.subarray(0, 32)) head += String.fromCharCode(byte);
  return Number(/^\{"end":([0-9]{1,16}),/.exec(head)?.[1] ?? -1);
}

/** The first part of what a manifest says of its leaves that is not so. */
function differenceOf(manifest: Manifest, summary: SegmentSummary): string | undefined {
  return (Object.keys(summary) as (keyof SegmentSummary)[]).find(
    (part) => JSON.stringify(manifest[part], sorted) !== JSON.stringify(summary[part], sorted),
  );
}

/** Members in one order, so that equal values have equal texts. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)));
}
