import { verifyTimestamp } from '@cairn/adapters';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import {
  type AnchorsReport,
  type AnchorsVerdict,
  anchorCheckpointName,
  anchorOrigin,
  type Checkpoint,
  type CosignatureVerdict,
  cosignedAt,
  type EvidenceVerdict,
  evidenceVerdictOf,
  findingOf,
  greatestOf,
  KeyHistory,
  type KeysVerdict,
  type LedgerFinding,
  type LogVerdict,
  LogVerifier,
  logVerdictOf,
  type Manifest,
  manifestName,
  type NoteKey,
  openCheckpoint,
  openNote,
  parseObjectName,
  sha256Hex,
  splitNote,
  type TimestampVerdict,
  tombstoneName,
  worstOf,
} from '@cairn/ledger';
import type { Evidence } from './evidence.ts';
import {
  disturbanceOf,
  NOTE_BYTES_MAX,
  type ReadObject,
  readAhead,
  readOr,
  SEGMENT_BYTES_MAX,
  TIMESTAMP_BYTES_MAX,
} from './read-ahead.ts';
import { AnchorLogReader } from './read-anchors.ts';

/** What the auditor brings; everything else is believed only as far as it is proven. */
export interface Trusted {
  /** Of the root, `<deployment>/root`. */
  readonly rootKey: NoteKey;
  /** Notes of checkpoints that were kept from before. */
  readonly kept: readonly Uint8Array[];
  /** PEM of the certificates of time authorities; undefined when timestamps are not judged. */
  readonly timeCertificates: string | undefined;
  /** Witnesses that are known besides those of the key history. */
  readonly witnesses: readonly NoteKey[];
  /** Whether every log must be covered by an anchor checkpoint. */
  readonly isAnchored: boolean;
}

/** Told how far the reading of segments has come. */
export type OnProgress = (progress: {
  readonly bytes: number;
  readonly of: number;
  readonly at: string;
}) => void;

/**
 * Verifies an archive: the key history, the anchor log, then log after log, segment after segment. Holds one segment, the
 * state of the streams and the findings.
 *
 * @throws Failure of the evidence's store when it does not answer: then nothing is said.
 */
export async function verifyArchive(
  evidence: Evidence,
  trusted: Trusted,
  onProgress: OnProgress = () => {},
): Promise<EvidenceVerdict> {
  const { history, verdict: keys } = await readKeys(evidence, trusted.rootKey);
  const { report, verdict: anchors } = await readAnchors(evidence, history, trusted);
  const { folders, bytes, disturbances } = await findLogs(evidence);
  const origins = new Set([...folders].map((folder) => `${history.deployment}/${folder}`));
  for (const origin of report.checkpoints.keys()) origins.add(origin);
  for (const { origin } of keptCheckpoints(trusted.kept)) origins.add(origin);
  const logs: LogVerdict[] = [];
  let done = 0;
  for (const origin of [...origins].sort(byPartition)) {
    const onBytes = (count: number, leaf: number): void => {
      done += count;
      onProgress({ bytes: done, of: bytes, at: `${origin} ${leaf}` });
    };
    const disturbed = disturbances.get(origin.slice(origin.indexOf('/') + 1)) ?? [];
    logs.push(await verifyLog(evidence, { origin, history, report, anchors, trusted, disturbed }, onBytes));
  }
  return evidenceVerdictOf({ anchors, bundle: null, deployment: history.deployment, keys, logs });
}

/** The key history as far as it holds together; no statement behind one that does not counts. */
export async function readKeys(
  evidence: Pick<Evidence, 'list' | 'read'>,
  rootKey: NoteKey,
): Promise<{ readonly history: KeyHistory; readonly verdict: KeysVerdict }> {
  const history = new KeyHistory(deploymentOf(rootKey));
  const findings: LedgerFinding[] = [];
  const disturbances: LedgerFinding[] = [];
  for await (const { name, version, disturbed } of evidence.list('key/')) {
    const parsed = parseObjectName(name);
    if (parsed?.kind !== 'key') continue;
    if (disturbed !== undefined) disturbances.push(disturbanceOf({ name, disturbed }, parsed.number));
    try {
      history.add((await readOr(evidence, name, NOTE_BYTES_MAX, version)) ?? new Uint8Array(), rootKey);
    } catch (error) {
      if (!isJudgement(error)) throw error;
      findings.push({ reason: 'key-form', leaf: parsed.number, detail: messageOf(error), object: name });
      break;
    }
  }
  const verdict = worstOf(findings.length > 0 ? ['broken'] : []);
  return {
    history,
    verdict: {
      findings: [...findings, ...disturbances].map(findingOf),
      statements: history.next.number,
      verdict,
    },
  };
}

