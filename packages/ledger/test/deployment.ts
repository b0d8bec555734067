// A deployment in memory: keys, gateways that record, partitions' logs as archival writes them into a bucket, and an auditor
// who reads that bucket.
import { createPrivateKey } from 'node:crypto';
import { AUDIT_EVENT_SCHEMA_ID, completeEvent, encodeDatum, frame, type Kind, leafHash } from '@cairn/event';
import {
  Acceptance,
  type AnchorsReport,
  AnchorsVerifier,
  anchorCheckpointName,
  anchorEntriesName,
  anchorOrigin,
  archiveKeyName,
  bundleOf,
  CompactRange,
  checkpointName,
  gatewayKeyName,
  genesisHash,
  KeyHistory,
  type KeyRole,
  keyName,
  type Leaf,
  type LogReport,
  LogVerifier,
  type Manifest,
  manifestForm,
  manifestName,
  manifestOf,
  type NoteKey,
  type NoteSigner,
  noteLeafHash,
  noteSignerOf,
  type PartitionRecord,
  parseObjectName,
  parseStatement,
  rootKeyName,
  SegmentWriter,
  sha256Hex,
  signCheckpoint,
  signDatum,
  signKeyStatement,
  signManifest,
  signTombstone,
  splitNote,
  tombstoneName,
  tombstoneOf,
} from '../src/index.ts';

export const DEPLOYMENT = 'audit.example';
export const ORIGIN = `${DEPLOYMENT}/audit.events.standard/0`;
const EMPTY_SHA256 = sha256Hex(new Uint8Array());

/** The Ed25519 key of a seed (RFC 8410: PKCS #8 around 32 bytes). */
export function signerOf(name: string, seed: Uint8Array, type: 0x01 | 0x04 = 0x01): NoteSigner {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return noteSignerOf(name, privateKey, type);
}

export const seedFrom = (from: number): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, index) => (from + index) % 256);

/** A record whose value is the frame of a datum. */
export function recordOf(offset: number, datum: Uint8Array, appendedAtMs: number): PartitionRecord {
  const bytes = frame(AUDIT_EVENT_SCHEMA_ID, datum);
  return { offset, appendedAtMs, bytes, start: 0, end: bytes.length };
}

/** One gateway of one organisation that records: opens, chains, seals. */
export class Gateway {
  readonly org: string;
  readonly gateway: string;
  readonly signer: NoteSigner;
  epoch: number;
  seq = 0;
  head: Uint8Array = new Uint8Array(32);
  #micros = 1_795_000_000_000_000;

  constructor(org: string, gateway: string, epoch = 1) {
    this.org = org;
    this.gateway = gateway;
    this.epoch = epoch;
    const seed = seedFrom(org.length * 31 + gateway.length * 7 + gateway.charCodeAt(gateway.length - 1));
    this.signer = signerOf(gatewayKeyName(DEPLOYMENT, org, gateway), seed);
  }

  /** Starts again: another epoch, which names the end of this one or not. */
  restart(isLinked = true): void {
    this.epoch += 1;
    this.seq = 0;
    if (!isLinked) this.head = new Uint8Array(32);
  }

  record(kind: Kind = 'tool_call', toolName = 'search'): Uint8Array {
    const isOwn = kind === 'stream_open' || kind === 'seal' || kind === 'stream_close' || kind === 'gap';
    this.#micros += 1_000_000;
    const event = completeEvent(
      {
        org_id: this.org,
        gateway_id: this.gateway,
        kind,
        phase: 'single',
        capture: 'gateway',
        tool_name: isOwn ? '' : toolName,
        timestamp: this.#micros,
      },
      { event_id: Uint8Array.from({ length: 16 }, (_, at) => (this.seq >> (8 * (at % 4))) & 255) },
    );
    const prev_hash = this.seq === 0 ? genesisHash(this.org, this.gateway, this.epoch, this.head) : this.head;
    const datum = new Uint8Array(
      encodeDatum({
        ...event,
        epoch: this.epoch,
        seq: this.seq,
        prev_hash,
        key_id: this.signer.key.keyId,
        signature: isOwn ? new Uint8Array(64) : null,
      }),
    );
    if (isOwn) {
      const signature = signDatum(this.signer.privateKey, AUDIT_EVENT_SCHEMA_ID, datum);
      datum.set(signature, datum.length - 64);
    }
    this.head = leafHash(AUDIT_EVENT_SCHEMA_ID, datum);
    this.seq += 1;
    return datum;
  }

