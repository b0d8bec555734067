import { hash } from 'node:crypto';
// The library is loaded when a store is opened: services that keep nothing in one do not pay for it.
import type {
  HeadObjectCommandOutput,
  ListObjectVersionsCommandOutput,
  S3ClientConfig,
} from '@aws-sdk/client-s3';
import { Failure, messageOf } from '@cairn/failure';
import {
  type ListedVersion,
  type Lock,
  type ObjectStore,
  type StoreAnswer,
  type StoredObject,
  wholeSecond,
} from './object-store.ts';

export interface ObjectStoreOptions {
  /** `http://host:port` or that of a provider's region. */
  readonly endpoint: string;
  readonly bucket: string;
  /** Default `us-east-1`, which other stores than Amazon's take as well. */
  readonly region?: string;
  /** Default the chain of the AWS libraries: their environment variables, files, the role of the machine. */
  readonly accessKey?: string | undefined;
  readonly secretKey?: string | undefined;
  /** Longest wait for an answer, and for the next piece of a body; default 60,000. */
  readonly answerMsMax?: number;
}

/** Fewer milliseconds than this to connect, whatever the answer may take. */
const CONNECT_MS_MAX = 5_000;

/**
 * Opens one bucket of an S3 store, path style. Nothing is sent before the first call. Nothing is sent twice either: a
 * write whose answer was lost is reported as lost and asked about, never hidden behind a second one.
 *
 * Every call rejects with a `Failure`:
 * - `s3.unreachable` (later): no whole answer came; a write may have been applied.
 * - `s3.busy` (later): the store answered that it cannot now (429, 5xx, a race on the key); a write may have been applied.
 * - `s3.altered` (yes): the store received other bytes than were sent. Nothing was written.
 * - `s3.missing`, `s3.locked`, `s3.unlockable`, `s3.too-large` (no): as the methods say.
 * - `s3.refused` (no): anything else the store said; its status and code are in the message.
 */