/** The key history, where all of it holds. @throws Failure `key-history.broken` (no); of the store. */
export async function readWholeKeys(
  evidence: Pick<Evidence, 'list' | 'read'>,
  rootKey: NoteKey,
): Promise<KeyHistory> {
  const { history, verdict } = await readKeys(evidence, rootKey);
  if (verdict.verdict === 'intact') return history;
  const [damage] = verdict.findings;
  throw new Failure({
    code: 'key-history.broken',
    retry: 'no',
    message: `the key history does not hold at ${damage?.object}: ${damage?.detail}`,
    mend: 'Run: cairn keys show.',
  });
}

/** `<deployment>` of `<deployment>/root`. */
export const deploymentOf = ({ name }: NoteKey): string => name.replace(/\/root$/, '');

async function readAnchors(
  evidence: Evidence,
  history: KeyHistory,
  { witnesses, timeCertificates }: Trusted,
): Promise<{ readonly report: AnchorsReport; readonly verdict: AnchorsVerdict }> {
  const report = await new AnchorLogReader(evidence, history).report();
  const { findings, root, size, verdict } = report;
  const disturbances: LedgerFinding[] = [];
  const onDisturbed = (object: ReadObject, size: number): void =>
    void disturbances.push(disturbanceOf(object, size));
  const cosignatures = await readCosignatures(evidence, history, witnesses, onDisturbed);
  const timestamps = await readTimestamps(evidence, timeCertificates, onDisturbed);
  return {
    report,
    verdict: {
      cosignatures,
      findings: [...findings, ...disturbances].map(findingOf),
      root,
      size,
      timestamps,
      verdict: worstOf([verdict, ...cosignatures.map(broken), ...timestamps.map(broken)]),
    },
  };
}

/** One that cannot be judged says nothing of the anchor log. */
const broken = ({ verdict }: { readonly verdict: 'intact' | 'broken' | 'not verifiable here' }) =>
  verdict === 'broken' ? verdict : 'intact';

/** @param size of the anchor checkpoint that the object is of. */
type OnDisturbed = (object: ReadObject, size: number) => void;

async function readCosignatures(
  evidence: Evidence,
  history: KeyHistory,
  witnesses: readonly NoteKey[],
  onDisturbed: OnDisturbed,
): Promise<CosignatureVerdict[]> {
  const cosignatures: CosignatureVerdict[] = [];
  for await (const object of readAhead(evidence, 'anchor/cosigned/', NOTE_BYTES_MAX)) {
    const { name, bytes } = object;
    const parsed = parseObjectName(name);
    if (parsed?.kind !== 'cosigned') continue;
    if (object.disturbed !== undefined) onDisturbed(object, parsed.size);
    const { size, witness } = parsed;
    const keys = [...history.keysAt('witness', anchorOrigin(history.deployment), size), ...witnesses];
    cosignatures.push({ size, witness, ...cosignatureIn(bytes, keys) });
  }
  return cosignatures;
}

function cosignatureIn(
  note: Uint8Array,
  keys: readonly NoteKey[],
): Pick<CosignatureVerdict, 'time' | 'verdict'> {
  try {
    const { signedBy } = openNote(note, keys);
    const line = splitNote(note).lines.find(({ keyId }) => signedBy.some((key) => key.keyId === keyId));
    return { time: line === undefined ? 0 : cosignedAt(line), verdict: 'intact' };
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { time: 0, verdict: error.code === 'note.unknown-key' ? 'not verifiable here' : 'broken' };
  }
}