  /** An opening, calls, and a seal. */
  stream(calls: number): Uint8Array[] {
    return [
      this.record('stream_open'),
      ...Array.from({ length: calls }, (_, at) => this.record('tool_call', `tool-${at % 7}`)),
      this.record('seal'),
    ];
  }
}

export type Bucket = Map<string, Uint8Array>;

/** The keys of a deployment, and their history. */
export class Keys {
  readonly root = signerOf(rootKeyName(DEPLOYMENT), seedFrom(1));
  readonly log = signerOf(ORIGIN, seedFrom(0));
  readonly archive = signerOf(archiveKeyName(DEPLOYMENT), seedFrom(3));
  readonly anchor = signerOf(anchorOrigin(DEPLOYMENT), seedFrom(4));
  readonly #history = new KeyHistory(DEPLOYMENT);
  readonly notes: Uint8Array[] = [];

  constructor(...gateways: readonly Gateway[]) {
    this.add('log', ORIGIN, this.log.key);
    this.add('archive', ORIGIN, this.archive.key);
    this.add('anchor', anchorOrigin(DEPLOYMENT), this.anchor.key);
    for (const { org, gateway, signer } of gateways) this.add('gateway', `${org}/${gateway}`, signer.key);
  }

  add(role: KeyRole, subject: string, key: NoteKey, from = 0, until: number | null = null): void {
    const { number, previous } = this.#history.next;
    const note = signKeyStatement(
      { from, kind: 'cairn/key', number, previous, reason: '', role, subject, until, v: 1, vkey: key.vkey },
      this.root,
    );
    this.#history.add(note, this.root.key);
    this.notes.push(note);
  }
}

export const RETENTION: Manifest['retention'] = {
  class: 'standard',
  mode: 'COMPLIANCE',
  policy: 'p1',
  until: 1_900_000_000_000,
};

/** A partition's log as archival writes it, from the records of the partition. */
export class Archive {
  readonly bucket: Bucket = new Map();
  readonly keys: Keys;
  readonly acceptance = new Acceptance({ partition: 0, partitions: 1 });
  readonly leafHashes: string[] = [];
  readonly entries: Uint8Array[] = [];
  #tree = new CompactRange();
  #writer: SegmentWriter | undefined;
  #previous: string | undefined;
  #offset = 0;
  #anchorTree = new CompactRange();

  constructor(keys: Keys) {
    this.keys = keys;
    for (const [number, note] of keys.notes.entries()) this.bucket.set(keyName(number), note);
  }

