import { textOf } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import {
  BUNDLE_INSTRUCTIONS,
  BUNDLE_NOTE,
  type Bundle,
  bundleForm,
  bundleTreeForm,
  parseBundleName,
} from './bundle.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { CompactRange, EMPTY_ROOT } from './compact-range.ts';
import { greatestOf } from './greatest.ts';
import { type HashText, hashAt, hashOfHex, hexOfHash, sha256Hex } from './hash-text.ts';
import { KeyHistory } from './key-history.ts';
import type { NoteKey } from './note-key.ts';
import { checkpointName, type ObjectName, parseObjectName } from './object-names.ts';
import { anchorOrigin } from './origin.ts';
import { type ProvenLeaf, readProvenEvents } from './proven-events.ts';
import { type LedgerFinding, REASONS, type Reason, verdictOf } from './reasons.ts';
import { cosignedAt, openNote, splitNote } from './signed-note.ts';
import { parseStatement } from './statement.ts';
import { parseTlogProof, verifyTlogProof } from './tlog-proof.ts';
import {
  type CosignatureVerdict,
  type EvidenceVerdict,
  evidenceVerdictOf,
  findingOf,
  type LogVerdict,
  logVerdictOf,
  type TimestampVerdict,
  worstOf,
} from './verdict.ts';
import type { Population } from './verify-log.ts';
import { type StreamReport, StreamWatch } from './watch-stream.ts';

/** A timestamp that whoever verifies is to judge: RFC 3161 needs certificates. */
export interface BundledTimestamp {
  readonly authority: string;
  readonly size: number;
  readonly response: Uint8Array;
  /** The anchor checkpoint that it is of; undefined when the bundle has none. */
  readonly note: Uint8Array | undefined;
}

export interface BundleVerification {
  /** Of the root, `<deployment>/root`. */
  readonly rootKey: NoteKey;
  readonly witnesses?: readonly NoteKey[];
  /** Findings of each log that are kept; all are counted. Default 1,000. */
  readonly findingsMax?: number;
  /** Nothing is looked at behind the first thing that leaves it broken, and streams are not judged then. Default false. */
  readonly untilBroken?: boolean;
}

/**
 * Verifies an evidence bundle: fed its members in order, then ended. Holds one segment's leaf hashes and events, the state of
 * each stream, and the findings. Everything in it is taken for hostile.
 *
 * What lies before the first segment of a log in the bundle is not asked for: a stream may begin in its middle there.
 */
export class BundleVerifier {
  readonly #rootKey: NoteKey;
  readonly #witnesses: readonly NoteKey[];
  readonly #findingsMax: number;
  readonly #untilBroken: boolean;
  readonly #keys: KeyHistory;
  #note: Uint8Array | undefined;
  #bundle: Bundle | undefined;
  #isNoteJudged = false;
  #areKeysRead = false;
  #member = 0;
  readonly #findings: LedgerFinding[] = [];
  readonly #keyFindings: LedgerFinding[] = [];
  readonly #anchorFindings: LedgerFinding[] = [];
  readonly #logs = new Map<string, LogInBundle>();
  /** Of anchor checkpoints, by size. */
  readonly #anchors = new Map<number, Uint8Array>();
  readonly #anchored = new Map<string, number>();
  readonly #timestamps: { authority: string; size: number; response: Uint8Array }[] = [];
  readonly #cosignatures: CosignatureVerdict[] = [];
  #anchorSize = 0;
  #anchorRoot = hexOfHash(EMPTY_ROOT);

  constructor({ rootKey, witnesses = [], findingsMax = 1_000, untilBroken = false }: BundleVerification) {
    this.#rootKey = rootKey;
    this.#witnesses = witnesses;
    this.#findingsMax = findingsMax;
    this.#untilBroken = untilBroken;
    this.#keys = new KeyHistory(rootKey.name.replace(/\/root$/, ''));
  }