async function readTimestamps(
  evidence: Evidence,
  certificates: string | undefined,
  onDisturbed: OnDisturbed,
): Promise<TimestampVerdict[]> {
  const timestamps: TimestampVerdict[] = [];
  for await (const object of readAhead(evidence, 'anchor/timestamp/', TIMESTAMP_BYTES_MAX)) {
    const { name, bytes } = object;
    const parsed = parseObjectName(name);
    if (parsed?.kind !== 'timestamp') continue;
    if (object.disturbed !== undefined) onDisturbed(object, parsed.size);
    const { authority, size } = parsed;
    const note = await readOr(evidence, anchorCheckpointName(size), NOTE_BYTES_MAX);
    timestamps.push({ authority, size, ...(await timestampIn(bytes, note, certificates)) });
  }
  return timestamps;
}

/** Whether it is a timestamp of this anchor checkpoint by an authority of the certificates. */
export async function timestampIn(
  response: Uint8Array,
  note: Uint8Array | undefined,
  certificates: string | undefined,
): Promise<Pick<TimestampVerdict, 'time' | 'verdict'>> {
  if (certificates === undefined || note === undefined) return { time: '', verdict: 'not verifiable here' };
  try {
    const { genTime } = await verifyTimestamp(response, note, certificates);
    return { time: genTime.toISOString(), verdict: 'intact' };
  } catch (error) {
    if (!isFailure(error)) throw error;
    // Of another authority than those that the auditor knows.
    return { time: '', verdict: error.code === 'timestamp.untrusted' ? 'not verifiable here' : 'broken' };
  }
}

/** The folders of logs, how much there is to read, and what was done to their objects since they were put. */
async function findLogs(evidence: Evidence): Promise<{
  readonly folders: Set<string>;
  readonly bytes: number;
  readonly disturbances: ReadonlyMap<string, readonly LedgerFinding[]>;
}> {
  const folders = new Set<string>();
  const disturbances = new Map<string, LedgerFinding[]>();
  let bytes = 0;
  for (const prefix of ['checkpoint/', 'manifest/', 'segment/', 'tombstone/']) {
    for await (const object of evidence.list(prefix)) {
      const parsed = parseObjectName(object.name);
      if (parsed === undefined || !('folder' in parsed)) continue;
      folders.add(parsed.folder);
      if (parsed.kind === 'segment') bytes += object.bytes;
      if (object.disturbed === undefined) continue;
      const leaf = parsed.kind === 'checkpoint' ? parsed.size : parsed.first;
      const ofFolder = disturbances.get(parsed.folder) ?? [];
      ofFolder.push(disturbanceOf(object, leaf));
      disturbances.set(parsed.folder, ofFolder);
    }
  }
  return { folders, bytes, disturbances };
}

interface LogEvidence {
  readonly origin: string;
  readonly history: KeyHistory;
  readonly report: AnchorsReport;
  readonly anchors: AnchorsVerdict;
  readonly trusted: Trusted;
  readonly disturbed: readonly LedgerFinding[];
}

