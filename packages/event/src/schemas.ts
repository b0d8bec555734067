import { Failure } from '@cairn/failure';
import { AUDIT_EVENT_SCHEMA_ID, type ReleasedSchema, SCHEMAS } from './event.gen.ts';

const byId = new Map(SCHEMAS.map((schema) => [schema.id, schema]));

/** The released schema of this id, or undefined when no release has it. */
export function schemaById(id: number): ReleasedSchema | undefined {
  return byId.get(id);
}

/**
 * The released schema of this id.
 *
 * @throws Failure `schema.unknown`
 */
export function releasedSchema(id: number): ReleasedSchema {
  const schema = byId.get(id);
  if (schema !== undefined) return schema;
  throw new Failure({
    code: 'schema.unknown',
    retry: 'no',
    message: `no released schema has the id ${id}; the newest is ${AUDIT_EVENT_SCHEMA_ID}`,
    mend: 'Upgrade this service to a release that knows the schema.',
  });
}
