import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, type ServiceProcess, startServiceProcess } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { brokenStreams, drained, PARTITIONS, type Rig, rowsOf, startRig } from './rig.ts';

const KILLS = 20;
const CREDENTIAL = 'agent-under-load';

/** A server that answers every call at once and remembers which it was asked. */
async function startUpstream(): Promise<{ url: string; asked: Set<string>; close(): Promise<void> }> {
  const asked = new Set<string>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { id, params } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
      id: number;
      params: { arguments: { call: string } };
    };
    asked.add(params.arguments.call);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({
        jsonrpc: '2.0',
        id,
        result: { content: [{ type: 'text', text: params.arguments.call }] },
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    asked,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

describe('the gateway under load', () => {
  let rig: Rig;
  let gateway: ServiceProcess;
  let upstream: Awaited<ReturnType<typeof startUpstream>>;
  let url: string;
  let call = 0;

  beforeAll(async () => {
    rig = await startRig();
    upstream = await startUpstream();
    const directory = join(rig.directory, 'gateway');
    mkdirSync(join(directory, 'policies'), { recursive: true });
    writeFileSync(
      join(directory, 'policies', 'all.cedar'),
      '@id("all") permit (principal, action, resource);',
    );
    const [port, healthPort] = [await freePort(), await freePort()];
    const config = {
      deployment: 'e2e',
      gateway_id: 'gw-load',
      listen: { port },
      health: { port: healthPort },
      kafka: { brokers: rig.parts.part('kafka').address, partitions: PARTITIONS },
      data_directory: 'data',
      policy: { directory: 'policies' },
      identities: [
        {
          credential_sha256: createHash('sha256').update(CREDENTIAL).digest('hex'),
          org: 'acme',
          agent: 'loader',
        },
      ],
      upstreams: { echo: { url: upstream.url } },
      privacy: { rules: [{ field: 'call', do: 'keep' }] },
    };
    const configFile = join(directory, 'gateway.yaml');
    writeFileSync(configFile, JSON.stringify(config));
    gateway = await startServiceProcess({
      name: 'gateway',
      healthPort,
      logDirectory: join(rig.directory, 'log'),
      env: { CAIRN_GATEWAY_CONFIG: configFile },
    });
    url = `http://127.0.0.1:${port}/mcp/echo`;
  }, 180_000);
  afterAll(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await upstream?.close();
    await rig?.[Symbol.asyncDispose]();
  });

  /** Calls until it is stopped; answers are what agents saw succeed. */
  const load = (lanes: number): { stop(): Promise<{ answered: string[]; slowestMs: number }> } => {
    const answered: string[] = [];
    let slowestMs = 0;
    let going = true;
    const lane = async (): Promise<void> => {
      while (going) {
        const name = `call-${call++}`;
        const began = performance.now();
        const body = {
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: 'echo', arguments: { call: name } },
        };
        const answer = await fetch(url, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: 'application/json',
            authorization: `Bearer ${CREDENTIAL}`,
          },
          body: JSON.stringify(body),
        })
          .then((response) => response.json() as Promise<{ result?: unknown }>)
          .catch(() => undefined);
        if (answer?.result) answered.push(name);
        slowestMs = Math.max(slowestMs, performance.now() - began);
        await sleep(answer ? 5 : 50);
      }
    };
    const running = Array.from({ length: lanes }, lane);
    return {
      async stop() {
        going = false;
        await Promise.all(running);
        return { answered, slowestMs };
      },
    };
  };

  /** Phases that the table holds of each call, by the name that the agent gave it. */
  const phases = async (): Promise<Map<string, string[]>> => {
    const rows = await rig.clickhouse.query<{ call: string; phases: string[] }>(
      `SELECT parameters_kept[1].value AS call, arraySort(groupArray(toString(phase))) AS phases
       FROM cairn.events WHERE kind = 'tool_call' GROUP BY call`,
    );
    return new Map(rows.map((row) => [row.call, row.phases]));
  };

  const holds = async (answered: readonly string[]): Promise<void> => {
    // Whatever the gateway still had in its spool is on its way.
    const spooled = async () =>
      /cairn_gateway_spool_records (\d+)/.exec(
        await (await fetch(`${gateway.healthUrl}/metrics`)).text(),
      )?.[1];
    // Seen once: a seal comes each second.
    let left = await spooled();
    for (let wait = 0; wait < 300 && left !== '0'; wait += 1) {
      await sleep(200);
      left = await spooled();
    }
    expect(left).toBe('0');
    const ledger = await drained(rig);
    expect(ledger.filter(({ missing, doubled }) => missing !== 0 || doubled !== 0)).toEqual([]);
    const recorded = await phases();
    const incomplete = answered.filter((name) => recorded.get(name)?.join() !== 'decision,outcome');
    expect(incomplete).toEqual([]);
    const undecided = [...upstream.asked].filter((name) => !recorded.get(name)?.includes('decision'));
    expect(undecided).toEqual([]);
    expect(brokenStreams(await rowsOf(rig.clickhouse))).toEqual([]);
    expect(await rig.clickhouse.query('SELECT finding, epoch, seq FROM cairn.stream_findings')).toEqual([]);
  };

  test(`killed ${KILLS} times: every answered call is there with decision and outcome, once, and no stream has a hole`, async () => {
    const running = load(8);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await sleep(300 + Math.random() * 1_200);
      await gateway.kill9();
      await gateway.start();
    }
    await sleep(1_000);
    const { answered } = await running.stop();
    expect(answered.length).toBeGreaterThan(KILLS * 20);
    await holds(answered);
  }, 420_000);

  test('Kafka stopped for a minute: calls go on, nothing is lost, and the order is kept', async () => {
    const kafka = rig.parts.part('kafka');
    const running = load(4);
    await sleep(2_000);
    await kafka.stop();
    const before = call;
    await sleep(60_000);
    const during = call - before;
    await kafka.start();
    await sleep(2_000);
    const { answered, slowestMs } = await running.stop();
    expect(during).toBeGreaterThan(1_000);
    expect(slowestMs).toBeLessThan(5_000);
    await holds(answered);
    const [order] = await rig.clickhouse.query<{ out_of_order: number }>(
      `SELECT toUInt32(countIf(seq != previous + 1)) AS out_of_order FROM (
         SELECT seq, lagInFrame(seq, 1, seq - 1) OVER (PARTITION BY org_id, gateway_id, epoch ORDER BY offset) AS previous
         FROM cairn.events)`,
    );
    expect(order).toEqual({ out_of_order: 0 });
  }, 300_000);
});
