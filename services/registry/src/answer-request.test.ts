import { type ReleasedSchema, SCHEMAS } from '@cairn/event';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { answerRequest } from './answer-request.ts';
import { subjectsOf } from './subjects.ts';

const first = SCHEMAS[0] as ReleasedSchema;
const grown = { ...first.schema, fields: [{ name: 'added', type: 'string', default: '' }] };
const second = { ...first, id: 7, version: 2, schema: grown } as ReleasedSchema;
const subjects = subjectsOf([second, first], ['standard', 'high-risk']);
const TOPIC = 'audit.events.standard-value';

function ask(method: string, address: string, body: unknown = '') {
  const url = new URL(address, 'http://registry');
  const path = url.pathname.split('/').filter((part) => part !== '');
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return answerRequest(subjects, { method, path, query: url.searchParams, body: text });
}
const codeOf = (answer: { body: unknown }): number => (answer.body as { error_code: number }).error_code;
const carrying = (schema: unknown) => ({ schema: JSON.stringify(schema) });

describe('subjects', () => {
  test('each class has a subject by the name of its topic, and the record has its own', () => {
    expect(ask('GET', '/subjects').body).toEqual(['audit.events.high-risk-value', TOPIC, first.subject]);
    expect(ask('GET', '/subjects?subjectPrefix=audit.events.s').body).toEqual([TOPIC]);
  });

  test('versions count the releases in order, whatever their ids', () => {
    expect(ask('GET', `/subjects/${TOPIC}/versions`).body).toEqual([1, 2]);
    expect(ask('GET', `/subjects/${TOPIC}/versions/1`).body).toMatchObject({
      subject: TOPIC,
      id: 1,
      version: 1,
    });
    for (const latest of ['2', 'latest', '-1']) {
      expect(ask('GET', `/subjects/${TOPIC}/versions/${latest}`).body).toMatchObject({ version: 2, id: 7 });
    }
  });

  test('an unknown subject, an unknown version and a version that is none have codes of their own', () => {
    expect(ask('GET', '/subjects/none/versions')).toMatchObject({ status: 404, body: { error_code: 40401 } });
    expect(codeOf(ask('GET', '/subjects/none/versions/1'))).toBe(40401);
    expect(ask('GET', `/subjects/${TOPIC}/versions/3`)).toMatchObject({
      status: 404,
      body: { error_code: 40402 },
    });
    for (const wrong of ['0', '-2', 'newest', '1.5', '2147483648', '99999999999999999999']) {
      expect(ask('GET', `/subjects/${TOPIC}/versions/${wrong}`)).toMatchObject({ status: 422 });
      expect(codeOf(ask('GET', `/subjects/${TOPIC}/versions/${wrong}`))).toBe(42202);
    }
  });
});

describe('schemas by id', () => {
  test('the text of a schema is the released one', () => {
    const { schema } = ask('GET', '/schemas/ids/1').body as { schema: string };
    expect(JSON.parse(schema)).toEqual(first.schema);
    expect(ask('GET', '/schemas/ids/1/schema').body).toEqual(first.schema);
  });

  test('an id names every subject that has it', () => {
    expect(ask('GET', '/schemas/ids/7/versions').body).toEqual([
      { subject: TOPIC, version: 2 },
      { subject: 'audit.events.high-risk-value', version: 2 },
      { subject: first.subject, version: 2 },
    ]);
  });

  test('an id that no release has is not found', () => {
    for (const id of ['2', '0', 'x', '-1']) expect(codeOf(ask('GET', `/schemas/ids/${id}`))).toBe(40403);
  });
});

describe('looking a schema up', () => {
  test('a schema is found by what it writes, without its documentation', () => {
    const bare = { ...first.schema, doc: undefined };
    expect(ask('POST', `/subjects/${TOPIC}`, carrying(bare)).body).toMatchObject({ id: 1, version: 1 });
    expect(ask('POST', `/subjects/${TOPIC}`, carrying(grown)).body).toMatchObject({ id: 7, version: 2 });
  });

  test('a schema that was never released is not found', () => {
    const other = { ...grown, name: 'Other' };
    expect(codeOf(ask('POST', `/subjects/${TOPIC}`, carrying(other)))).toBe(40403);
    expect(codeOf(ask('POST', '/subjects/none', carrying(grown)))).toBe(40401);
  });

  test('what is not an Avro schema is refused as such', () => {
    expect(codeOf(ask('POST', `/subjects/${TOPIC}`, { schema: '{' }))).toBe(42201);
    expect(codeOf(ask('POST', `/subjects/${TOPIC}`, { schema: 'null' }))).toBe(42201);
    expect(codeOf(ask('POST', `/subjects/${TOPIC}`, { schema: '[]', schemaType: 'PROTOBUF' }))).toBe(42201);
    expect(codeOf(ask('POST', `/subjects/${TOPIC}`, {}))).toBe(42201);
    expect(codeOf(ask('POST', `/subjects/${TOPIC}`, 'no json'))).toBe(400);
    expect(codeOf(ask('POST', `/subjects/${TOPIC}`, { schema: '['.repeat(200_000) }))).toBe(42201);
  });
});

describe('writing', () => {
  test('nothing can be registered, changed or deleted', () => {
    const writes = [
      ask('POST', `/subjects/${TOPIC}/versions`, carrying({ ...grown, name: 'Other' })),
      ask('POST', '/subjects/new-value/versions', carrying({ ...grown, name: 'Other' })),
      ask('DELETE', `/subjects/${TOPIC}`),
      ask('DELETE', `/subjects/${TOPIC}/versions/1`),
      ask('PUT', '/config', { compatibility: 'NONE' }),
      ask('PUT', '/mode', { mode: 'READWRITE' }),
    ];
    for (const write of writes) expect(write).toMatchObject({ status: 422, body: { error_code: 42205 } });
  });

  test('registering what is released already gives its id, so a serializer that registers first works', () => {
    expect(ask('POST', `/subjects/${TOPIC}/versions`, carrying(first.schema))).toEqual({
      status: 200,
      body: { id: 1 },
    });
  });
});

describe('settings', () => {
  test('the registry says that it is read-only and what changes are held to', () => {
    expect(ask('GET', '/mode').body).toEqual({ mode: 'READONLY' });
    expect(ask('GET', '/config').body).toEqual({ compatibilityLevel: 'BACKWARD_TRANSITIVE' });
    expect(ask('GET', '/schemas/types').body).toEqual(['AVRO']);
  });

  test('a subject has no settings of its own and falls back when the client asks for it', () => {
    expect(codeOf(ask('GET', `/config/${TOPIC}`))).toBe(40408);
    expect(codeOf(ask('GET', `/mode/${TOPIC}`))).toBe(40409);
    expect(ask('GET', `/mode/${TOPIC}?defaultToGlobal=true`).body).toEqual({ mode: 'READONLY' });
  });
});

test('whatever is asked, the answer is a status and a body', () => {
  const word = fc.constantFrom(
    'subjects',
    'schemas',
    'ids',
    'versions',
    'config',
    'mode',
    '1',
    'latest',
    TOPIC,
  );
  const path = fc.array(fc.oneof(word, fc.string()), { maxLength: 6 });
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH');
  fc.assert(
    fc.property(method, path, fc.oneof(fc.string(), fc.json()), (asked, parts, body) => {
      const query = new URLSearchParams();
      const answer = answerRequest(subjects, { method: asked, path: parts, query, body });
      expect([200, 400, 404, 422]).toContain(answer.status);
      expect(answer.body).toBeDefined();
    }),
  );
});
