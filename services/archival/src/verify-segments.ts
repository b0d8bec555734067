import { firstVersion, firstVersions } from '@cairn/adapters';
import { isFailure, messageOf } from '@cairn/failure';
import { type Manifest, parseObjectName, readSegment, SegmentFacts, statementText } from '@cairn/ledger';
import type { Finding } from './finding.ts';
import type { KnownKeys } from './known-keys.ts';
import { folderOf, NOTE_BYTES_MAX, openedManifest } from './read-manifests.ts';
import { type ArchiveStore, readEvidence } from './store-object.ts';

export interface VerifySegmentsOptions {
  readonly store: ArchiveStore;
  readonly keys: KnownKeys;
  readonly origins: readonly string[];
  /** Segments of this run. */
  readonly count: number;
  readonly nowMs: () => number;
  readonly onFinding: (finding: Finding) => void;
}

export interface VerifiedSegments {
  readonly verified: number;
  readonly leaves: number;
  readonly deleted: number;
  readonly found: number;
  /** Names of the first and the last manifest, of those that follow each other in the order of all names; empty when there is none. */
  readonly from: string;
  readonly to: string;
}

/** Where the next run goes on: name of the manifest that was verified last. */
export interface VerifyPlace {
  after: string;
}

/**
 * Reads some old segments back and looks at them as an auditor would: the bytes, every row, the leaves, the lock, and whether
 * something was put before them or hides them. One run goes on where the one before ended, so that all come round.
 */
export async function verifySegments(
  options: VerifySegmentsOptions,
  place: VerifyPlace,
): Promise<VerifiedSegments> {
  const { store, keys, origins, count, nowMs, onFinding } = options;
  const names = await namesAfter(store, origins, place.after, count);
  let leaves = 0;
  let deleted = 0;
  let found = 0;
  for (const { key, origin } of names) {
    const find = (reason: Finding['reason'], at: number, detail: string): void => {
      found += 1;
      onFinding({ reason, origin, at, detail });
    };
    const note = await store.get(key, { version: await firstVersion(store, key), bytesMax: NOTE_BYTES_MAX });
    let manifest: Manifest;
    try {
      manifest = openedManifest(note, keys, origin);
    } catch (error) {
      if (!isFailure(error, 'archive.broken')) throw error;
      find('manifest-form', -1, `${key}: ${messageOf(error)}`);
      continue;
    }
    const { first, end } = manifest;
    const tombstone = key.replace('manifest/', 'tombstone/');
    if ((await store.head(tombstone)) !== undefined) deleted += 1;
    else {
      await verifyObjects(store, manifest, nowMs(), find);
      leaves += end - first;
    }
    place.after = key;
  }
  // The end was reached: the next run begins anew.
  if (names.length < count) place.after = '';
  const [from = '', to = ''] = [names[0]?.key, names.at(-1)?.key];
  return { verified: names.length, leaves, deleted, found, from, to };
}

type Find = (reason: Finding['reason'], at: number, detail: string) => void;

async function verifyObjects(
  store: ArchiveStore,
  manifest: Manifest,
  nowMs: number,
  find: Find,
): Promise<void> {
  const { first, objects, retention } = manifest;
  const parts = [];
  for (const object of objects) {
    const { key, version_id: version, schema } = object;
    for await (const { disturbed, key: name } of firstVersions(store, key))
      if (name === key && disturbed !== undefined)
        find('disturbed', first, `${key} was ${disturbed} by a newer version`);
    const head = await store.head(key, version);
    if (head === undefined) {
      find('missing', first, `${key} is not there, and no tombstone accounts for it`);
      return;
    }
    if (retention.until > nowMs && (head.lock?.retainUntil.getTime() ?? 0) < retention.until)
      find('disturbed', first, `${key} is not locked until its retention ends`);
    try {
      parts.push({ schemaId: schema, bytes: await readEvidence(store, object) });
    } catch (error) {
      if (!isFailure(error) || error.code === 's3.unreachable' || error.code === 's3.busy') throw error;
      find('object-altered', first, `${key}: ${messageOf(error)}`);
      return;
    }
  }
  const facts = new SegmentFacts(first);
  try {
    readSegment(manifest, parts, (leaf) => facts.add(leaf));
  } catch (error) {
    if (!isFailure(error)) throw error;
    find('segment-form', first, messageOf(error));
    return;
  }
  const summary = facts.summary();
  const differing = (Object.keys(summary) as (keyof typeof summary)[]).find(
    (part) => statementText({ part: summary[part] }) !== statementText({ part: manifest[part] }),
  );
  if (differing !== undefined)
    find('manifest-mismatch', first, `its ${differing} are not those of its leaves`);
}

/** The next manifests by name, over all logs. */
async function namesAfter(
  store: ArchiveStore,
  origins: readonly string[],
  after: string,
  count: number,
): Promise<{ readonly key: string; readonly origin: string }[]> {
  const names: { readonly key: string; readonly origin: string }[] = [];
  for (const origin of origins.toSorted()) {
    const prefix = `manifest/${folderOf(origin)}/`;
    if (after !== '' && prefix < after && !after.startsWith(prefix)) continue;
    for await (const { key } of store.list(prefix, after === '' ? undefined : after)) {
      if (parseObjectName(key)?.kind !== 'manifest') continue;
      names.push({ key, origin });
      if (names.length === count) return names;
    }
  }
  return names;
}