  /** The records of the partition, in order. */
  append(...datums: readonly Uint8Array[]): void {
    for (const datum of datums) {
      const accepted = this.acceptance.accept(
        recordOf(this.#offset, datum, 1_795_000_000_000 + this.#offset * 10),
      );
      this.#offset += 1;
      if (accepted.outcome === 'leaf') this.appendLeaf(accepted.leaf);
    }
  }

  /** A leaf, whether it would be accepted or not. */
  appendLeaf(leaf: Leaf): void {
    this.#writer ??= new SegmentWriter(ORIGIN, this.leafHashes.length);
    if (!this.#writer.fits(leaf)) this.cut();
    this.#writer ??= new SegmentWriter(ORIGIN, this.leafHashes.length);
    this.#writer.add(leaf);
    this.leafHashes.push(leaf.hash);
    this.#tree.append(leaf.hash);
  }

  /** Ends the segment: its objects, its manifest, its checkpoint. */
  cut(): Manifest {
    if (this.#writer === undefined) throw new Error('no segment is open');
    const segment = this.#writer.close();
    this.#writer = undefined;
    for (const { name, bytes } of segment.objects) this.bucket.set(name, bytes);
    const root = this.#tree.root();
    const manifest = manifestOf(segment, { root, previous: this.#previous, retention: RETENTION });
    const note = signManifest(manifest, this.keys.archive);
    this.bucket.set(manifestName(ORIGIN, manifest.first), note);
    this.#previous = sha256Hex(note);
    const checkpoint = { origin: ORIGIN, size: manifest.end, root };
    this.bucket.set(checkpointName(ORIGIN, manifest.end), signCheckpoint(checkpoint, this.keys.log));
    return manifest;
  }

  /** A round of the anchor log. */
  anchor(...notes: readonly Uint8Array[]): void {
    this.bucket.set(anchorEntriesName(this.#anchorTree.end), bundleOf(notes));
    for (const note of notes) this.#anchorTree.append(noteLeafHash(note));
    const checkpoint = {
      origin: anchorOrigin(DEPLOYMENT),
      size: this.#anchorTree.end,
      root: this.#anchorTree.root(),
    };
    this.bucket.set(anchorCheckpointName(checkpoint.size), signCheckpoint(checkpoint, this.keys.anchor));
  }

  /** Deletes the segment that begins at a leaf, with its tombstone. */
  expire(first: number, isAnchored = true): void {
    const note = this.bucket.get(manifestName(ORIGIN, first))!;
    // By whatever key it was signed.
    const manifest = parseStatement(splitNote(note).text, manifestForm);
    const tombstone = tombstoneOf(manifest, note, {
      decidedAtMs: RETENTION.until + 1,
      decidedBy: 'retention',
      holds: { checked: 0, checkedAtMs: RETENTION.until + 1, sha256: EMPTY_SHA256 },
      policy: { class: 'standard', untilMs: RETENTION.until, version: 'p1' },
      versionIds: manifest.objects.map(() => ['']),
    });
    const signed = signTombstone(tombstone, this.keys.archive);
    this.bucket.set(tombstoneName(ORIGIN, first), signed);
    if (isAnchored) this.anchor(signed);
    for (const { key } of manifest.objects) this.bucket.delete(key);
  }
}

/** What an auditor finds in a bucket. Brings the root's key and nothing else. */
export function audit(bucket: Bucket, rootKey: NoteKey): LogReport {
  return auditAll(bucket, rootKey).log;
}

/** The same, with what was found of the anchor log. */
export function auditAll(
  bucket: Bucket,
  rootKey: NoteKey,
): { readonly anchors: AnchorsReport; readonly log: LogReport } {
  const named = [...bucket]
    .map(([name, bytes]) => ({ name: parseObjectName(name), bytes }))
    .filter(({ name }) => name !== undefined);
  const numbered = <Found extends { readonly number: number }>(found: Found[]): Found[] =>
    found.sort((one, other) => one.number - other.number);
  const of = (kind: string): { number: number; bytes: Uint8Array }[] =>
    numbered(
      named.flatMap(({ name, bytes }) => {
        if (name?.kind !== kind) return [];
        const number = 'first' in name ? name.first : 'size' in name ? name.size : name.number;
        return [{ number, bytes }];
      }),
    );
  const keys = KeyHistory.of(
    DEPLOYMENT,
    of('key').map(({ bytes }) => bytes),
    rootKey,
  );
  const anchorsVerifier = new AnchorsVerifier(keys);
  for (const { number, bytes } of of('anchor-checkpoint')) anchorsVerifier.addCheckpoint(number, bytes);
  for (const { number, bytes } of of('anchor-entries')) anchorsVerifier.addEntries(number, bytes);
  const anchors = anchorsVerifier.end();
  const log = new LogVerifier({ origin: ORIGIN, keys });
  for (const { number, bytes } of of('checkpoint')) log.addCheckpoint(number, bytes);
  for (const { number, bytes } of of('manifest')) {
    const manifest = log.openManifest(number, bytes);
    if (manifest === undefined) continue;
    const tombstone = bucket.get(tombstoneName(ORIGIN, manifest.first));
    log.addSegment({
      objects: manifest.objects.map(({ key }) => bucket.get(key)),
      tombstone,
      isTombstoneAnchored: tombstone !== undefined && anchors.tombstones.has(sha256Hex(tombstone)),
    });
  }
  for (const checkpoint of anchors.checkpoints.get(ORIGIN) ?? [])
    log.addWitnessed(checkpoint, 'the anchor log');
  return { anchors, log: log.end() };
}
