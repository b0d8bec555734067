// An auditor who reads a bucket, brings the root's key, and trusts nothing else.
import type { ObjectStore } from '@cairn/adapters';
import {
  type AnchorsReport,
  AnchorsVerifier,
  KeyHistory,
  type LogReport,
  LogVerifier,
  type NoteKey,
  parseObjectName,
  sha256Hex,
  tombstoneName,
} from '@cairn/ledger';

export interface Audit {
  readonly anchors: AnchorsReport;
  /** By origin. */
  readonly logs: ReadonlyMap<string, LogReport>;
  /** Objects whose names are none of the archive's. */
  readonly strange: readonly string[];
}

type Bucket = Pick<ObjectStore, 'list' | 'get'>;

export async function auditBucket(store: Bucket, deployment: string, rootKey: NoteKey): Promise<Audit> {
  const objects: { name: NonNullable<ReturnType<typeof parseObjectName>>; key: string }[] = [];
  const strange: string[] = [];
  for await (const { key } of store.list('')) {
    const name = parseObjectName(key);
    if (name === undefined) strange.push(key);
    else objects.push({ name, key });
  }
  const read = (key: string): Promise<Uint8Array> => store.get(key, { bytesMax: 1 << 30 });
  const of = <Kind extends (typeof objects)[number]['name']['kind']>(kind: Kind) =>
    objects.flatMap(({ name, key }) =>
      name.kind === kind ? [{ ...(name as Extract<typeof name, { kind: Kind }>), key }] : [],
    );
  const notes = await Promise.all(of('key').map(({ key }) => read(key)));
  const keys = KeyHistory.of(deployment, notes, rootKey);

  const anchors = new AnchorsVerifier(keys);
  for (const { size, key } of of('anchor-checkpoint')) anchors.addCheckpoint(size, await read(key));
  for (const { first, key } of of('anchor-entries')) anchors.addEntries(first, await read(key));
  const anchored = anchors.end();

  const logs = new Map<string, LogReport>();
  const folders = new Set(of('checkpoint').map(({ folder }) => folder));
  for (const folder of folders) {
    const origin = `${deployment}/${folder}`;
    const log = new LogVerifier({ origin, keys });
    for (const { folder: here, size, key } of of('checkpoint'))
      if (here === folder) log.addCheckpoint(size, await read(key));
    for (const { folder: here, first, key } of of('manifest')) {
      if (here !== folder) continue;
      const manifest = log.openManifest(first, await read(key));
      if (manifest === undefined) continue;
      const there = new Set(objects.map((object) => object.key));
      const tombstone = there.has(tombstoneName(origin, first))
        ? await read(tombstoneName(origin, first))
        : undefined;
      log.addSegment({
        objects: await Promise.all(
          manifest.objects.map(({ key: name }) => (there.has(name) ? read(name) : undefined)),
        ),
        tombstone,
        isTombstoneAnchored: tombstone !== undefined && anchored.tombstones.has(sha256Hex(tombstone)),
      });
    }
    for (const checkpoint of anchored.checkpoints.get(origin) ?? [])
      log.addWitnessed(checkpoint, 'the anchor log');
    logs.set(origin, log.end());
  }
  return { anchors: anchored, logs, strange };
}
