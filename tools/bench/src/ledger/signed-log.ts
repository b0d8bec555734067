// A partition's log of generated traffic, chained, sealed and signed: what archival takes, writes and what is verified of it.
import { generateKeyPairSync } from 'node:crypto';
import { AUDIT_EVENT_SCHEMA_ID, frame } from '@cairn/event';
import {
  Acceptance,
  archiveKeyName,
  CompactRange,
  gatewayKeyName,
  KeyHistory,
  type KeyRole,
  type KeyStatement,
  LogVerifier,
  manifestOf,
  type NoteSigner,
  noteSignerOf,
  rootKeyName,
  SegmentWriter,
  sha256Hex,
  signCheckpoint,
  signDatum,
  signKeyStatement,
  signManifest,
  type WrittenSegment,
} from '@cairn/ledger';
import { streamsOf } from '@cairn/traffic';

export const DEPLOYMENT = 'audit.example';
export const TOPIC = 'audit.events.standard';
export const ORIGIN = `${DEPLOYMENT}/${TOPIC}/0`;
/** Of four organisations. */
export const GATEWAYS = 12;
const FETCHED_FRAMES = 1_000;
const HEAD_BYTES = 61;

export interface BenchKeys {
  readonly history: KeyHistory;
  readonly root: NoteSigner;
  /** Of the history, as they stand in the bucket. */
  readonly statements: readonly Uint8Array[];
  /** Of gateways, by `<org>/<gateway>`. */
  readonly signers: ReadonlyMap<string, NoteSigner>;
  readonly log: NoteSigner;
  readonly archive: NoteSigner;
}

export function keysOf(): BenchKeys {
  const root = signerOf(rootKeyName(DEPLOYMENT));
  const log = signerOf(ORIGIN);
  const archive = signerOf(archiveKeyName(DEPLOYMENT));
  const history = new KeyHistory(DEPLOYMENT);
  const statements: Uint8Array[] = [];
  const state = (role: KeyRole, subject: string, { key: { vkey } }: NoteSigner): void => {
    const { number, previous } = history.next;
    const statement: KeyStatement = {
      from: 0,
      kind: 'cairn/key',
      number,
      previous,
      reason: '',
      role,
      subject,
      until: null,
      v: 1,
      vkey,
    };
    const note = signKeyStatement(statement, root);
    history.add(note, root.key);
    statements.push(note);
  };
  state('log', ORIGIN, log);
  state('archive', ORIGIN, archive);
  const signers = new Map<string, NoteSigner>();
  for (const { org, gateway } of streamsOf({ seed: 7, gateways: GATEWAYS })) {
    const subject = `${org}/${gateway}`;
    if (signers.has(subject)) break;
    const signer = signerOf(gatewayKeyName(DEPLOYMENT, org, gateway));
    signers.set(subject, signer);
    state('gateway', subject, signer);
  }
  return { history, root, statements, signers, log, archive };
}

function signerOf(name: string): NoteSigner {
  const { privateKey } = generateKeyPairSync('ed25519');
  return noteSignerOf(name, privateKey);
}

/** Frames of a partition, in the order in which they came. */
export function recorded({ signers }: BenchKeys, count: number): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const signerOf = (org: string, gateway: string) => {
    const { key, privateKey } = signers.get(`${org}/${gateway}`)!;
    return {
      keyId: key.keyId,
      sign: (datum: Uint8Array) => signDatum(privateKey, AUDIT_EVENT_SCHEMA_ID, datum),
    };
  };
  for (const { datum } of streamsOf({ seed: 7, gateways: GATEWAYS, signerOf })) {
    frames.push(frame(AUDIT_EVENT_SCHEMA_ID, datum));
    if (frames.length === count) break;
  }
  return frames;
}

/** A frame where it lies among others, as a fetch brings them. */
export interface Fetched {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export function fetchedOf(frames: readonly Uint8Array[]): Fetched[] {
  const fetched: Fetched[] = [];
  for (let at = 0; at < frames.length; at += FETCHED_FRAMES) {
    const some = frames.slice(at, at + FETCHED_FRAMES);
    // Something stands before the first, as a batch's head does.
    const bytes = new Uint8Array(some.reduce((sum, { length }) => sum + length, HEAD_BYTES));
    let start = HEAD_BYTES;
    for (const one of some) {
      bytes.set(one, start);
      fetched.push({ bytes, start, end: start + one.length });
      start += one.length;
    }
  }
  return fetched;
}

/** What archival does with the records of a partition, from a frame on. */
export function written(fetched: readonly Fetched[]): WrittenSegment[] {
  const segments: WrittenSegment[] = [];
  const acceptance = new Acceptance({ partition: 0, partitions: 1 });
  let writer = new SegmentWriter(ORIGIN, 0);
  for (const [offset, { bytes, start, end }] of fetched.entries()) {
    const accepted = acceptance.accept({
      offset,
      appendedAtMs: 1_790_000_000_000 + (offset >> 5),
      bytes,
      start,
      end,
    });
    if (accepted.outcome !== 'leaf') throw new Error(`offset ${offset} is no leaf but ${accepted.outcome}`);
    if (!writer.fits(accepted.leaf)) {
      segments.push(writer.close());
      writer = new SegmentWriter(ORIGIN, writer.end);
    }
    writer.add(accepted.leaf);
  }
  segments.push(writer.close());
  return segments;
}

export interface SignedLog {
  readonly parts: readonly {
    readonly first: number;
    readonly manifest: Uint8Array;
    readonly objects: readonly Uint8Array[];
  }[];
  readonly checkpoints: readonly { readonly size: number; readonly note: Uint8Array }[];
  readonly bytes: number;
}

export function signed(segments: readonly WrittenSegment[], { log, archive }: BenchKeys): SignedLog {
  const tree = new CompactRange();
  let previous: string | undefined;
  let bytes = 0;
  const checkpoints: { size: number; note: Uint8Array }[] = [];
  const parts = segments.map((segment) => {
    tree.join(
      segment.range.end,
      segment.summary.nodes.map((node) => Buffer.from(node, 'hex').toString('latin1')),
    );
    const root = tree.root();
    const retention = {
      class: 'standard',
      mode: 'COMPLIANCE',
      policy: 'p1',
      until: 1_900_000_000_000,
    } as const;
    const manifest = signManifest(manifestOf(segment, { root, previous, retention }), archive);
    previous = sha256Hex(manifest);
    const note = signCheckpoint({ origin: ORIGIN, size: tree.end, root }, log);
    checkpoints.push({ size: tree.end, note });
    const objects = segment.objects.map((object) => object.bytes);
    bytes += manifest.length + note.length + objects.reduce((sum, { length }) => sum + length, 0);
    return { first: segment.range.first, manifest, objects };
  });
  return { parts, checkpoints, bytes };
}

export function verified(
  { parts, checkpoints }: SignedLog,
  { history }: Pick<BenchKeys, 'history'>,
  leaves: number,
): void {
  const verifier = new LogVerifier({ origin: ORIGIN, keys: history });
  for (const { size, note } of checkpoints) verifier.addCheckpoint(size, note);
  for (const { first, manifest, objects } of parts) {
    if (verifier.openManifest(first, manifest) === undefined) throw new Error('a manifest does not open');
    verifier.addSegment({ objects });
  }
  const { verdict, proven, reasons } = verifier.end();
  const isWhole = verdict === 'intact' && proven === leaves;
  const unexpected = Object.keys(reasons).filter((reason) => reason !== 'open-tail');
  if (!isWhole || unexpected.length > 0) throw new Error(`the log is ${verdict}: ${JSON.stringify(reasons)}`);
}