export async function openObjectStore(options: ObjectStoreOptions): Promise<ObjectStore> {
  const aws = await import('@aws-sdk/client-s3');
  const { bucket: Bucket, answerMsMax = 60_000 } = options;
  const client = new aws.S3Client(configOf(options, answerMsMax));
  const within = () => ({ abortSignal: AbortSignal.timeout(answerMsMax) });

  const head = async (key: string, version?: string): Promise<StoredObject | undefined> => {
    const asked = new aws.HeadObjectCommand({
      Bucket,
      Key: key,
      VersionId: version,
      ChecksumMode: 'ENABLED',
    });
    const answer = await client.send(asked, within()).catch(undefinedWhenMissing);
    if (answer === undefined) return undefined;
    const found = described(key, answer);
    // Some stores, versitygw 1.8 among them, leave the lock out of HEAD once a newer version is in front.
    if (version === undefined || found.lock !== undefined) return found;
    return { ...found, lock: await lockOf(key, version) };
  };

  const lockOf = async (key: string, version: string): Promise<StoredObject['lock']> => {
    const asked = new aws.GetObjectRetentionCommand({ Bucket, Key: key, VersionId: version });
    const answer = await client.send(asked, within()).catch((error) => {
      if (/^(NoSuchObjectLockConfiguration|ObjectLockConfigurationNotFoundError)$/.test(nameOf(error)))
        return undefined;
      return undefinedWhenMissing(error);
    });
    const { Mode: mode, RetainUntilDate: retainUntil } = answer?.Retention ?? {};
    return mode === undefined || retainUntil === undefined ? undefined : { mode, retainUntil };
  };

  const demandLock = async (key: string, version: string, lock: Lock): Promise<StoreAnswer> => {
    const asked = new aws.PutObjectRetentionCommand({
      Bucket,
      Key: key,
      VersionId: version,
      Retention: { Mode: lock.mode, RetainUntilDate: wholeSecond(lock.retainUntil) },
    });
    return answered(client.send(asked, within()));
  };

  async function* read(
    key: string,
    { version, bytesMax }: { version?: string | undefined; bytesMax: number },
  ): AsyncGenerator<Uint8Array> {
    // The signal ends with the headers; after them each piece has its own time.
    const stop = new AbortController();
    const asked = new aws.GetObjectCommand({ Bucket, Key: key, VersionId: version });
    let late = setTimeout(() => stop.abort(), answerMsMax);
    try {
      const { Body, ContentLength: announced } = await client
        .send(asked, { abortSignal: stop.signal })
        .catch((error) => {
          throw failureOf(error);
        });
      if (announced !== undefined && announced > bytesMax) throw tooLarge(key, bytesMax);
      const body = Body as unknown as AsyncIterable<Uint8Array> & { destroy(error?: Error): void };
      stop.signal.addEventListener('abort', () => body.destroy(new Error('no piece came in time')));
      let received = 0;
      try {
        for await (const piece of body) {
          clearTimeout(late);
          received += piece.length;
          if (received > bytesMax) throw tooLarge(key, bytesMax);
          yield piece;
          late = setTimeout(() => stop.abort(), answerMsMax);
        }
      } catch (error) {
        throw error instanceof Failure ? error : unreachable(error);
      } finally {
        body.destroy();
      }
      if (announced !== undefined && received !== announced)
        throw unreachable(new Error(`${received} of ${announced} bytes of ${key} came`));
    } finally {
      clearTimeout(late);
    }
  }

  return {
    async ensureBucket() {
      const create = new aws.CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true });
      const created = await client.send(create, within()).then(
        () => true,
        (error) => {
          if (/^BucketAlready(OwnedByYou|Exists)$/.test(nameOf(error))) return false;
          throw failureOf(error);
        },
      );
      const asked = new aws.GetObjectLockConfigurationCommand({ Bucket });
      const lock = await client.send(asked, within()).catch((error) => {
        if (nameOf(error) === 'ObjectLockConfigurationNotFoundError') return undefined;
        throw failureOf(error);
      });
      if (lock?.ObjectLockConfiguration?.ObjectLockEnabled !== 'Enabled') throw unlockable(Bucket);
      return created ? 'created' : 'exists';
    },

    async putLocked(key, bytes, lock, sha256 = hash('sha256', bytes, 'buffer')) {
      const asked = new aws.PutObjectCommand({
        Bucket,
        Key: key,
        Body: bytes,
        IfNoneMatch: '*',
        ChecksumSHA256: Buffer.from(sha256).toString('base64'),
        ObjectLockMode: lock.mode,
        ObjectLockRetainUntilDate: wholeSecond(lock.retainUntil),
      });
      // The request's signature covers a SHA-256 of the body: the library takes the one of this header, and else hashes anew.
      const payload = Buffer.from(sha256).toString('hex');
      asked.middlewareStack.add(
        (next) => (args) => {
          (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = payload;
          return next(args);
        },
        { step: 'build' },
      );
      try {
        const { VersionId } = await client.send(asked, within());
        if (VersionId === undefined) throw unlockable(Bucket);
        return { outcome: 'created', version: VersionId };
      } catch (error) {
        if (statusOf(error) === 412) return { outcome: 'exists' };
        throw failureOf(error);
      }
    },

    head,

    async get(key, reading) {
      const pieces = await Array.fromAsync(read(key, reading));
      const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const piece of pieces) {
        bytes.set(piece, at);
        at += piece.length;
      }
      return bytes;
    },

    read,

    async *list(prefix, after) {
      let last: Buffer | undefined;
      let from: string | undefined;
      do {
        const asked = new aws.ListObjectsV2Command({
          Bucket,
          Prefix: prefix,
          StartAfter: after,
          ContinuationToken: from,
        });
        const page = await translated(client.send(asked, within()));
        for (const { Key = '', Size = 0, LastModified = new Date(0) } of page.Contents ?? []) {
          const key = Buffer.from(Key);
          if (last && Buffer.compare(key, last) <= 0) throw disordered(Key);
          last = key;
          yield { key: Key, bytes: Size, storedAt: LastModified };
        }
        from = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      } while (from !== undefined);
    },

    async *listVersions(prefix) {
      const given = { key: '', versions: new Set<string>() };
      let from: PlaceInVersions | undefined = {};
      while (from !== undefined) {
        const asked = new aws.ListObjectVersionsCommand({ Bucket, Prefix: prefix, ...from });
        const page: ListObjectVersionsCommandOutput = await translated(client.send(asked, within()));
        for (const version of versionsOf(page)) {
          if (version.key !== given.key) Object.assign(given, { key: version.key, versions: new Set() });
          // A page may begin with the version that ended the one before; versitygw 1.8 does that.
          if (given.versions.has(version.version)) continue;
          given.versions.add(version.version);
          yield version;
        }
        from = page.IsTruncated
          ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
          : undefined;
      }
    },

    async extendLock(key, version, until) {
      const before = await head(key, version);
      if (before === undefined) throw missing(`${key} version ${version}`);
      if (!holds(before, until)) {
        const answer = await demandLock(key, version, { mode: 'COMPLIANCE', retainUntil: until });
        if (answer.status >= 300) throw refusedLock(key, answer);
      }
      const after = await head(key, version);
      if (!after?.lock || !holds(after, until))
        throw refusedLock(key, { status: 200, code: '', message: 'the lock is not what was granted' });
      return { mode: 'COMPLIANCE', retainUntil: after.lock.retainUntil };
    },

    demandLock,

    async setLegalHold(key, version, held) {
      const asked = new aws.PutObjectLegalHoldCommand({
        Bucket,
        Key: key,
        VersionId: version,
        LegalHold: { Status: held ? 'ON' : 'OFF' },
      });
      await translated(client.send(asked, within()));
    },

    async deleteVersion(key, version) {
      const asked = new aws.DeleteObjectCommand({ Bucket, Key: key, VersionId: version });
      const answer = await answered(client.send(asked, within()));
      // A version that is gone is as deleted as it can be; Amazon's store answers 204 to it, others 404.
      if (answer.status < 300 || answer.status === 404) return { outcome: 'deleted', answer };
      const found = await head(key, version);
      const locked = found?.legalHold === true || found?.lock !== undefined;
      return { outcome: locked ? 'locked' : 'refused', answer };
    },

    async [Symbol.asyncDispose]() {
      client.destroy();
    },
  };
}

