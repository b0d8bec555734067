import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A field of a mapping of Elasticsearch. */
interface Field {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Field>>;
}

const published = (file: string): Field =>
  JSON.parse(readFileSync(join(import.meta.dirname, 'published', file), 'utf8'));
const own = JSON.parse(
  readFileSync(
    join(import.meta.dirname, '..', '..', '..', 'schemas', 'siem', 'elastic-component.json'),
    'utf8',
  ),
);
const ecs: Field = published('ecs-9.4.0.json');
const mapping: Field = {
  properties: { ...ecs.properties, ...own.template.mappings.properties },
};

/** What Elasticsearch would refuse of a document under the published mapping if it took no other fields: `dynamic: strict`. */
export function ecsMistakes(document: unknown): string[] {
  return mistakesAt(mapping, document, '');
}

function mistakesAt(field: Field, value: unknown, path: string): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => mistakesAt(field, item, path));
  if (field.properties !== undefined) {
    if (typeof value !== 'object' || value === null) return [`${path}: is no object`];
    return Object.entries(value).flatMap(([name, inner]) => {
      const own = Object.hasOwn(field.properties!, name) ? field.properties![name] : undefined;
      const place = path === '' ? name : `${path}.${name}`;
      return own === undefined ? [`${place}: is not in the mapping`] : mistakesAt(own, inner, place);
    });
  }
  const fits = {
    keyword: typeof value === 'string' && Buffer.byteLength(value) <= 32_766,
    match_only_text: typeof value === 'string',
    long: Number.isSafeInteger(value),
    date: typeof value === 'string' && !Number.isNaN(Date.parse(value)),
  }[field.type ?? ''];
  return fits === true ? [] : [`${path}: ${JSON.stringify(value)?.slice(0, 60)} is no ${field.type}`];
}
