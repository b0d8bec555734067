import { parsingCanonicalForm, type ReleasedSchema } from '@cairn/event';
import { Failure, messageOf } from '@cairn/failure';

export interface SchemaRegistryOptions {
  /** Base address; user and password may stand in it. */
  readonly url: string;
  /** Subjects to look under. Default: the schema's own name, which is RecordNameStrategy. */
  readonly subjects?: readonly string[];
  /** Longest wait for one answer; default 10,000. */
  readonly answerMsMax?: number;
}

/** The ids by which a registry outside knows our schemas. */
export interface SchemaIds {
  /**
   * The registry's id of a released schema; it stands in the frames that others read.
   *
   * @throws Failure `schema.unknown` for an id that was not among those checked.
   */
  schemaIdOf(releasedId: number): number;
  /** The other way round; undefined for a schema that is none of ours. */
  releasedIdOf(registryId: number): number | undefined;
}

/** A log of frames, such as the recorder ships to. */
interface FrameLog {
  append(topic: string, partition: number, values: readonly Uint8Array[]): Promise<void>;
}

/**
 * The same log, with the registry's ids in the frames. The bytes behind the id are not touched: hashes and signatures
 * cover the entry, which names its schema by fingerprint.
 */
function underRegistryIds(log: FrameLog, ids: SchemaIds): FrameLog {
  return {
    append: (topic, partition, values) =>
      log.append(
        topic,
        partition,
        values.map((value) => {
          const framed = Buffer.from(value);
          framed.writeUInt32BE(ids.schemaIdOf(framed.readUInt32BE(1)), 1);
          return framed;
        }),
      ),
  };
}

/** How the frames of a deployment name our schemas. */
export interface FrameIds {
  /** Our own id of the schema that a frame names; undefined when the registry outside has none of ours under it. */
  releasedIdOf(framedId: number): number | undefined;
  /** The log for whoever writes frames under our own ids. */
  under(log: FrameLog): FrameLog;
}

/**
 * The ids of the registry at `url`, or our own where there is none. The registry must answer now, and is not asked again.
 *
 * @throws Failure as `checkSchemaIds`
 */
export async function frameIdsAt(
  url: string | undefined,
  schemas: readonly ReleasedSchema[],
): Promise<FrameIds> {
  if (url === undefined) return { releasedIdOf: (framedId) => framedId, under: (log) => log };
  const ids = await checkSchemaIds({ url }, schemas);
  return {
    releasedIdOf: (framedId) => ids.releasedIdOf(framedId),
    under: (log) => underRegistryIds(log, ids),
  };
}

/**
 * Finds that the registry holds each of our schemas, and under which id.
 *
 * Schemas are compared in parsing canonical form: that is what decides which bytes are written, while a registry may
 * have another order of keys or other documentation.
 *
 * @throws Failure `schema-registry.unreachable` (later), `schema-registry.refused` (no), `schema-registry.missing` (no)
 */
export async function checkSchemaIds(
  options: SchemaRegistryOptions,
  schemas: readonly ReleasedSchema[],
): Promise<SchemaIds> {
  const ask = askerOf(options);
  const ids = new Map<number, number>();
  for (const released of schemas) {
    const subjects = options.subjects ?? [released.subject];
    ids.set(released.id, await findId(ask, subjects, released));
  }
  const released = new Map([...ids].map(([ours, theirs]) => [theirs, ours]));
  return {
    releasedIdOf: (registryId) => released.get(registryId),
    schemaIdOf(releasedId) {
      const id = ids.get(releasedId);
      if (id !== undefined) return id;
      throw new Failure({
        code: 'schema.unknown',
        retry: 'no',
        message: `the schema with the id ${releasedId} was not looked up in the registry`,
      });
    },
  };
}

/** What the registry says of one version. Registries leave `schemaType` out for Avro. */
interface RegisteredVersion {
  readonly id: number;
  readonly schema: string;
  readonly schemaType?: string | null;
}

