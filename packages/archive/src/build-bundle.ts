import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { utf8 } from '@cairn/event';
import { Failure } from '@cairn/failure';
import {
  BUNDLE_INSTRUCTIONS,
  BUNDLE_NOTE,
  type BundleMember,
  bundleAnchorProofName,
  bundleEventsName,
  bundleInstructions,
  bundleLeavesName,
  bundleTreeName,
  bundleTreeText,
  CompactRange,
  checkpointName,
  hashBytes,
  hashOfHex,
  hexOfHash,
  type KeyHistory,
  keyName,
  type Manifest,
  type NoteKey,
  type NoteSigner,
  ProvenEventsWriter,
  putHash,
  signBundle,
  USTAR_END_BYTES,
  ustarHeader,
  ustarPadding,
} from '@cairn/ledger';
import type { Evidence } from './evidence.ts';
import { anchorOf, originsOf } from './prove.ts';
import { NOTE_BYTES_MAX } from './read-ahead.ts';
import { type AnchorLog, AnchorLogReader } from './read-anchors.ts';
import { type PlacedSegment, readLeaves, walkLog } from './walk-log.ts';

/** What a bundle is made of. Times in milliseconds since 1970, over `received_at`; `to` is exclusive. */
export interface BundleQuery {
  readonly org: string;
  readonly from: number;
  readonly to: number;
  /** As it was asked, for a person. */
  readonly query: string;
  readonly createdAt: number;
  /** Versions of policies that applied. */
  readonly policies: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

export interface BuiltBundle {
  readonly segments: number;
  readonly events: number;
  readonly bytes: number;
}

/**
 * Writes an evidence bundle. Its members go to a file beside it first, since the note before them names all of them; the
 * bundle gets its name when it is whole. Holds one segment's events of the organisation.
 *
 * @throws Failure as `walkLog` and `readLeaves`: only what holds goes into a bundle.
 */
export async function buildBundle(
  evidence: Evidence,
  history: KeyHistory,
  rootKey: NoteKey,
  signer: NoteSigner,
  asked: BundleQuery,
  path: string,
): Promise<BuiltBundle> {
  const spool = `${path}.members`;
  const partial = `${path}.partial`;
  const members = await MembersFile.create(spool);
  try {
    await members.add(
      BUNDLE_INSTRUCTIONS,
      utf8(bundleInstructions({ org: asked.org, rootVkey: rootKey.vkey })),
    );
    await addKeys(members, evidence, history);
    for (const { name, bytes } of asked.policies) await members.add(`policy/${basename(name)}`, bytes);
    const counts = await addLogs(members, evidence, history, asked);
    const { org, from, to, query, createdAt } = asked;
    const note = signBundle(
      { created_at: createdAt, from, kind: 'cairn/bundle', members: members.list, org, query, to, v: 1 },
      signer,
    );
    const bytes = await members.putBehind(partial, note);
    await rename(partial, path);
    return { ...counts, bytes };
  } finally {
    await members.close();
    await rm(spool, { force: true });
    await rm(partial, { force: true });
  }
}

async function addKeys(members: MembersFile, evidence: Evidence, history: KeyHistory): Promise<void> {
  for (let number = 0; number < history.next.number; number += 1) {
    const note = await evidence.read(keyName(number), NOTE_BYTES_MAX);
    if (note !== undefined) await members.add(keyName(number), note);
  }
}

async function addLogs(
  members: MembersFile,
  evidence: Evidence,
  history: KeyHistory,
  asked: BundleQuery,
): Promise<{ segments: number; events: number }> {
  const anchors = await new AnchorLogReader(evidence, history).read();
  const heads: { origin: string; size: number }[] = [];
  let [segments, events] = [0, 0];
  for (const origin of await originsOf(evidence, history.deployment)) {
    const { chosen, behind } = await chooseSegments(evidence, history, origin, asked, anchors);
    for (const segment of chosen) {
      events += await addSegment(members, evidence, segment, behind, asked.org);
      segments += 1;
    }
    if (behind.length > 0) heads.push({ origin, size: behind.at(-1)!.end });
  }
  if (segments === 0) throw nothing(asked.org);
  const checkpoints: { name: string; bytes: Uint8Array }[] = [];
  const anchored = new Map<string, Uint8Array>();
  const proofs: { name: string; bytes: Uint8Array }[] = [];
  for (const { origin, size } of heads) {
    checkpoints.push({
      name: checkpointName(origin, size),
      bytes: (await evidence.read(checkpointName(origin, size), NOTE_BYTES_MAX))!,
    });
    const anchor = await anchorOf(evidence, history, anchors, origin, size);
    if (anchor === undefined) continue;
    proofs.push({ name: bundleAnchorProofName(origin, size), bytes: anchor.proof });
    for (const { name, bytes } of anchor.objects) anchored.set(name, bytes);
  }
  for (const { name, bytes } of checkpoints) await members.add(name, bytes);
  for (const [name, bytes] of [...anchored].sort(([one], [other]) => (one < other ? -1 : 1)))
    await members.add(name, bytes);
  for (const { name, bytes } of proofs) await members.add(name, bytes);
  return { segments, events };
}

/** A range of a log and its nodes. */
type RangeNodes = Pick<Manifest, 'first' | 'end' | 'nodes'>;

/**
 * The segments with events of the organisation in the range; and the ranges from the first of them to the checkpoint that all
 * are proven under: the first that is anchored behind the last of them, or where none is, the last one's own.
 */
async function chooseSegments(
  evidence: Evidence,
  history: KeyHistory,
  origin: string,
  { org, from, to }: BundleQuery,
  { report }: AnchorLog,
): Promise<{ readonly chosen: readonly PlacedSegment[]; readonly behind: readonly RangeNodes[] }> {
  const anchored = new Set(report.checkpoints.get(origin)?.map(({ size }) => size));
  const chosen: PlacedSegment[] = [];
  const behind: RangeNodes[] = [];
  let keep = 0;
  for await (const segment of walkLog(evidence, history, origin)) {
    const { received, streams, first, end, nodes } = segment.manifest;
    const isAsked = received.max >= from && received.min < to && streams.some((stream) => stream.org === org);
    if (isAsked) chosen.push(segment);
    if (chosen.length === 0) continue;
    behind.push({ first, end, nodes });
    const isProven = keep > 0 && anchored.has(behind[keep - 1]!.end);
    if (isAsked || (!isProven && anchored.has(end))) keep = behind.length;
  }
  return { chosen, behind: behind.slice(0, keep) };
}

/** @returns events of the organisation. */
async function addSegment(
  members: MembersFile,
  evidence: Evidence,
  segment: PlacedSegment,
  behind: readonly RangeNodes[],
  org: string,
): Promise<number> {
  const { origin, first, end } = segment.manifest;
  const leaves = hashBytes((end - first) * 32);
  const writers = new Map<number, ProvenEventsWriter>();
  let events = 0;
  await readLeaves(evidence, segment, (leaf, index) => {
    putHash(leaf.hash, leaves, (index - first) * 32);
    if (leaf.walked.orgId !== org) return;
    let writer = writers.get(leaf.schemaId);
    if (writer === undefined) writers.set(leaf.schemaId, (writer = new ProvenEventsWriter(leaf.schemaId)));
    writer.add(leaf, index);
    events += 1;
  });
  await members.add(bundleLeavesName(origin, first), leaves);
  for (const [schemaId, writer] of [...writers].sort(([one], [other]) => one - other))
    await members.add(bundleEventsName(origin, first, schemaId), writer.close({ origin, first, end }));
  const after = new CompactRange(end);
  for (const range of behind) if (range.first >= end) after.join(range.end, range.nodes.map(hashOfHex));
  const tree = {
    after: after.nodes().map(hexOfHash),
    before: segment.before.map(hexOfHash),
    end,
    first,
    size: after.end,
  };
  await members.add(bundleTreeName(origin, first), utf8(bundleTreeText(tree)));
  return events;
}

/** Members of an archive file, one behind the other. */
class MembersFile {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly list: BundleMember[] = [];

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  static async create(path: string): Promise<MembersFile> {
    return new MembersFile(path, await open(path, 'w+', 0o600));
  }

  async add(name: string, bytes: Uint8Array): Promise<void> {
    this.list.push({ name, sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length });
    await writeMember(this.#file, name, bytes);
  }

  /** @returns bytes of the file. */
  async putBehind(path: string, note: Uint8Array): Promise<number> {
    const file = await open(path, 'w', 0o600);
    try {
      await writeMember(file, BUNDLE_NOTE, note);
      for await (const chunk of (await open(this.#path, 'r')).createReadStream())
        await file.write(chunk as Uint8Array);
      await file.write(new Uint8Array(USTAR_END_BYTES));
      await file.sync();
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

async function writeMember(file: FileHandle, name: string, bytes: Uint8Array): Promise<void> {
  await file.appendFile(ustarHeader({ name, size: bytes.length }));
  await file.appendFile(bytes);
  await file.appendFile(new Uint8Array(ustarPadding(bytes.length)));
}

const nothing = (org: string): Failure =>
  new Failure({
    code: 'bundle.empty',
    retry: 'no',
    message: `no segment holds events of organisation ${JSON.stringify(org)} in this range`,
    mend: 'Name another range. What was recorded last may not be archived yet.',
  });
