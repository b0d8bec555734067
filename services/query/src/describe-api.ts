import { VERSION } from '@cairn/runtime';
import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiObject,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
} from 'zod-openapi';
import { PROBLEMS, problemSchema } from './problem.ts';
import { IF_MATCH_MAX, type Route } from './route.ts';
import { ROUTES } from './routes.ts';
import { TAIL_CURSOR_MAX } from './tail-cursor.ts';

type Document = ReturnType<typeof createDocument>;
let document: Document | undefined;

/** OpenAPI 3.1, out of the schemas that validate requests and answers: it cannot say something else than what is done. */
export function openApiOf(): Document {
  document ??= createDocument({
    openapi: '3.1.0',
    info: {
      title: 'Cairn query API',
      version: VERSION,
      description:
        'The audit trail of one organisation: found, followed, counted, exported. Each request is itself an event of the trail.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key, or an OIDC token.' },
      },
    },
    paths: pathsOf(ROUTES),
  } satisfies ZodOpenApiObject);
  return document;
}

function pathsOf(routes: readonly Route[]): ZodOpenApiPathsObject {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    paths[route.path]![route.method] = operationOf(route);
  }
  return paths;
}

function operationOf(route: Route): ZodOpenApiOperationObject {
  const { id, summary, roles, scope, parameters, query, body, response, streams } = route;
  const status = route.creates === true ? '201' : route.method === 'delete' ? '204' : '200';
  const codes = new Set<number>(
    Object.values(PROBLEMS)
      .map(([number]) => number)
      .filter((number) => number !== 405 && !SOMETIMES.has(number)),
  );
  if (parameters !== undefined) codes.add(404);
  if (route.creates === true) codes.add(409);
  if (route.mayLack === true) for (const number of [404, 409]) codes.add(number);
  if (route.ifMatch !== undefined) codes.add(412);
  if (route.ifMatch === 'required') codes.add(428);
  const header = headersOf(route);
  const answerHeaders = answerHeadersOf(route);
  const problems = Object.fromEntries(
    [...codes].map((number) => [
      String(number),
      {
        description: 'Problem (RFC 9457)',
        content: { 'application/problem+json': { schema: problemSchema } },
      },
    ]),
  );
  const content =
    streams === undefined
      ? { 'application/json': { schema: response } }
      : Object.fromEntries(streams.map((type) => [type, { schema: response }]));
  return {
    operationId: id,
    summary,
    description: `Roles: ${roles.join(', ')}. Scope: ${scope}.`,
    tags: [route.path.split('/')[2] ?? ''],
    requestParams: {
      ...(parameters && { path: parameters }),
      ...(query && { query }),
      ...(header && { header }),
    },
    ...(body && { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      [status]:
        status === '204'
          ? { description: 'Done' }
          : { description: 'The answer', ...(answerHeaders && { headers: answerHeaders }), content },
      ...problems,
    },
  };
}

const SOMETIMES: ReadonlySet<number> = new Set([404, 409, 412, 428]);

function headersOf({ creates, ifMatch, goesOn }: Route): z.ZodObject | undefined {
  if (goesOn === true)
    return z.object({
      'Last-Event-ID': z
        .string()
        .max(TAIL_CURSOR_MAX)
        .optional()
        .describe('`id` of the last event that came: it goes on behind it, each event once.'),
    });
  if (creates === true)
    return z.object({
      'Idempotency-Key': z
        .string()
        .min(8)
        .max(255)
        .optional()
        .describe('Sent again with the same one, a request is answered as it was and creates nothing again.'),
    });
  if (ifMatch === undefined) return undefined;
  const version = z.string().max(IF_MATCH_MAX).describe('ETag of the version that is changed.');
  return z.object({ 'If-Match': ifMatch === 'required' ? version : version.optional() });
}

/** What stands in the headers of an export, since its body may have no place for it. */
function answerHeadersOf({ isResumable }: Route): z.ZodObject | undefined {
  if (isResumable !== true) return undefined;
  return z.object({
    'Cairn-Start': z
      .string()
      .describe(
        'Cursor of the beginning. What was cut off goes on with `after`: this one, its `at` replaced.',
      ),
    'Cairn-Count': z.int().describe('Rows that there were when it began. With fewer it is not whole.'),
    'Cairn-Hot-From': z
      .string()
      .optional()
      .describe('First day that ClickHouse holds, which alone is asked.'),
  });
}

/** A page for people, out of the same description. No script, nothing from elsewhere. */
export function referencePage(): string {
  const { info, paths = {} } = openApiOf();
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    (['get', 'post', 'put', 'delete'] as const).flatMap((method) => {
      const operation = item?.[method];
      if (operation === undefined) return [];
      const parameters = (operation.parameters ?? []) as {
        name: string;
        in: string;
        required?: boolean;
        description?: string;
        schema?: { description?: string; default?: unknown; enum?: unknown[] };
      }[];
      const rows = parameters.map(({ name, in: where, required, description, schema }) => {
        const more = [
          schema?.enum && `one of ${schema.enum.join(', ')}`,
          schema?.default !== undefined && `default ${String(schema.default)}`,
        ];
        const text = [description ?? schema?.description ?? '', ...more.filter(Boolean)]
          .filter(Boolean)
          .join('; ');
        return `<tr><td><code>${escaped(name)}</code></td><td>${where}${required ? ', required' : ''}</td><td>${escaped(text)}</td></tr>`;
      });
      const body = operation.requestBody as Content | undefined;
      const [answered] = Object.entries(operation.responses ?? {}).find(([status]) => status < '300') ?? [];
      const answer = operation.responses?.[answered ?? ''] as Content | undefined;
      return [
        `<h2 id="${operation.operationId}"><code>${method.toUpperCase()} ${escaped(path)}</code></h2><p>${escaped(operation.summary ?? '')} ${escaped(operation.description ?? '')}</p>`,
        rows.length === 0
          ? ''
          : `<table><tr><th>Parameter</th><th>In</th><th>What</th></tr>${rows.join('')}</table>`,
        contentTable('Body', body),
        contentTable(`Answer ${answered}`, answer),
      ];
    }),
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escaped(info.title)}</title><link rel="stylesheet" href="/reference.css"><h1>${escaped(info.title)} ${escaped(info.version)}</h1><p>${escaped(info.description ?? '')} <a href="/openapi.json">openapi.json</a></p>${operations.join('\n')}</html>\n`;
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema?: Shape }>>;
}
interface Shape {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Shape[];
  readonly allOf?: readonly Shape[];
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly description?: string;
}

/** The members of a body or an answer, and of the records within. */
function contentTable(heading: string, { content = {} }: Content = {}): string {
  const types = Object.keys(content);
  if (types.length === 0) return '';
  const rows = membersOf(Object.values(content)[0]?.schema ?? {}, '', 0);
  const title = `<h3>${escaped(heading)}: ${types.map((type) => `<code>${escaped(type)}</code>`).join(', ')}</h3>`;
  if (rows.length === 0) return title;
  return `${title}<table><tr><th>Member</th><th>Type</th><th>What</th></tr>${rows.join('')}</table>`;
}

/** An event's fields stand in its own schema; deeper than this nothing else lies. */
const DEPTH_MAX = 3;

function membersOf(given: Shape, within: string, depth: number): string[] {
  const shape = withoutNull(given);
  if (shape.items !== undefined) return membersOf(shape.items, `${within}[]`, depth);
  if (depth === DEPTH_MAX) return [];
  return Object.entries(shape.properties ?? {}).flatMap(([name, member]) => {
    const path = within === '' ? name : `${within}.${name}`;
    const isOptional = shape.required?.includes(name) !== true;
    return [
      `<tr><td><code>${escaped(path)}</code></td><td>${escaped(typeText(member))}${isOptional ? ', optional' : ''}</td><td>${escaped(withoutNull(member).description ?? member.description ?? '')}</td></tr>`,
      ...membersOf(member, path, depth + 1),
    ];
  });
}

/** What a reference names, or the one branch that is not null. */
function withoutNull(shape: Shape): Shape {
  const { $ref, anyOf, allOf } = shape;
  if ($ref !== undefined) {
    const schemas = (openApiOf().components?.schemas ?? {}) as Readonly<Record<string, Shape>>;
    return withoutNull(schemas[$ref.split('/').at(-1) ?? ''] ?? {});
  }
  const [branch, ...others] = (anyOf ?? allOf ?? []).filter(({ type }) => type !== 'null');
  return branch === undefined || others.length > 0 ? shape : withoutNull(branch);
}

function typeText(shape: Shape): string {
  const { type, items, enum: values, anyOf } = shape.$ref === undefined ? shape : withoutNull(shape);
  if (values !== undefined) return values.map(String).join(' | ');
  if (items !== undefined) return `list of ${typeText(items)}`;
  if (anyOf !== undefined) return anyOf.map(typeText).join(' or ');
  return Array.isArray(type) ? type.join(' or ') : String(type ?? 'anything');
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
