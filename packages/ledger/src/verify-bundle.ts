import { isFailure, messageOf } from '@cairn/failure';
import { BUNDLE_INSTRUCTIONS, BUNDLE_NOTE, type Bundle, bundleForm, parseBundleName } from './bundle.ts';
import { openCheckpoint } from './checkpoint.ts';
import { EMPTY_ROOT } from './compact-range.ts';
import { hexOfHash, sha256Hex } from './hash-text.ts';
import { KeyHistory } from './key-history.ts';
import { reasonOfNote } from './log-findings.ts';
import { LogInBundle } from './log-in-bundle.ts';
import type { NoteKey } from './note-key.ts';
import { type ObjectName, parseObjectName } from './object-names.ts';
import { anchorOrigin } from './origin.ts';
import { type LedgerFinding, REASONS, type Reason, verdictOf } from './reasons.ts';
import { cosignedAt, openNote, splitNote } from './signed-note.ts';
import { parseStatement } from './statement.ts';
import { parseTlogProof, verifyTlogProof } from './tlog-proof.ts';
import {
  type CosignatureVerdict,
  type EvidenceVerdict,
  evidenceVerdictOf,
  findingOf,
  type TimestampVerdict,
  worstOf,
} from './verdict.ts';

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
    const reason = reasonOfNote(error, 'bundle-form');
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
      this.#findAnchor(name, size, messageOf(error), reasonOfNote(error, 'checkpoint-form'));
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