function isVersions(answer: unknown): answer is number[] {
  return Array.isArray(answer) && answer.every((version) => Number.isInteger(version));
}

function isVersion(answer: unknown): answer is RegisteredVersion {
  if (typeof answer !== 'object' || answer === null) return false;
  const { id, schema } = answer as Partial<RegisteredVersion>;
  // The frame has four bytes for the id.
  return Number.isInteger(id) && id! >= 0 && id! <= 0xffff_ffff && typeof schema === 'string';
}

async function findId(ask: Ask, subjects: readonly string[], released: ReleasedSchema): Promise<number> {
  const wanted = parsingCanonicalForm(released.schema);
  for (const subject of subjects) {
    const path = `/subjects/${encodeURIComponent(subject)}/versions`;
    // The newest first: it is the likeliest.
    const versions = ((await ask(path, isVersions)) ?? []).toReversed();
    for (const version of versions) {
      const found = await ask(`${path}/${version}`, isVersion);
      if (found && isAvro(found) && canonicalOrNone(found.schema) === wanted) return found.id;
    }
  }
  throw new Failure({
    code: 'schema-registry.missing',
    retry: 'no',
    message: `the schema registry does not hold ${released.subject} version ${released.version} under ${subjects.join(' or ')}`,
    mend: `Register schemas/history/ there first, each file with its own POST to /subjects/${subjects[0] ?? released.subject}/versions.`,
  });
}

const isAvro = ({ schemaType }: RegisteredVersion): boolean => (schemaType ?? 'AVRO') === 'AVRO';

/** Undefined for a text that is no Avro schema. */
function canonicalOrNone(schema: string): string | undefined {
  try {
    return parsingCanonicalForm(JSON.parse(schema));
  } catch {
    return undefined;
  }
}

/** Undefined when the registry says that there is no such thing. */
type Ask = <T>(path: string, fits: (answer: unknown) => answer is T) => Promise<T | undefined>;

function askerOf({ url, answerMsMax = 10_000 }: SchemaRegistryOptions): Ask {
  const { base, authorization } = addressOf(url);
  return async (path, fits) => {
    const answer = await fetch(base + path, {
      headers: { accept: 'application/vnd.schemaregistry.v1+json', ...authorization },
      // A redirect would carry the password elsewhere.
      redirect: 'error',
      signal: AbortSignal.timeout(answerMsMax),
    }).catch((error: unknown) => {
      throw unreachable(base, causeOf(error), error);
    });
    if (answer.status === 404) return undefined;
    if (answer.status >= 500 || answer.status === 429) {
      throw unreachable(base, `it answered ${answer.status}`);
    }
    if (!answer.ok) throw refused(base, `it answered ${answer.status}`);
    const body: unknown = await answer.json().catch(() => undefined);
    if (!fits(body)) throw refused(base, `its answer to ${path} is not that of a schema registry`);
    return body;
  };
}

function addressOf(url: string): { base: string; authorization: Record<string, string> } {
  // The text is not repeated: a password may stand in it.
  if (!URL.canParse(url)) throw refused('SCHEMA_REGISTRY_URL', 'it is not a URL');
  const { origin, pathname, username, password } = new URL(url);
  const base = origin + pathname.replace(/\/+$/, '');
  if (username === '') return { base, authorization: {} };
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { base, authorization: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } };
}

/** `fetch` says "fetch failed" and keeps the reason behind it. */
function causeOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}

function unreachable(base: string, because: string, cause?: unknown): Failure {
  return new Failure({
    code: 'schema-registry.unreachable',
    retry: 'later',
    message: `the schema registry at ${base} did not answer: ${because}`,
    mend: 'Check SCHEMA_REGISTRY_URL, and that the registry runs.',
    cause,
  });
}

function refused(base: string, because: string): Failure {
  return new Failure({
    code: 'schema-registry.refused',
    retry: 'no',
    message: `the schema registry at ${base} cannot be used: ${because}`,
    mend: 'Check SCHEMA_REGISTRY_URL; user and password stand in it as http://user:password@host.',
  });
}
