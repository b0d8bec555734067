// What the archive costs: segments written from leaves, a log verified with its chain and seals, bytes of an event kept.
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
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
  noteKeyOf,
  rootKeyName,
  SEGMENT_LEAVES,
  SegmentWriter,
  sha256Hex,
  signCheckpoint,
  signDatum,
  signKeyStatement,
  signManifest,
  type WrittenSegment,
} from '@cairn/ledger';
import { streamsOf } from '@cairn/traffic';
import { type Measured, type SubjectOptions, spreadOf } from '../measured.ts';
import { cpuSecondsOf } from './encode.ts';

const DEPLOYMENT = 'audit.example';
const ORIGIN = `${DEPLOYMENT}/audit.events.standard/0`;
const SEGMENTS = 4;
/** Of four organisations. */
const GATEWAYS = 12;
const FETCHED_FRAMES = 1_000;
const HEAD_BYTES = 61;

/** `--segments N` of 65,536 events, default 4. */
export default async function ledger({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const leaves = Number(flags['segments'] ?? SEGMENTS) * (quick ? 4_096 : SEGMENT_LEAVES);
  say(`${leaves} events, chained and sealed`);
  const keys = keysOf();
  const frames = recorded(keys, leaves);
  const frameBytes = frames.reduce((sum, { length }) => sum + length, 0) / leaves;

  const fetched = fetchedOf(frames);

  const write_s: number[] = [];
  const verify_s: number[] = [];
  const event_bytes: number[] = [];
  const repeats = quick ? 1 : 5;
  for (let repeat = -1; repeat < repeats; repeat += 1) {
    say(repeat < 0 ? 'warming up' : `repeat ${repeat + 1} of ${repeats}`);
    let segments: WrittenSegment[] = [];
    const writing = cpuSecondsOf(() => {
      segments = written(fetched);
    });
    const log = signed(segments, keys);
    const verifying = cpuSecondsOf(() => verified(log, keys, leaves));
    if (repeat < 0) continue;
    write_s.push(leaves / writing);
    verify_s.push(leaves / verifying);
    event_bytes.push(log.bytes / leaves);
  }
  return {
    question:
      'How many events a second does one core archive and verify, and how many bytes is an event in the archive?',
    columns: [
      { name: 'events_s', heading: 'events/s of CPU', digits: 0 },
      { name: 'event_bytes', heading: 'bytes/event', digits: 1 },
    ],
    rows: [
      {
        name: 'cairn verify: walk, leaf, tree, chain, seals',
        figures: { events_s: verify_s, event_bytes: [] },
      },
      {
        name: 'write segments: accept, leaf, tree, facts, zstd',
        figures: { events_s: write_s, event_bytes },
      },
    ],
    claims: [
      {
        what: 'events a second, verified with chain and seals',
        measured: spreadOf(verify_s).median,
        wanted: 'at least',
        limit: 250_000,
      },
      {
        what: 'events a second, written into segments',
        measured: spreadOf(write_s).median,
        wanted: 'at least',
        limit: 200_000,
      },
      {
        what: 'bytes of an event in the archive',
        measured: spreadOf(event_bytes).median,
        wanted: 'at most',
        limit: 140,
      },
    ],
    notes: [
      `${leaves} events of generated traffic on ${GATEWAYS} gateways in turn, ${Math.round(frameBytes)} bytes a frame, sealed every 256; hashes, ids and spans are random.`,
      'CPU time is that of the whole process, collector and threads included. Objects, manifest and checkpoint count as bytes; reading from Kafka and putting into the store are not in it.',
    ],
  };
}

interface BenchKeys {
  readonly history: KeyHistory;
  /** Of gateways, by `<org>/<gateway>`. */
  readonly signers: ReadonlyMap<string, NoteSigner>;
  readonly log: NoteSigner;
  readonly archive: NoteSigner;
}

function keysOf(): BenchKeys {
  const root = signerOf(rootKeyName(DEPLOYMENT));
  const log = signerOf(ORIGIN);
  const archive = signerOf(archiveKeyName(DEPLOYMENT));
  const history = new KeyHistory(DEPLOYMENT);
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
    history.add(signKeyStatement(statement, root), root.key);
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
  return { history, signers, log, archive };
}

function signerOf(name: string): NoteSigner {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { key: noteKeyOf(name, publicBytes(privateKey)), privateKey };
}

function publicBytes(privateKey: KeyObject): Uint8Array {
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(x, 'base64url'));
}

/** Frames of a partition, in the order in which they came. */
function recorded({ signers }: BenchKeys, count: number): Uint8Array[] {
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
interface Fetched {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

function fetchedOf(frames: readonly Uint8Array[]): Fetched[] {
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
function written(fetched: readonly Fetched[]): WrittenSegment[] {
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

interface SignedLog {
  readonly parts: readonly {
    readonly first: number;
    readonly manifest: Uint8Array;
    readonly objects: readonly Uint8Array[];
  }[];
  readonly checkpoints: readonly { readonly size: number; readonly note: Uint8Array }[];
  readonly bytes: number;
}

function signed(segments: readonly WrittenSegment[], { log, archive }: BenchKeys): SignedLog {
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

function verified({ parts, checkpoints }: SignedLog, { history }: BenchKeys, leaves: number): void {
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
