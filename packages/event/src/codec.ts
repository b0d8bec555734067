import { Failure } from '@cairn/failure';
import avsc, { type Schema, type Type } from 'avsc';
import { type IntegrityField, writeBody, writeIntegrity } from './encode.gen.ts';
import { copyUpTo, encoded } from './encode-steps.ts';
import { AUDIT_EVENT_SCHEMA_ID, type AuditEvent, SCHEMAS } from './event.gen.ts';
import { releasedSchema } from './schemas.ts';
import { walkDatum } from './walk.ts';

const types = new Map<number, Type>();
const resolvers = new Map<number, ReturnType<Type['createResolver']>>();

function typeOf(schemaId: number): Type {
  let type = types.get(schemaId);
  if (type === undefined) {
    type = avsc.Type.forSchema(releasedSchema(schemaId).schema as unknown as Schema, { wrapUnions: 'never' });
    types.set(schemaId, type);
  }
  return type;
}

/** Fields whose Avro type holds raw bytes; avsc gives them as Buffers. */
const BYTE_FIELDS = (SCHEMAS.at(-1)?.schema.fields ?? [])
  .filter((field) => /"(fixed|bytes|Id16|Hash32|SpanId8|Signature64)"/.test(JSON.stringify(field.type)))
  .map((field) => field.name as keyof AuditEvent);

/**
 * The datum of an event: Avro binary in canonical form under today's schema, which the walk passes.
 *
 * @throws Failure `event.invalid` when a value does not fit the schema, `event.too-large` beyond 61,430 bytes.
 */
export function encodeDatum(event: AuditEvent): Uint8Array {
  return copyUpTo(writeIntegrity(writeBody(0, event), event));
}

/**
 * The same of a draft that is encoded already (`encodeDraft`), at its place in a stream.
 *
 * @throws Failure as `encodeDatum`.
 */
export function datumAt(body: Uint8Array, place: Pick<AuditEvent, IntegrityField>): Uint8Array {
  return copyUpTo(writeIntegrity(encoded(0, body), place));
}

/**
 * The event of a datum. Fields that the writer's schema did not have yet get their defaults, enum symbols that today's
 * schema does not know become the enum's default.
 *
 * @param schemaId schema that the datum was written with.
 * @throws Failure `datum.invalid` when the datum is not one event in canonical form.
 */
export function decodeDatum(datum: Uint8Array, schemaId: number = AUDIT_EVENT_SCHEMA_ID): AuditEvent {
  const walked = walkDatum(datum, schemaId);
  if (!walked.ok) {
    throw new Failure({
      code: 'datum.invalid',
      retry: 'no',
      message: `the datum is not one event in canonical form: ${walked.reason} at byte ${walked.at} in ${walked.field || 'its length'}`,
    });
  }
  const writer = typeOf(schemaId);
  let resolver = resolvers.get(schemaId);
  if (resolver === undefined && schemaId !== AUDIT_EVENT_SCHEMA_ID) {
    resolver = typeOf(AUDIT_EVENT_SCHEMA_ID).createResolver(writer);
    resolvers.set(schemaId, resolver);
  }
  const value = typeOf(AUDIT_EVENT_SCHEMA_ID).fromBuffer(bufferOf(datum), resolver) as object;
  const record: Record<string, unknown> = { ...value };
  for (const name of BYTE_FIELDS) {
    const bytes = record[name];
    if (bytes instanceof Uint8Array) record[name] = new Uint8Array(bytes);
  }
  return record as unknown as AuditEvent;
}

/** A Buffer over the same bytes. */
const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
