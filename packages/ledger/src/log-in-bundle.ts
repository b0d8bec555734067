import { textOf } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import { bundleTreeForm } from './bundle.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { CompactRange } from './compact-range.ts';
import { greatestOf } from './greatest.ts';
import { type HashText, hashAt, hashOfHex, hexOfHash } from './hash-text.ts';
import type { KeyHistory } from './key-history.ts';
import { LogFindings, reasonOfNote } from './log-findings.ts';
import { LogStreams, type Population } from './log-streams.ts';
import { checkpointName } from './object-names.ts';
import { type ProvenLeaf, readProvenEvents } from './proven-events.ts';
import type { Reason } from './reasons.ts';
import { splitNote } from './signed-note.ts';
import { parseStatement } from './statement.ts';
import { type LogVerdict, logVerdictOf } from './verdict.ts';
import type { StreamReport } from './watch-stream.ts';

/** One log's segments as a bundle has them. */
export class LogInBundle {
  readonly origin: string;
  /** Of the checkpoints that open, by size. */
  readonly roots = new Map<number, HashText>();
  readonly #org: string | undefined;
  readonly #keys: KeyHistory;
  readonly #findings: LogFindings;
  readonly #streams: LogStreams;
  readonly #claims: { size: number; root: HashText; first: number; events: number; object: string }[] = [];
  #leaves: { first: number; bytes: Uint8Array; name: string } | undefined;
  #events: { first: number; schemaId: number; bytes: Uint8Array; name: string }[] = [];
  /** Leaf at which the next segment may begin at the earliest. */
  #next = 0;
  /** First leaf of the first segment; what lies before it is not here. */
  #begins: number | undefined;

