import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ReleasedSchema, SCHEMAS } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import { checkSchemaIds, frameIdsAt } from './schema-registry.ts';

const released = SCHEMAS[0] as ReleasedSchema;
const other = { type: 'record', name: 'Other', namespace: 'cairn', fields: [] };

interface Registered {
  readonly id: number;
  readonly schema: unknown;
  readonly schemaType?: string;
}

/** A registry that holds these versions, rising, and answers like Confluent's. */
async function registryOf(
  subjects: Readonly<Record<string, readonly Registered[]>>,
  credentials?: string,
): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((request, response) => {
    const given = request.headers.authorization;
    const wanted = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
    const [, , subject, , version] = decodeURIComponent(request.url ?? '').split('/');
    const versions = subjects[subject ?? ''];
    const one = versions?.[Number(version) - 1];
    const body = version === undefined ? versions?.map((_, index) => index + 1) : one && described(one);
    const status = given !== wanted ? 401 : body === undefined ? 404 : 200;
    response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' });
    response.end(JSON.stringify(status === 200 ? body : { error_code: status, message: 'no' }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function described({ id, schema, schemaType }: Registered): object {
  const text = typeof schema === 'string' ? schema : JSON.stringify(schema);
  return { id, schema: text, ...(schemaType ? { schemaType } : {}) };
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error) => (isFailure(error) ? error.code : String(error)),
  );

describe('schema ids of a registry outside', () => {
  test('our schema is found under the id of the registry, between versions that are not ours', async () => {
    const versions = [
      { id: 90, schema: other },
      { id: 91, schema: released.schema },
      { id: 92, schema: 'message X {}', schemaType: 'PROTOBUF' },
    ];
    await using registry = await registryOf({ [released.subject]: versions });
    const ids = await checkSchemaIds({ url: registry.url }, SCHEMAS);
    expect(ids.schemaIdOf(released.id)).toBe(91);
    expect(() => ids.schemaIdOf(77)).toThrow(/77/);
  });

  test('a writer puts the registry’s id before a datum that it does not touch, and ours where there is no registry', async () => {
    const versions = [{ id: 0x01020304, schema: released.schema }];
    await using registry = await registryOf({ [released.subject]: versions });
    const written: number[][] = [];
    const log = {
      append: async (_topic: string, _partition: number, values: readonly Uint8Array[]) =>
        void written.push(...values.map((value) => [...value])),
    };
    const frame = Uint8Array.of(0, 0, 0, 0, released.id, 7, 8, 9);
    for (const url of [registry.url, undefined])
      await (await frameIdsAt(url, SCHEMAS)).under(log).append('t', 0, [frame]);
    expect(written).toEqual([
      [0, 1, 2, 3, 4, 7, 8, 9],
      [0, 0, 0, 0, released.id, 7, 8, 9],
    ]);
  });

  test('a schema without its documentation and with another order of keys is the same', async () => {
    const reordered = Object.fromEntries(Object.entries({ ...released.schema, doc: '' }).reverse());
    await using registry = await registryOf({ [released.subject]: [{ id: 5, schema: reordered }] });
    expect((await checkSchemaIds({ url: `${registry.url}/` }, SCHEMAS)).schemaIdOf(released.id)).toBe(5);
  });

  test('a schema with one more field is another one', async () => {
    const fields = [...released.schema.fields, { name: 'more', type: 'int', default: 0 }];
    const grown = { ...released.schema, fields };
    await using registry = await registryOf({ [released.subject]: [{ id: 5, schema: grown }] });
    expect(await codeOf(checkSchemaIds({ url: registry.url }, SCHEMAS))).toBe('schema-registry.missing');
  });

  test('further subjects are looked under in turn', async () => {
    await using registry = await registryOf({ 'b-value': [{ id: 6, schema: released.schema }] });
    const options = { url: registry.url, subjects: ['a-value', 'b-value'] };
    expect((await checkSchemaIds(options, SCHEMAS)).schemaIdOf(released.id)).toBe(6);
  });

  test('a registry without the schema is a failure that says what to register where', async () => {
    await using registry = await registryOf({});
    await expect(checkSchemaIds({ url: registry.url }, SCHEMAS)).rejects.toMatchObject({
      code: 'schema-registry.missing',
      retry: 'no',
      mend: expect.stringContaining(`/subjects/${released.subject}/versions`),
    });
  });

  test('user and password of the address are sent, and never shown', async () => {
    await using registry = await registryOf(
      { [released.subject]: [{ id: 8, schema: released.schema }] },
      'ana:s3cr:t',
    );
    const right = registry.url.replace('http://', 'http://ana:s3cr%3At@');
    expect((await checkSchemaIds({ url: right }, SCHEMAS)).schemaIdOf(released.id)).toBe(8);
    const wrong = checkSchemaIds({ url: registry.url.replace('http://', 'http://ana:planted@') }, SCHEMAS);
    await expect(wrong).rejects.toMatchObject({
      code: 'schema-registry.refused',
      message: expect.not.stringContaining('planted'),
    });
    await expect(checkSchemaIds({ url: 'http//ana:planted@host' }, SCHEMAS)).rejects.toMatchObject({
      message: expect.not.stringContaining('planted'),
    });
  });

  test('no answer is a failure to try again later, an answer of something else is not', async () => {
    const gone = await registryOf({});
    await gone[Symbol.asyncDispose]();
    await expect(checkSchemaIds({ url: gone.url }, SCHEMAS)).rejects.toMatchObject({
      code: 'schema-registry.unreachable',
      retry: 'later',
    });
    await using page = await registryOf({ [released.subject]: [{ id: -1, schema: 'x' }] });
    expect(await codeOf(checkSchemaIds({ url: page.url }, SCHEMAS))).toBe('schema-registry.refused');
  });
});
