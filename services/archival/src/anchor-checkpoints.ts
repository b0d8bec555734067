import { firstVersion } from '@cairn/adapters';
import { isFailure, messageOf } from '@cairn/failure';
import {
  anchorCheckpointName,
  anchorEntriesName,
  bundleOf,
  bytesOfHash,
  checkpointName,
  cosignedName,
  notesOfRound,
  openCheckpoint,
  openTombstone,
  parseObjectName,
  ROUND_BYTES_MAX,
  roundFrom,
  signCheckpoint,
  timestampName,
  withLines,
} from '@cairn/ledger';
import { type AnchorLog, anchoredNote } from './anchor-log.ts';
import { archiveBroken, type KnownKeys } from './known-keys.ts';
import { folderOf, NOTE_BYTES_MAX } from './read-manifests.ts';
import type { SigningKeys } from './signing-keys.ts';
import { type ArchiveStore, readObject, storeObject } from './store-object.ts';

/** A timestamp authority (RFC 3161): what it answers was verified. packages/adapters/src/timestamp-authority.ts */
export interface Stamper {
  /** Configured name, `[a-z0-9][a-z0-9-]{0,62}`. */
  readonly name: string;
  /** DER of the whole response over these bytes. Rejects when there is none that can be verified. */
  stamp(data: Uint8Array): Promise<{ readonly response: Uint8Array; readonly atMs: number }>;
}

/** A witness (C2SP tlog-witness): its cosignature was verified. packages/adapters/src/witness.ts */
export interface Cosigner {
  readonly name: string;
  /** Its line under the checkpoint, or the size of the tree that it stands at. */
  cosign(
    oldSize: number,
    proof: readonly Uint8Array[],
    checkpoint: Uint8Array,
  ): Promise<{ readonly line: string; readonly atMs: number } | { readonly size: number }>;
}

