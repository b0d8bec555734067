/**
 * The read side of the Confluent Schema Registry API, as its reference describes it:
 * https://docs.confluent.io/platform/current/schema-registry/develop/api.html
 *
 * Released schemas are files of this repository and never change, so the registry is in mode READONLY and every write is
 * refused with the code that a registry in that mode gives.
 */
import { parsingCanonicalForm } from '@cairn/event';
import { z } from 'zod';
import type { Subjects, Version } from './subjects.ts';

export interface RegistryRequest {
  readonly method: string;
  /** Decoded parts of the path: `/subjects/a%2Fb` is `['subjects', 'a/b']`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  /** Text of the body; empty when there was none. */
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** New readers read what every older release wrote; that is what a change of the schema is held to. */
const COMPATIBILITY = 'BACKWARD_TRANSITIVE';

/** Answers one request, whatever it holds. */
export function answerRequest(subjects: Subjects, request: RegistryRequest): Answer {
  try {
    const { method, path } = request;
    if (method === 'GET' || method === 'HEAD') return read(subjects, request);
    if (method === 'POST' && path[0] === 'subjects' && path[1] !== undefined) {
      if (path.length === 2) return lookUp(subjects, path[1], request.body);
      if (path.length === 3 && path[2] === 'versions') return register(subjects, path[1], request.body);
    }
    if (isWrite(method, path)) throw new Refusal(42205, `${path[1] ?? 'The registry'} is in read-only mode`);
    throw NOT_FOUND;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { status: error.status, body: { error_code: error.code, message: error.message } };
  }
}

function read(subjects: Subjects, { path, query }: RegistryRequest): Answer {
  const [collection, first, second, third, fourth] = path;
  const few = path.length;
  switch (collection) {
    case undefined:
      return ok({});
    case 'subjects':
      if (few === 1) return ok(namesWith(subjects, query.get('subjectPrefix') ?? ''));
      if (second !== 'versions' || first === undefined || few > 5) break;
      if (third === undefined) return ok(versionsOf(subjects, first).map(({ version }) => version));
      if (few === 4) return ok(described(versionOf(subjects, first, third)));
      if (fourth === 'schema') return ok(JSON.parse(versionOf(subjects, first, third).schema));
      if (fourth === 'referencedby') return ok(versionOf(subjects, first, third) && []);
      break;
    case 'schemas':
      if (first === 'types' && few === 2) return ok(['AVRO']);
      if (first !== 'ids' || second === undefined || few > 4) break;
      return readById(withId(subjects, second), third);
    case 'config':
      return ofSubject(path, query, { compatibilityLevel: COMPATIBILITY }, (subject) => {
        return new Refusal(
          40408,
          `Subject '${subject}' does not have subject-level compatibility configured`,
        );
      });
    case 'mode':
      return ofSubject(path, query, { mode: 'READONLY' }, (subject) => {
        return new Refusal(40409, `Subject '${subject}' does not have subject-level mode configured`);
      });
  }
  throw NOT_FOUND;
}

function readById(found: readonly Version[], what: string | undefined): Answer {
  const schema = found[0]?.schema ?? '';
  switch (what) {
    case undefined:
      return ok({ schema });
    case 'schema':
      return ok(JSON.parse(schema));
    case 'versions':
      return ok(found.map(({ subject, version }) => ({ subject, version })));
    case 'subjects':
      return ok(found.map(({ subject }) => subject));
    default:
      throw NOT_FOUND;
  }
}

/** Settings are the registry's own and no subject has others; a client asks for the fallback with `defaultToGlobal`. */
function ofSubject(
  path: readonly string[],
  query: URLSearchParams,
  setting: object,
  none: (subject: string) => Refusal,
): Answer {
  if (path.length > 2) throw NOT_FOUND;
  if (path[1] !== undefined && query.get('defaultToGlobal') !== 'true') throw none(path[1]);
  return ok(setting);
}

/** `POST /subjects/:subject`: under which id and version is this schema known? */
function lookUp(subjects: Subjects, subject: string, body: string): Answer {
  const versions = versionsOf(subjects, subject);
  const found = sameAs(versions, schemaIn(body));
  if (!found) throw new Refusal(40403, 'Schema not found');
  return ok(described(found));
}

/**
 * `POST /subjects/:subject/versions`: to register what is registered already changes nothing and gives its id, in this
 * mode as well, so a serializer that registers before it sends works with released schemas.
 */
function register(subjects: Subjects, subject: string, body: string): Answer {
  const known = sameAs(subjects.versionsOf(subject) ?? [], schemaIn(body));
  if (!known) throw new Refusal(42205, `Subject ${subject} is in read-only mode`);
  return ok({ id: known.id });
}

const registration = z.object({
  schema: z.string(),
  schemaType: z.string().nullish(),
  references: z.array(z.unknown()).nullish(),
});

/** The canonical form of the schema that a request carries: schemas of one canonical form write the same bytes. */
function schemaIn(body: string): string {
  const parsed = registration.safeParse(jsonOf(body));
  if (!parsed.success) throw new Refusal(42201, 'The request holds no schema');
  const { schema, schemaType, references } = parsed.data;
  if ((schemaType ?? 'AVRO') !== 'AVRO') throw new Refusal(42201, `Invalid schema type ${schemaType}`);
  if ((references ?? []).length > 0) throw new Refusal(42201, 'No released schema has references');
  try {
    return parsingCanonicalForm(JSON.parse(schema));
  } catch {
    throw new Refusal(42201, 'Invalid schema: it is not Avro');
  }
}

function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new Refusal(400, 'The body is not JSON');
  }
}