async function verifyLog(
  evidence: Evidence,
  { origin, history, report, anchors, trusted, disturbed }: LogEvidence,
  onBytes: (count: number, leaf: number) => void,
): Promise<LogVerdict> {
  const folder = origin.slice(origin.indexOf('/') + 1);
  const verifier = new LogVerifier({ origin, keys: history });
  for await (const { name, bytes } of readAhead(evidence, `checkpoint/${folder}/`, NOTE_BYTES_MAX)) {
    const parsed = parseObjectName(name);
    if (parsed?.kind === 'checkpoint') verifier.addCheckpoint(parsed.size, bytes);
  }
  for await (const { name, bytes: note } of readAhead(evidence, `manifest/${folder}/`, NOTE_BYTES_MAX)) {
    const parsed = parseObjectName(name);
    if (parsed?.kind !== 'manifest') continue;
    const manifest = verifier.openManifest(parsed.first, note);
    if (manifest === undefined) continue;
    const objects = await readObjects(evidence, manifest);
    const tombstone = await readOr(evidence, tombstoneName(origin, manifest.first), NOTE_BYTES_MAX);
    const isTombstoneAnchored = tombstone !== undefined && report.tombstones.has(sha256Hex(tombstone));
    verifier.addSegment({ objects, tombstone, isTombstoneAnchored });
    onBytes(
      objects.reduce((sum, bytes) => sum + (bytes?.length ?? 0), 0),
      manifest.end,
    );
  }
  for await (const { name } of evidence.list(`segment/${folder}/`)) {
    const parsed = parseObjectName(name);
    if (parsed?.kind === 'segment' && parsed.first >= verifier.size)
      verifier.find('uncommitted', parsed.first, 'an object beyond the latest checkpoint', name);
  }
  for (const { reason, leaf, detail, object } of disturbed) verifier.find(reason, leaf, detail, object);
  const anchored = report.checkpoints.get(origin) ?? [];
  for (const checkpoint of anchored) verifier.addWitnessed(checkpoint, 'the anchor log');
  for (const kept of keptCheckpoints(trusted.kept)) {
    if (kept.origin === origin) addKept(verifier, history, kept);
  }
  const anchoredTo = greatestOf(anchored.values().map(({ size }) => size));
  if (trusted.isAnchored && anchoredTo < verifier.size)
    verifier.find(
      'not-anchored',
      anchoredTo,
      `anchored are the leaves before ${anchoredTo}`,
      manifestName(origin, anchoredTo),
    );
  if (trusted.timeCertificates !== undefined) {
    const stampedTo = stampedSize(anchored, anchors.timestamps);
    if (stampedTo < verifier.size)
      verifier.find('time-missing', stampedTo, `a verified timestamp covers the leaves before ${stampedTo}`);
  }
  return logVerdictOf(verifier.end(), anchoredTo);
}

/** Of a manifest's objects, in its order. */
async function readObjects(evidence: Evidence, { objects }: Manifest): Promise<(Uint8Array | undefined)[]> {
  return Promise.all(
    objects.map(({ key, size }) =>
      readOr(evidence, key, Math.min(SEGMENT_BYTES_MAX, size + OBJECT_SLACK_BYTES)),
    ),
  );
}

/** An object that has grown is read nevertheless, so that what was put behind it is named. */
const OBJECT_SLACK_BYTES = 1024 ** 2;

/** The greatest size of the log that a verified timestamp covers. */
function stampedSize(
  anchored: readonly { readonly size: number; readonly anchoredAt: number }[],
  timestamps: readonly TimestampVerdict[],
): number {
  const stamped = greatestOf(
    timestamps
      .values()
      .filter(({ verdict }) => verdict === 'intact')
      .map(({ size }) => size),
  );
  return greatestOf(
    anchored
      .values()
      .filter(({ anchoredAt }) => anchoredAt <= stamped)
      .map(({ size }) => size),
  );
}

interface KeptCheckpoint {
  readonly origin: string;
  readonly size: number;
  readonly note: Uint8Array;
}

function keptCheckpoints(notes: readonly Uint8Array[]): KeptCheckpoint[] {
  return notes.map((note) => {
    const [origin = '', size = ''] = splitNote(note).text.split('\n');
    return { origin, size: Number(size), note };
  });
}

function addKept(verifier: LogVerifier, history: KeyHistory, { origin, size, note }: KeptCheckpoint): void {
  try {
    verifier.addWitnessed(openKept(note, history, origin, size), 'the auditor');
  } catch (error) {
    if (!isFailure(error)) throw error;
    verifier.find('checkpoint-form', size, `the kept checkpoint of ${size} leaves: ${messageOf(error)}`);
  }
}

const openKept = (note: Uint8Array, history: KeyHistory, origin: string, size: number): Checkpoint =>
  openCheckpoint(note, history.keysAt('log', origin, size), origin);

/** By topic and partition. */
function byPartition(one: string, other: string): number {
  const cut = (origin: string): [string, number] => {
    const at = origin.lastIndexOf('/');
    return [origin.slice(0, at), Number(origin.slice(at + 1))];
  };
  const [[left, partition], [right, otherPartition]] = [cut(one), cut(other)];
  if (left !== right) return left < right ? -1 : 1;
  return partition - otherPartition;
}

/** Whether a failure is a judgement on the evidence, and no failure to reach it. */
const isJudgement = (error: unknown): boolean => isFailure(error) && !/^(?:s3|evidence)\./.test(error.code);