function configOf(options: ObjectStoreOptions, answerMsMax: number): S3ClientConfig {
  const { endpoint, region = 'us-east-1', accessKey, secretKey } = options;
  return {
    endpoint,
    region,
    ...(accessKey !== undefined && secretKey !== undefined
      ? { credentials: { accessKeyId: accessKey, secretAccessKey: secretKey } }
      : {}),
    forcePathStyle: true,
    maxAttempts: 1,
    // Checksums are ours: one algorithm, over the bytes that were hashed for the manifest.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: Math.min(CONNECT_MS_MAX, answerMsMax), socketTimeout: answerMsMax },
  };
}

function described(key: string, answer: HeadObjectCommandOutput): StoredObject {
  const { ChecksumSHA256: sha256, ObjectLockMode: mode, ObjectLockRetainUntilDate: retainUntil } = answer;
  return {
    key,
    version: answer.VersionId ?? '',
    bytes: answer.ContentLength ?? 0,
    storedAt: answer.LastModified ?? new Date(0),
    sha256: sha256 === undefined ? undefined : new Uint8Array(Buffer.from(sha256, 'base64')),
    lock: mode === undefined || retainUntil === undefined ? undefined : { mode, retainUntil },
    legalHold: answer.ObjectLockLegalHoldStatus === 'ON',
  };
}

interface PlaceInVersions {
  readonly KeyMarker?: string | undefined;
  readonly VersionIdMarker?: string | undefined;
}

/** A page gives versions and markers apart. Among those of one key the latest is the newest. */
function versionsOf(page: ListObjectVersionsCommandOutput): ListedVersion[] {
  const versions = [
    ...(page.Versions ?? []).map((version) => ({ ...version, deleteMarker: false })),
    ...(page.DeleteMarkers ?? []).map((marker) => ({ ...marker, Size: 0, deleteMarker: true })),
  ].map((version) => ({
    key: version.Key ?? '',
    version: version.VersionId ?? '',
    bytes: version.Size ?? 0,
    storedAt: version.LastModified ?? new Date(0),
    latest: version.IsLatest === true,
    deleteMarker: version.deleteMarker,
  }));
  return versions.sort(
    (a, b) =>
      Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) ||
      Number(b.latest) - Number(a.latest) ||
      b.storedAt.getTime() - a.storedAt.getTime(),
  );
}