  /** Whether no further member is asked for: it is broken, which nothing can mend, and that was the question. */
  get isOver(): boolean {
    if (!this.#untilBroken) return false;
    const found = [...this.#findings, ...this.#keyFindings, ...this.#anchorFindings];
    return (
      found.some(({ reason }) => REASONS[reason] === 'broken') ||
      [...this.#logs.values()].some(({ isBroken }) => isBroken)
    );
  }

  /** The file is not of the form of a bundle. @param object what is not as it must be; default the member that must come next. */
  findForm(object: string | undefined, detail: string): void {
    const next = this.#note === undefined ? BUNDLE_NOTE : this.#bundle?.members[this.#member]?.name;
    this.#findings.push({
      reason: 'bundle-form',
      leaf: 0,
      detail,
      object: object ?? next ?? 'the end of the file',
    });
  }

  /** The next member. */
  addMember(name: string, bytes: Uint8Array): void {
    if (this.#note === undefined) {
      if (name === BUNDLE_NOTE) this.#readNote(bytes);
      else this.findForm(name, `it stands where ${BUNDLE_NOTE} must`);
      this.#note ??= new Uint8Array();
      return;
    }
    this.#compare(name, bytes);
    if (this.isOver) return;
    if (name === BUNDLE_INSTRUCTIONS || name.startsWith('policy/')) return;
    const parsed = parseObjectName(name);
    if (parsed?.kind === 'key') {
      this.#addKey(parsed.number, name, bytes);
      return;
    }
    this.#judgeNote();
    const own = parseBundleName(name);
    if (own?.kind === 'anchor-proof') this.#addAnchorProof(own.folder, own.size, name, bytes);
    else if (own !== undefined) this.#logOf(own.folder).add(own, name, bytes);
    else if (parsed !== undefined) this.#addStored(parsed, name, bytes);
    else this.findForm(name, 'no bundle has such a member');
  }

  /** What it claims is believed when an archive key has signed it, which is known behind the keys. */
  #readNote(bytes: Uint8Array): void {
    this.#note = bytes;
    try {
      this.#bundle = parseStatement(splitNote(bytes).text, bundleForm);
    } catch (error) {
      this.#findNote(error);
      this.#isNoteJudged = true;
    }
  }

