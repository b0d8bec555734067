import { createServer } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { serveHealth } from './health.ts';
import { createMetrics } from './metrics.ts';

const facts = { service: 'test', version: '1.2.3', port: 0 };

describe('the health server', () => {
  test('readiness follows the dependencies while liveness does not', async () => {
    let ok = true;
    await using server = await serveHealth({
      ...facts,
      metrics: createMetrics('test'),
      ready: async () => ({ ok, checks: { kafka: ok ? 'ok' : 'no answer' } }),
    });
    const status = async (path: string) => (await fetch(`http://127.0.0.1:${server.port}${path}`)).status;
    expect(await status('/readyz')).toBe(200);
    ok = false;
    expect(await status('/readyz')).toBe(503);
    expect(await status('/livez')).toBe(200);
    expect(await status('/constructor')).toBe(404);
  });

  test('metrics carry the service in their name and counters end in _total', async () => {
    const metrics = createMetrics('test');
    metrics.counter('events_loaded_total', 'Events loaded.', ['topic']).add(3, { topic: 'a' });
    await using server = await serveHealth({
      ...facts,
      metrics,
      ready: async () => ({ ok: true, checks: {} }),
    });
    const page = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
    expect(page).toContain('cairn_test_events_loaded_total{topic="a"} 3');
  });

  test('a port that is taken is one clear failure', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const { port } = holder.address() as { port: number };
    const opening = serveHealth({
      ...facts,
      port,
      metrics: createMetrics('test'),
      ready: async () => ({ ok: true, checks: {} }),
    });
    await expect(opening).rejects.toMatchObject({ code: 'port.taken' });
    holder.close();
  });
});