function sameAs(versions: readonly Version[], canonical: string): Version | undefined {
  return versions.findLast((version) => version.canonical === canonical);
}

function namesWith(subjects: Subjects, prefix: string): string[] {
  // `:*:` is how clients ask for the subjects of every context; there is one.
  const wanted = prefix === ':*:' ? '' : prefix;
  return subjects.names.filter((name) => name.startsWith(wanted));
}

function versionsOf(subjects: Subjects, subject: string): readonly Version[] {
  const versions = subjects.versionsOf(subject);
  if (!versions) throw new Refusal(40401, `Subject '${subject}' not found.`);
  return versions;
}

function versionOf(subjects: Subjects, subject: string, wanted: string): Version {
  const versions = versionsOf(subjects, subject);
  const number = wanted === 'latest' || wanted === '-1' ? versions.length : wholeNumber(wanted);
  if (number === undefined) {
    throw new Refusal(
      42202,
      `The specified version '${wanted}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string "latest"`,
    );
  }
  const version = versions[number - 1];
  if (!version) throw new Refusal(40402, `Version ${number} not found.`);
  return version;
}

function withId(subjects: Subjects, text: string): readonly Version[] {
  const id = wholeNumber(text);
  const found = id === undefined ? [] : subjects.withId(id);
  if (found.length === 0) throw new Refusal(40403, `Schema ${text} not found`);
  return found;
}

/** 1 to 2^31-1, or undefined. */
function wholeNumber(text: string): number | undefined {
  const number = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined;
  return number !== undefined && number < 2 ** 31 ? number : undefined;
}

function described({ subject, version, id, schema }: Version): object {
  return { subject, version, id, schema };
}

function isWrite(method: string, [collection]: readonly string[]): boolean {
  const writable = collection === 'subjects' || collection === 'config' || collection === 'mode';
  return writable && ['POST', 'PUT', 'DELETE'].includes(method);
}

/** An answer of the registry that says no. Codes of five digits begin with the HTTP status. */
class Refusal extends Error {
  readonly code: number;
  readonly status: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
    this.status = code > 999 ? Math.floor(code / 100) : code;
  }
}

const NOT_FOUND = new Refusal(404, 'HTTP 404 Not Found');

const ok = (body: unknown): Answer => ({ status: 200, body });