const holds = ({ lock }: StoredObject, until: Date): boolean =>
  lock?.mode === 'COMPLIANCE' && lock.retainUntil.getTime() >= until.getTime();

interface ServiceError {
  readonly name?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** Undefined when no answer came. */
const statusOf = (error: unknown): number | undefined => (error as ServiceError).$metadata?.httpStatusCode;
const nameOf = (error: unknown): string => (error as ServiceError).name ?? '';

async function translated<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw failureOf(error);
  }
}

/** Refusals as data; what is uncertain still rejects. */
async function answered(
  call: Promise<{ readonly $metadata: { readonly httpStatusCode?: number | undefined } }>,
): Promise<StoreAnswer> {
  try {
    const { $metadata } = await call;
    return { status: $metadata.httpStatusCode ?? 200, code: '', message: '' };
  } catch (error) {
    const status = statusOf(error) ?? 0;
    if (status < 400 || isPassing(status, nameOf(error))) throw failureOf(error);
    return { status, code: nameOf(error), message: messageOf(error) };
  }
}

function undefinedWhenMissing(error: unknown): undefined {
  const failure = failureOf(error);
  if (failure.code === 's3.missing') return undefined;
  throw failure;
}

const isPassing = (status: number, code: string): boolean =>
  status >= 500 || status === 429 || code === 'ConditionalRequestConflict' || code === 'OperationAborted';

/** Codes of the S3 API for a body that is not what its checksum says. */
const ALTERED = new Set([
  'BadDigest',
  'XAmzContentChecksumMismatch',
  'XAmzContentSHA256Mismatch',
  'InvalidDigest',
]);

function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const status = statusOf(error);
  const code = nameOf(error);
  // A successful status on an error: the answer was cut or is none of S3's.
  if (status === undefined || status < 300) return unreachable(error);
  // HEAD has no body, so that only its status says what is missing.
  if (status === 404 && code !== 'NoSuchBucket') return missing(messageOf(error), error);
  const said = `${messageOf(error)} (${status} ${code})`;
  if (isPassing(status, code))
    return new Failure({
      code: 's3.busy',
      retry: 'later',
      message: `the object store cannot now: ${said}`,
      cause: error,
    });
  if (ALTERED.has(code))
    return new Failure({
      code: 's3.altered',
      retry: 'yes',
      message: `the object store received other bytes: ${said}`,
      cause: error,
    });
  return new Failure({
    code: 's3.refused',
    retry: 'no',
    message: `the object store refused: ${said}`,
    mend: 'Check the bucket, the keys and their rights.',
    cause: error,
  });
}

function unreachable(error: unknown): Failure {
  return new Failure({
    code: 's3.unreachable',
    retry: 'later',
    message: `the object store did not answer: ${messageOf(error) || nameOf(error)}`,
    mend: 'Check S3_ENDPOINT, and that the store runs.',
    cause: error,
  });
}

function missing(what: string, cause?: unknown): Failure {
  return new Failure({
    code: 's3.missing',
    retry: 'no',
    message: `the object store has no such thing: ${what}`,
    cause,
  });
}

function tooLarge(key: string, bytesMax: number): Failure {
  return new Failure({
    code: 's3.too-large',
    retry: 'no',
    message: `${key} has more than ${bytesMax} bytes`,
  });
}

function disordered(key: string): Failure {
  return new Failure({
    code: 's3.refused',
    retry: 'no',
    message: `the object store lists out of order at ${key}, so that a missing object could not be told`,
    mend: 'Use a bucket that lists by key; directory buckets do not.',
  });
}

function unlockable(bucket: string): Failure {
  return new Failure({
    code: 's3.unlockable',
    retry: 'no',
    message: `the bucket ${bucket} has no Object Lock, so that nothing in it is kept`,
    mend: 'Create the bucket with Object Lock enabled; most stores cannot add it later.',
  });
}

function refusedLock(key: string, { status, code, message }: StoreAnswer): Failure {
  if (status === 404) return missing(key);
  return new Failure({
    code: 's3.locked',
    retry: 'no',
    message: `the object store did not extend the lock of ${key}: ${message} (${status} ${code})`,
  });
}