export interface AnchorOptions {
  readonly store: ArchiveStore;
  readonly signing: SigningKeys;
  readonly keys: KnownKeys;
  /** Logs whose checkpoints are anchored, in order. */
  readonly origins: readonly string[];
  readonly stampers: readonly Stamper[];
  readonly cosigners: readonly Cosigner[];
  readonly notesLockMs: number;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

/** What one round came to. */
export interface AnchorRound {
  /** Of the anchor log. */
  readonly size: number;
  /** Notes that this round added. */
  readonly added: number;
  /** Time that each authority and each witness has put on the checkpoint of this size, ms; an error where it did not. */
  readonly timestamps: readonly Attested[];
  readonly cosignatures: readonly Attested[];
}

export interface Attested {
  readonly name: string;
  readonly atMs: number | undefined;
  readonly error: string | undefined;
}

/**
 * One round of the anchor log: the checkpoints that the logs have made since the round before, and the tombstones, become its
 * leaves; its checkpoint is signed, stamped and cosigned. Safe to run twice: a round whose entries are there is finished as it
 * was begun, and what is attested already is not asked for again. An authority that is away is asked again next time.
 *
 * @throws Failure `archive.broken` when a checkpoint or the anchor log itself does not open.
 */
export async function anchorCheckpoints(options: AnchorOptions, log: AnchorLog): Promise<AnchorRound> {
  const { store, signing, keys, nowMs, notesLockMs } = options;
  await log.catchUp(store, keys);
  const until = nowMs() + notesLockMs;
  const found = await newNotes(options, log);
  let added = 0;
  // A round that was begun and not finished has its entries there, whatever came since.
  const begun = await readObject(store, anchorEntriesName(log.size), ROUND_BYTES_MAX);
  if (found.length > 0 || begun !== undefined) {
    // 1. The entries.
    const bundle = begun ?? bundleOf(found);
    const kept = await storeObject(store, anchorEntriesName(log.size), bundle, until);
    const entries = notesOfRound(kept.bytes);
    for (const entry of entries) openEntry(log.origin, keys, entry);

    // 2. The checkpoint. COMMIT POINT of the round.
    const checkpoint = { origin: log.origin, size: log.size + entries.length, root: log.rootWith(entries) };
    const note = signCheckpoint(checkpoint, signing.anchor);
    const keptNote = await storeObject(store, anchorCheckpointName(checkpoint.size), note, until);
    const said = openCheckpoint(keptNote.bytes, keys.anchor(log.origin, checkpoint.size), log.origin);
    if (said.root !== checkpoint.root || said.size !== checkpoint.size)
      throw archiveBroken(log.origin, `the checkpoint of ${checkpoint.size} entries has another root`);
    log.append(entries);
    added = entries.length;
  }
  if (log.size === 0) return { size: 0, added, timestamps: [], cosignatures: [] };

  // 3. Timestamps and cosignatures over it. Each is worth having alone, so none waits for another.
  const name = anchorCheckpointName(log.size);
  const note = await store.get(name, { version: await firstVersion(store, name), bytesMax: NOTE_BYTES_MAX });
  const timestamps = await Promise.all(
    options.stampers.map((stamper) =>
      attest(store, stamper.name, timestampName(log.size, stamper.name), until, async () => {
        const { response, atMs } = await stamper.stamp(note);
        return { bytes: response, atMs };
      }),
    ),
  );
  const cosignatures = await Promise.all(
    options.cosigners.map((cosigner) =>
      attest(store, cosigner.name, cosignedName(log.size, cosigner.name), until, () =>
        cosigned(cosigner, log, note),
      ),
    ),
  );
  return { size: log.size, added, timestamps, cosignatures };
}

/** The checkpoints that are not anchored yet, by origin and size, and then the tombstones, by origin and first leaf. */
async function newNotes({ store, keys, origins }: AnchorOptions, log: AnchorLog): Promise<Uint8Array[]> {
  const checkpoints: Uint8Array[] = [];
  const tombstones: Uint8Array[] = [];
  for (const origin of origins.toSorted()) {
    const anchored = log.sizeOf(origin);
    const after = anchored === 0 ? undefined : checkpointName(origin, anchored);
    for await (const { key } of store.list(`checkpoint/${folderOf(origin)}/`, after)) {
      const name = parseObjectName(key);
      if (name?.kind !== 'checkpoint') continue;
      const note = await store.get(key, {
        version: await firstVersion(store, key),
        bytesMax: CHECKPOINT_BYTES_MAX,
      });
      openCheckpoint(note, keys.log(origin, name.size), origin);
      checkpoints.push(note);
    }
    for await (const { key } of store.list(`tombstone/${folderOf(origin)}/`)) {
      const name = parseObjectName(key);
      if (name?.kind !== 'tombstone' || log.holdsTombstone(origin, name.first)) continue;
      const note = await readObject(store, key, NOTE_BYTES_MAX);
      if (note === undefined) continue;
      // What came altered on the way must not become an entry that nobody can open.
      openEntry(log.origin, keys, note);
      tombstones.push(note);
    }
  }
  return roundFrom([...checkpoints, ...tombstones]);
}

const CHECKPOINT_BYTES_MAX = 65_536;

/** An entry that another run has put there counts when a key of the deployment has signed it. */
function openEntry(origin: string, keys: KnownKeys, entry: Uint8Array): void {
  const note = anchoredNote(origin, entry);
  if (note.kind === 'checkpoint') openCheckpoint(entry, keys.log(note.origin, note.size), note.origin);
  else openTombstone(entry, keys.archive(note.origin, note.end));
}

/** Keeps what somebody else says of the checkpoint, once. */
async function attest(
  store: ArchiveStore,
  name: string,
  key: string,
  until: number,
  ask: () => Promise<{ readonly bytes: Uint8Array; readonly atMs: number }>,
): Promise<Attested> {
  try {
    const there = await store.head(key);
    if (there !== undefined) return { name, atMs: there.storedAt.getTime(), error: undefined };
    const { bytes, atMs } = await ask();
    await storeObject(store, key, bytes, until);
    return { name, atMs, error: undefined };
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { name, atMs: undefined, error: messageOf(error) };
  }
}

/** Shows a witness the checkpoint, from where it stands. */
async function cosigned(
  cosigner: Cosigner,
  log: AnchorLog,
  note: Uint8Array,
): Promise<{ readonly bytes: Uint8Array; readonly atMs: number }> {
  let oldSize = 0;
  // It says at which size it stands; once more, should it have moved on meanwhile.
  for (let attempt = 0; ; attempt += 1) {
    const proof = log.consistencyProof(oldSize).map(bytesOfHash);
    const answer = await cosigner.cosign(oldSize, proof, note);
    if ('line' in answer) return { bytes: withLines(note, answer.line), atMs: answer.atMs };
    if (attempt === 2 || answer.size > log.size)
      throw archiveBroken(
        log.origin,
        `${cosigner.name} has seen ${answer.size} entries, and there are ${log.size}`,
      );
    oldSize = answer.size;
  }
}