  #judgeNote(): void {
    this.#areKeysRead = true;
    if (this.#isNoteJudged) return;
    this.#isNoteJudged = true;
    try {
      openNote(this.#note!, this.#keys.keysOf('archive'));
    } catch (error) {
      this.#findNote(error);
    }
  }

  #findNote(error: unknown): void {
    if (!isFailure(error)) throw error;
    const reason =
      error.code === 'note.bad-signature'
        ? 'bad-signature'
        : error.code === 'note.unknown-key'
          ? 'unknown-key'
          : 'bundle-form';
    this.#findings.push({
      reason,
      leaf: 0,
      detail: `${BUNDLE_NOTE}: ${messageOf(error)}`,
      object: BUNDLE_NOTE,
    });
  }

  #compare(name: string, bytes: Uint8Array): void {
    const listed = this.#bundle?.members[this.#member++];
    if (this.#bundle === undefined) return;
    if (listed === undefined) this.findForm(name, `${BUNDLE_NOTE} does not name it`);
    else if (listed.name !== name) this.findForm(name, `${BUNDLE_NOTE} has ${listed.name} here`);
    else if (listed.size !== bytes.length || listed.sha256 !== sha256Hex(bytes))
      this.findForm(name, `its size or SHA-256 is not that of ${BUNDLE_NOTE}`);
  }

  #addKey(number: number, name: string, bytes: Uint8Array): void {
    if (this.#areKeysRead) this.findForm(name, 'a key statement stands behind what it is needed for');
    if (this.#keyFindings.length > 0) return;
    try {
      this.#keys.add(bytes, this.#rootKey);
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#keyFindings.push({ reason: 'key-form', leaf: number, detail: messageOf(error), object: name });
    }
  }

  #addStored(parsed: ObjectName, name: string, bytes: Uint8Array): void {
    if (parsed.kind === 'checkpoint') this.#logOf(parsed.folder).addCheckpoint(parsed.size, name, bytes);
    else if (parsed.kind === 'anchor-checkpoint') this.#addAnchorCheckpoint(parsed.size, name, bytes);
    else if (parsed.kind === 'timestamp')
      this.#timestamps.push({ authority: parsed.authority, size: parsed.size, response: bytes });
    else if (parsed.kind === 'cosigned') this.#addCosignature(parsed.size, parsed.witness, bytes);
    else this.findForm(name, 'no bundle has such a member');
  }

  #addAnchorCheckpoint(size: number, name: string, bytes: Uint8Array): void {
    const origin = anchorOrigin(this.#keys.deployment);
    try {
      const checkpoint = openCheckpoint(bytes, this.#keys.keysAt('anchor', origin, size), origin);
      if (checkpoint.size !== size)
        this.#findAnchor(name, size, `it is of ${checkpoint.size} leaves`, 'checkpoint-form');
      this.#anchors.set(size, bytes);
      if (size > this.#anchorSize) {
        this.#anchorSize = size;
        this.#anchorRoot = hexOfHash(checkpoint.root);
      }
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#findAnchor(name, size, messageOf(error), noteReason(error.code, 'checkpoint-form'));
    }
  }

  #addAnchorProof(folder: string, size: number, name: string, bytes: Uint8Array): void {
    const origin = anchorOrigin(this.#keys.deployment);
    try {
      const proof = parseTlogProof(bytes);
      const claimed = Number(splitNote(proof.checkpoint).text.split('\n')[1]);
      const checkpoint = verifyTlogProof(proof, this.#keys.keysAt('anchor', origin, claimed), origin);
      const log = this.#logOf(folder);
      const opened = log.openCheckpoint(proof.extra);
      if (opened.size !== size) throw new RangeError(`it proves the checkpoint of ${opened.size} leaves`);
      if (log.roots.get(size) !== opened.root)
        throw new RangeError('it proves another checkpoint than is here');
      this.#anchored.set(log.origin, Math.max(size, this.#anchored.get(log.origin) ?? 0));
      if (!this.#anchors.has(checkpoint.size))
        this.#findAnchor(name, size, 'its anchor checkpoint is not here');
    } catch (error) {
      if (!isFailure(error) && !(error instanceof RangeError)) throw error;
      this.#findAnchor(name, size, messageOf(error));
    }
  }

  #addCosignature(size: number, witness: string, note: Uint8Array): void {
    const origin = anchorOrigin(this.#keys.deployment);
    try {
      const { signedBy } = openNote(note, [
        ...this.#keys.keysAt('witness', origin, size),
        ...this.#witnesses,
      ]);
      const line = splitNote(note).lines.find(({ keyId }) => signedBy.some((key) => key.keyId === keyId));
      this.#cosignatures.push({ size, time: cosignedAt(line!), verdict: 'intact', witness });
    } catch (error) {
      if (!isFailure(error)) throw error;
      const verdict = error.code === 'note.unknown-key' ? 'not verifiable here' : 'broken';
      this.#cosignatures.push({ size, time: 0, verdict, witness });
    }
  }

  #findAnchor(object: string, leaf: number, detail: string, reason: Reason = 'root-mismatch'): void {
    this.#anchorFindings.push({ reason, leaf, detail, object });
  }

  #logOf(folder: string): LogInBundle {
    let log = this.#logs.get(folder);
    if (log === undefined) {
      const origin = `${this.#keys.deployment}/${folder}`;
      const org = this.#bundle?.org;
      this.#logs.set(folder, (log = new LogInBundle(origin, org, this.#keys, this.#findingsMax)));
    }
    return log;
  }

  /** Timestamps to be judged before the end. */
  get timestamps(): readonly BundledTimestamp[] {
    return this.#timestamps.map((stamp) => ({ ...stamp, note: this.#anchors.get(stamp.size) }));
  }

  /** The verdict, once every member was added. @param timestamps what became of those of `timestamps`. */
  end(timestamps: readonly TimestampVerdict[]): EvidenceVerdict {
    const { isOver } = this;
    if (!isOver) this.#endWhole();
    const logs = [...this.#logs.values()].map((log) => {
      const anchoredTo = this.#anchored.get(log.origin) ?? 0;
      return isOver ? log.endEarly(anchoredTo) : log.end(anchoredTo);
    });
    const reasonsVerdict = (findings: readonly LedgerFinding[]) =>
      verdictOf(findings.map(({ reason }) => reason));
    const broken = [...timestamps, ...this.#cosignatures].filter(({ verdict }) => verdict === 'broken');
    const { from = 0, to = 0, org = '' } = this.#bundle ?? {};
    return evidenceVerdictOf({
      anchors: {
        cosignatures: this.#cosignatures,
        findings: this.#anchorFindings.map(findingOf),
        root: this.#anchorRoot,
        size: this.#anchorSize,
        timestamps,
        verdict: worstOf([reasonsVerdict(this.#anchorFindings), ...broken.map(({ verdict }) => verdict)]),
      },
      bundle: {
        findings: this.#findings.map(findingOf),
        from,
        org,
        to,
        verdict: reasonsVerdict(this.#findings),
      },
      deployment: this.#keys.deployment,
      keys: {
        findings: this.#keyFindings.map(findingOf),
        statements: this.#keys.next.number,
        verdict: reasonsVerdict(this.#keyFindings),
      },
      logs,
    });
  }

  #endWhole(): void {
    if (this.#note === undefined) this.findForm(BUNDLE_NOTE, 'the file is empty');
    else this.#judgeNote();
    const missing = this.#bundle?.members[this.#member];
    if (missing !== undefined)
      this.findForm(missing.name, `${BUNDLE_NOTE} names it, and the file ends before it`);
  }
}

/** One log's segments as a bundle has them. */
class LogInBundle {
  readonly origin: string;
  /** Of the checkpoints that open, by size. */
  readonly roots = new Map<number, HashText>();
  readonly #org: string | undefined;
  readonly #keys: KeyHistory;
  readonly #findingsMax: number;
  readonly #claims: { size: number; root: HashText; first: number; events: number; object: string }[] = [];
  readonly #watches = new Map<string, StreamWatch>();
  readonly #population = new Map<string, Population>();
  readonly #reasons: Partial<Record<Reason, number>> = {};
  readonly #ownReasons = new Set<Reason>();
  readonly #findings: LedgerFinding[] = [];
  #firstBad: LedgerFinding | undefined;
  #leaves: { first: number; bytes: Uint8Array; name: string } | undefined;
  #events: { first: number; schemaId: number; bytes: Uint8Array; name: string }[] = [];
  /** Leaf at which the next segment may begin at the earliest. */
  #next = 0;
  /** First leaf of the first segment; what lies before it is not here. */
  #begins: number | undefined;
  /** Streams that begin in their middle because the bundle does. */
  readonly #begun = new Set<string>();
  /** Streams whose first event is being placed. */
  #placing = '';
  #day = Number.NaN;
  #dayText = '';

  constructor(origin: string, org: string | undefined, keys: KeyHistory, findingsMax: number) {
    this.origin = origin;
    this.#org = org;
    this.#keys = keys;
    this.#findingsMax = findingsMax;
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
      if (!isFailure(error)) throw error;
      this.#find(noteReason(error.code, 'checkpoint-form'), size, messageOf(error), name);
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
    for (const leaf of placed) this.#place(leaf);
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

  #place(leaf: ProvenLeaf): void {
    const { orgId, gatewayId } = leaf.walked;
    const key = `${orgId}\u0000${gatewayId}`;
    let watch = this.#watches.get(key);
    if (watch === undefined) {
      watch = new StreamWatch(
        orgId,
        gatewayId,
        this.#keys,
        this.#begins !== 0,
        (reason, at, epoch, seq, detail) => {
          // It was recorded before the range of the bundle.
          if (reason === 'history-missing' && this.#placing === key) {
            this.#begun.add(`${key}\u0000${epoch}`);
            return;
          }
          this.#keep({ reason, leaf: at, detail, stream: { orgId, gatewayId, epoch }, seq });
        },
      );
      this.#watches.set(key, watch);
      this.#placing = key;
    }
    watch.add(leaf, leaf.index);
    this.#placing = '';
    this.#count(orgId, gatewayId, Math.floor(leaf.receivedAtMs / DAY_MS));
  }

  #count(orgId: string, gatewayId: string, day: number): void {
    if (day !== this.#day) this.#dayText = new Date(day * DAY_MS).toISOString().slice(0, 10);
    this.#day = day;
    const key = `${orgId}\u0000${gatewayId}\u0000${this.#dayText}`;
    const events = (this.#population.get(key)?.events ?? 0) + 1;
    this.#population.set(key, { orgId, gatewayId, day: this.#dayText, events });
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
    const streams = [...this.#watches.values()]
      .flatMap((watch) => watch.end())
      .map((stream) => this.#ofRange(stream));
    return this.#verdict(anchoredTo, proven, streams, [...this.#population.values()]);
  }

  get isBroken(): boolean {
    return this.#firstBad !== undefined;
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
        origin: this.origin,
        verdict: verdictOf(this.#ownReasons),
        size,
        root: root === undefined ? '' : hexOfHash(root),
        proven,
        deleted: 0,
        reasons: this.#reasons,
        findings: this.#findings,
        firstBadLeaf: this.#firstBad?.leaf,
        firstBad: this.#firstBad,
        streams,
        population,
      },
      anchoredTo,
    );
  }

  /** A stream that begins in its middle because the bundle does is not to be blamed for it. */
  #ofRange(stream: StreamReport): StreamReport {
    if (!this.#begun.has(`${stream.orgId}\u0000${stream.gatewayId}\u0000${stream.epoch}`)) return stream;
    const reasons = stream.reasons.filter((reason) => reason !== 'history-missing');
    return { ...stream, reasons, verdict: verdictOf(reasons) };
  }

  #find(reason: Reason, leaf: number, detail: string, object: string): void {
    this.#ownReasons.add(reason);
    this.#keep({ reason, leaf, detail, object });
  }

  #keep(finding: LedgerFinding): void {
    const { reason, leaf } = finding;
    this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1;
    if (REASONS[reason] === 'broken' && leaf < (this.#firstBad?.leaf ?? Number.POSITIVE_INFINITY))
      this.#firstBad = finding;
    if (this.#findings.length < this.#findingsMax) this.#findings.push(finding);
  }
}

const DAY_MS = 86_400_000;

function noteReason(code: string, form: Reason): Reason {
  if (code === 'note.bad-signature') return 'bad-signature';
  return code === 'note.unknown-key' ? 'unknown-key' : form;
}
