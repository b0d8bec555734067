import { checkSchemaIds } from '@cairn/adapters';
import { SCHEMAS } from '@cairn/event';
import { createMetrics } from '@cairn/runtime';
import { describe, expect, test } from '@jest/globals';
import { readRegistryConfig } from './config.ts';
import { createRegistry } from './registry.ts';

const config = readRegistryConfig({ CAIRN_REGISTRY_PORT: '0', CAIRN_REGISTRY_HEALTH_PORT: '0' });
const open = () => createRegistry(config, { metrics: createMetrics('registry') });
const TYPE = 'application/vnd.schemaregistry.v1+json';

describe('the registry over HTTP', () => {
  test('a reader goes from the id in a frame to the schema that wrote it', async () => {
    await using registry = await open();
    const answer = await fetch(`http://127.0.0.1:${registry.port}/schemas/ids/1`, {
      headers: { accept: TYPE },
    });
    expect(answer.headers.get('content-type')).toBe(TYPE);
    expect(JSON.parse(((await answer.json()) as { schema: string }).schema)).toEqual(SCHEMAS[0]?.schema);
  });

  test('our own client finds every released schema under its own id', async () => {
    await using registry = await open();
    const ids = await checkSchemaIds({ url: `http://127.0.0.1:${registry.port}` }, SCHEMAS);
    expect(SCHEMAS.map(({ id }) => ids.schemaIdOf(id))).toEqual(SCHEMAS.map(({ id }) => id));
  });

  test('errors carry the registry type, its code and the HTTP status that belongs to it', async () => {
    await using registry = await open();
    const answer = await fetch(`http://127.0.0.1:${registry.port}/subjects/none/versions`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, TYPE]);
    expect(await answer.json()).toEqual({ error_code: 40401, message: "Subject 'none' not found." });
  });

  test('a subject may be percent-encoded, and an encoding that is none is a bad request', async () => {
    await using registry = await open();
    const address = `http://127.0.0.1:${registry.port}/subjects`;
    expect((await fetch(`${address}/audit%2Eevents%2Estandard-value/versions`)).status).toBe(200);
    expect((await fetch(`${address}/%ff/versions`)).status).toBe(400);
  });

  test('a body beyond the limit is refused and the next request is answered', async () => {
    await using registry = await open();
    const address = `http://127.0.0.1:${registry.port}/subjects`;
    const body = 'x'.repeat(2 * 1024 ** 2);
    expect((await fetch(`${address}/a`, { method: 'POST', body })).status).toBe(413);
    expect((await fetch(address)).status).toBe(200);
  });

  test('it is ready and counts what it answered', async () => {
    await using registry = await open();
    await fetch(`http://127.0.0.1:${registry.port}/mode`);
    const health = `http://127.0.0.1:${registry.healthPort}`;
    expect((await fetch(`${health}/readyz`)).status).toBe(200);
    expect(await (await fetch(`${health}/metrics`)).text()).toContain(
      'cairn_registry_requests_total{status="200"} 1',
    );
  });

  test('a class that cannot name a topic stops the start with its name', async () => {
    const wrong = { ...config, classes: ['Standard!'] };
    await expect(createRegistry(wrong, { metrics: createMetrics('registry') })).rejects.toThrow(/Standard!/);
  });
});
