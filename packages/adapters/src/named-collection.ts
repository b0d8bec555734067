import { Failure, isFailure } from '@cairn/failure';
import type { ClickHouse } from './clickhouse.ts';

export interface Bucket {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/**
 * Gives ClickHouse a bucket under a name (a named collection), so that a query names it and no key stands in a query. ClickHouse
 * keeps it, shows its keys to nobody who was not granted that, and masks them in its log. One that is there is replaced.
 *
 * On a server whose users may not do that, its configuration does: docs/cold-queries.md.
 *
 * @throws Failure of ClickHouse, without what it said: that may repeat the statement and its keys.
 */
export async function nameBucket(clickhouse: ClickHouse, name: string, bucket: Bucket): Promise<void> {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(name)) throw new TypeError(`${name} is no name of a collection`);
  const { endpoint, bucket: of, accessKey, secretKey } = bucket;
  const values = {
    url: `${endpoint.replace(/\/$/, '')}/${of}/`,
    access_key_id: accessKey,
    secret_access_key: secretKey,
  };
  const given = Object.entries(values).map(([key, value]) => `${key} = ${literal(value)} NOT OVERRIDABLE`);
  await clickhouse.exec(`DROP NAMED COLLECTION IF EXISTS ${name}`);
  try {
    await clickhouse.exec(`CREATE NAMED COLLECTION ${name} AS ${given.join(', ')}`);
  } catch (error) {
    if (!isFailure(error)) throw error;
    throw new Failure({
      code: error.code,
      retry: error.retry,
      message: `ClickHouse did not take the collection ${name}`,
      mend: 'Grant NAMED COLLECTION ADMIN to this user, or name the bucket in the configuration of the server.',
    });
  }
}

const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