  constructor(origin: string, org: string | undefined, keys: KeyHistory, findingsMax: number) {
    this.origin = origin;
    this.#org = org;
    this.#keys = keys;
    this.#findings = new LogFindings(findingsMax);
    const isHistoryUnknown = () => this.#begins !== 0;
    this.#streams = new LogStreams({
      keys,
      findings: this.#findings,
      isHistoryUnknown,
      mayBeginMidway: true,
    });
  }

  openCheckpoint(note: Uint8Array): Checkpoint {
    const claimed = Number(splitNote(note).text.split('\n')[1]);
    return openCheckpoint(note, this.#keys.keysAt('log', this.origin, claimed), this.origin);
  }

  addCheckpoint(size: number, name: string, note: Uint8Array): void {
    try {
      const checkpoint = this.openCheckpoint(note);
      if (checkpoint.size === size) this.roots.set(size, checkpoint.root);
      else
        this.#find(
          'checkpoint-form',
          size,
          `the checkpoint named ${size} is of ${checkpoint.size} leaves`,
          name,
        );
    } catch (error) {
      this.#find(reasonOfNote(error, 'checkpoint-form'), size, messageOf(error), name);
    }
  }

  /** Of a segment come its leaves, its events, its tree. */
  add(
    part: { readonly kind: 'leaves' | 'events' | 'tree'; readonly first: number; readonly schemaId?: number },
    name: string,
    bytes: Uint8Array,
  ): void {
    const { kind, first } = part;
    if (kind === 'leaves') {
      if (this.#leaves !== undefined)
        this.#find('missing', this.#leaves.first, 'its tree is not there', this.#leaves.name);
      this.#leaves = { first, bytes, name };
      this.#events = [];
    } else if (this.#leaves === undefined || this.#leaves.first !== first)
      this.#find('missing', first, 'its leaves do not stand before it', name);
    else if (kind === 'events') this.#events.push({ first, schemaId: part.schemaId ?? 0, bytes, name });
    else {
      this.#addSegment(this.#leaves, this.#events, name, bytes);
      this.#leaves = undefined;
      this.#events = [];
    }
  }

  #addSegment(
    leaves: { readonly first: number; readonly bytes: Uint8Array; readonly name: string },
    events: readonly { readonly schemaId: number; readonly bytes: Uint8Array; readonly name: string }[],
    treeName: string,
    treeBytes: Uint8Array,
  ): void {
    const { first, bytes } = leaves;
    const end = first + Math.floor(bytes.length / 32);
    if (bytes.length % 32 !== 0 || bytes.length === 0)
      this.#find(
        'segment-form',
        first,
        'leaves have 32 bytes each, and a segment has one at least',
        leaves.name,
      );
    if (first < this.#next)
      this.#find('segment-form', first, `leaf ${first} stood in a segment before`, leaves.name);
    const placed: ProvenLeaf[] = [];
    for (const { schemaId, bytes: container, name } of events)
      this.#readEvents({ origin: this.origin, first, end }, schemaId, container, name, bytes, placed);
    this.#begins ??= first;
    placed.sort((one, other) => one.index - other.index);
    for (const leaf of placed) this.#streams.add(leaf, leaf.index);
    this.#next = end;
    this.#claim(leaves, end, placed.length, treeName, treeBytes);
  }

  #readEvents(
    range: { readonly origin: string; readonly first: number; readonly end: number },
    schemaId: number,
    container: Uint8Array,
    name: string,
    leaves: Uint8Array,
    placed: ProvenLeaf[],
  ): void {
    let index = range.first;
    try {
      for (const leaf of readProvenEvents(range, schemaId, container)) {
        index = leaf.index;
        if (leaf.hash !== hashAt(leaves, (index - range.first) * 32))
          this.#find('root-mismatch', index, 'its hash is not that of its leaf', name);
        if (leaf.walked.orgId !== this.#org)
          this.#find('bundle-form', index, 'it is an event of another organisation', name);
        placed.push(leaf);
      }
    } catch (error) {
      if (!isFailure(error)) throw error;
      const reason = error.code === 'proven-events.datum' ? 'datum-form' : 'segment-form';
      this.#find(reason, index, messageOf(error), name);
    }
  }

  /** What the leaves and the nodes around them lead to; it is compared when the checkpoints have come. */
  #claim(
    leaves: { readonly first: number; readonly bytes: Uint8Array; readonly name: string },
    end: number,
    events: number,
    treeName: string,
    treeBytes: Uint8Array,
  ): void {
    const { first, bytes, name } = leaves;
    try {
      const tree = parseStatement(textOf(treeBytes), bundleTreeForm);
      if (tree.first !== first || tree.end !== end)
        throw new RangeError(`it is of [${tree.first}, ${tree.end})`);
      const range = new CompactRange();
      if (!range.join(first, tree.before.map(hashOfHex)))
        throw new RangeError('it has not the nodes before its leaves');
      for (let at = 0; at + 32 <= bytes.length; at += 32) range.append(hashAt(bytes, at));
      if (!range.join(tree.size, tree.after.map(hashOfHex)))
        throw new RangeError('it has not the nodes behind its leaves');
      this.#claims.push({ size: tree.size, root: range.root(), first, events, object: name });
    } catch (error) {
      if (!isFailure(error) && !(error instanceof RangeError) && !(error instanceof TypeError)) throw error;
      this.#find('root-mismatch', first, messageOf(error), treeName);
    }
  }

  end(anchoredTo: number): LogVerdict {
    if (this.#leaves !== undefined)
      this.#find('missing', this.#leaves.first, 'its tree is not there', this.#leaves.name);
    let proven = 0;
    for (const { size, root, first, events, object } of this.#claims) {
      const signed = this.roots.get(size);
      if (signed === root) proven += events;
      else if (signed === undefined)
        this.#find('missing', first, `the checkpoint of ${size} leaves is not there`, object);
      else this.#find('root-mismatch', first, 'the leaves do not lead to the signed root', object);
    }
    for (const size of this.roots.keys()) {
      if (size > anchoredTo)
        this.#find(
          'not-anchored',
          size,
          'nothing shows that the checkpoint is in the anchor log',
          checkpointName(this.origin, size),
        );
    }
    const { streams, population } = this.#streams.end();
    return this.#verdict(anchoredTo, proven, streams, population);
  }

  get isBroken(): boolean {
    return this.#findings.isBroken;
  }

  /** What was found so far; of leaves that were not read to their checkpoint nothing is said. */
  endEarly(anchoredTo: number): LogVerdict {
    return this.#verdict(anchoredTo, 0, [], []);
  }

  #verdict(
    anchoredTo: number,
    proven: number,
    streams: readonly StreamReport[],
    population: readonly Population[],
  ): LogVerdict {
    const size = greatestOf(this.roots.keys());
    const root = this.roots.get(size);
    return logVerdictOf(
      {
        ...this.#findings.report(),
        origin: this.origin,
        size,
        root: root === undefined ? '' : hexOfHash(root),
        proven,
        deleted: 0,
        streams,
        population,
      },
      anchoredTo,
    );
  }

  #find(reason: Reason, leaf: number, detail: string, object: string): void {
    this.#findings.addOfLog(reason, leaf, detail, object);
  }
}
