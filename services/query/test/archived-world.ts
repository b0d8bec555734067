// An archive in a real bucket beside the table: events of three days in January, in segments of one log, and what signs.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ClickHouse, nameBucket, openObjectStore } from '@cairn/adapters';
import { walkDatum } from '@cairn/event';
import { KeyHistory, keyName, type NoteSigner, personKeyName } from '@cairn/ledger';
import { S3_ACCESS_KEY, S3_SECRET_KEY } from '@cairn/local';
import { DEPLOYMENT } from '../../../packages/cli/src/testing/archive-on-disk.ts';
import { type ColdWorld, coldWorldOf, TOPIC } from '../../../packages/cli/src/testing/cold-world.ts';
import { seedFrom, signerOf } from '../../../packages/ledger/test/deployment.ts';
import { nativeEncoder, tableIn } from '../../ingest/src/index.ts';

export { TOPIC };
export const ARCHIVED_DAYS = ['2026-01-05', '2026-01-06', '2026-01-07'] as const;
const BUCKET = 'api-archive';

export interface ArchivedWorld extends ColdWorld {
  /** Persons whose keys the root key has stated. */
  /** As an auditor reads it. */
  readonly history: KeyHistory;
  readonly persons: { readonly jane: NoteSigner; readonly sam: NoteSigner };
  readonly env: Readonly<Record<string, string>>;
}

/** Puts the bucket, anchored to its end, and tells ClickHouse where it is. @param directory for the file of the archive's key. */
export async function archivedWorld(
  clickhouse: ClickHouse,
  endpoint: string,
  directory: string,
  events: number,
): Promise<ArchivedWorld> {
  const world = coldWorldOf({
    firstDay: ARCHIVED_DAYS[0],
    days: 3,
    events,
    segmentLeaves: 150,
    isSigned: true,
  });
  const { bucket, keys } = world.archive;
  const person = (name: string, seed: number): NoteSigner =>
    signerOf(personKeyName(DEPLOYMENT, name), seedFrom(seed));
  const persons = { jane: person('jane.doe', 10), sam: person('sam.lee', 20) };
  keys.add('person', 'jane.doe', persons.jane.key);
  keys.add('person', 'sam.lee', persons.sam.key);
  for (const [number, note] of keys.notes.entries()) bucket.set(keyName(number), note);
  world.archive.anchor(
    ...[...bucket].filter(([name]) => name.startsWith('checkpoint/')).map(([, note]) => note),
  );
  const address = { endpoint, bucket: BUCKET, accessKey: S3_ACCESS_KEY, secretKey: S3_SECRET_KEY };
  await using store = await openObjectStore(address);
  await store.ensureBucket();
  const lock = { mode: 'COMPLIANCE', retainUntil: new Date(Date.now() + 5_000) } as const;
  for (const [name, bytes] of bucket) await store.putLocked(name, bytes, lock);
  await nameBucket(clickhouse, 'cairn_archive', address);
  const pem = join(directory, 'archive.pem');
  writeFileSync(pem, keys.archive.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const env = {
    CAIRN_DEPLOYMENT: DEPLOYMENT,
    CAIRN_ROOT_KEY: keys.root.key.vkey,
    CAIRN_QUERY_BUNDLE_KEY: pem,
    S3_ENDPOINT: endpoint,
    S3_BUCKET: BUCKET,
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
  };
  return { ...world, history: KeyHistory.of(DEPLOYMENT, keys.notes, keys.root.key), persons, env };
}

/** All of it into the hot table, by the encoder and the INSERT of ingest. */
export async function loadWorld(clickhouse: ClickHouse, { chunks }: ColdWorld): Promise<void> {
  const table = tableIn(clickhouse);
  const owner = { topic: TOPIC, partition: 0, name: 'test' };
  await table.becomeOwner(owner);
  for (const chunk of chunks) {
    const open = nativeEncoder.open(chunk);
    for (const row of chunk.rows) {
      walkDatum(row.bytes, row.schemaId, row.start, row.end, open.places, open.placesAt);
      open.add(row);
    }
    for (const body of open.bodies()) await table.insert([{ owner, refusal: 'one-by-one', body }]);
    open.release();
  }
}
