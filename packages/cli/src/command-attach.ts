import { nameBucket } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import type { OpenTrail } from './trail.ts';

export interface AttachOptions {
  readonly archive: string;
  readonly copies?: string;
}

/** `cairn attach`: gives ClickHouse the archive to read, under a name, so that no key stands in a query. */
export async function attach(
  open: OpenTrail,
  output: Output,
  { s3, collections }: CliConfig,
  { archive, copies }: AttachOptions,
): Promise<number> {
  const { endpoint, accessKey, secretKey } = s3;
  if (accessKey === undefined || secretKey === undefined) {
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message:
        'S3_ACCESS_KEY and S3_SECRET_KEY are not set, and ClickHouse needs keys to read the bucket with',
      mend: 'Give it keys that may only read the archive; or name the bucket in its own configuration.',
    });
  }
  await using trail = open();
  const named = [[collections.archive, archive] as const];
  if (copies !== undefined) named.push([collections.copies, copies]);
  for (const [name, where] of named) {
    const bucket = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})\/?$/.exec(where)?.[1];
    if (bucket === undefined) throw noBucket(where);
    await nameBucket(trail, name, { endpoint, bucket, accessKey, secretKey });
    output.value({ collection: name, bucket, endpoint });
    output.line(`${name} is s3://${bucket} at ${endpoint}`);
  }
  return EXIT.ok;
}

const noBucket = (where: string): Failure =>
  new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `${where} is no bucket`,
    mend: 'Name it as s3://bucket.',
  });
