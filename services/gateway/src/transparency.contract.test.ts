import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernHttp,
} from '@modelcontextprotocol/client';
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import {
  getDefaultEnvironment,
  StdioClientTransport as LegacyStdio,
} from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as LegacyHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import {
  ENVIRONMENT,
  EVERYTHING,
  type GatewayRig,
  type HttpServerProcess,
  startGateway,
  startHttpServer,
} from '../test/gateway-rig.ts';
import { type AnyClient, observe } from '../test/observe.ts';

const NODE = process.execPath;
const MODERN = join(import.meta.dirname, '..', 'test', 'modern-server.ts');
const STDIO_MAIN = join(import.meta.dirname, 'stdio-main.ts');

/** A client of the first era that can be asked back: for a sample, an elicitation, its roots. */
async function legacy<T>(transport: unknown, use: (client: LegacyClient) => Promise<T>): Promise<T> {
  const client = new LegacyClient(
    { name: 'observer', version: '1' },
    { capabilities: { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } } },
  );
  client.setRequestHandler(CreateMessageRequestSchema, () => ({
    model: 'none',
    role: 'assistant',
    content: { type: 'text', text: 'a sample' },
  }));
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'decline' }));
  client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///srv', name: 'srv' }] }));
  await client.connect(transport as Transport);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

async function modern<T>(
  transport: ModernHttp | ModernStdio,
  use: (client: ModernClient) => Promise<T>,
): Promise<T> {
  const client = new ModernClient(
    { name: 'observer', version: '1' },
    { versionNegotiation: { mode: { pin: '2026-07-28' } } },
  );
  await client.connect(transport);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

const seenBy = (client: unknown) => observe(client as AnyClient);
const stdio = (args: string[], env: Record<string, string> = ENVIRONMENT) => ({
  command: NODE,
  args,
  env,
  stderr: 'ignore' as const,
});

describe('a client sees through the gateway what it sees directly', () => {
  let everything: HttpServerProcess;
  let modernServer: HttpServerProcess;
  let rig: GatewayRig;
  beforeAll(async () => {
    everything = await startHttpServer([EVERYTHING, 'streamableHttp']);
    modernServer = await startHttpServer([MODERN]);
    rig = await startGateway({
      'everything-http': { url: everything.url },
      // The SDK adds these to what a server is started with.
      'everything-stdio': {
        command: NODE,
        args: [EVERYTHING],
        env: { ...getDefaultEnvironment(), ...ENVIRONMENT },
      },
      'modern-http': { url: modernServer.url },
      'modern-stdio': { command: NODE, args: [MODERN] },
    });
  }, 60_000);
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
    await everything?.[Symbol.asyncDispose]();
    await modernServer?.[Symbol.asyncDispose]();
  });
  const through = (service: string) => new URL(`${rig.url}/${service}`);
  const throughStdio = (service: string) =>
    stdio([STDIO_MAIN, service], { ...ENVIRONMENT, CAIRN_GATEWAY_CONFIG: rig.configFile });

  test('first era, HTTP on both sides: every tool, resource and prompt', async () => {
    const direct = await legacy(new LegacyHttp(new URL(everything.url)), seenBy);
    expect(await legacy(new LegacyHttp(through('everything-http')), seenBy)).toEqual(direct);
    expect(Object.keys(direct).length).toBeGreaterThan(30);
  }, 60_000);

  test('first era, HTTP to the gateway and stdio to the server', async () => {
    const direct = await legacy(new LegacyStdio(stdio([EVERYTHING])), seenBy);
    expect(await legacy(new LegacyHttp(through('everything-stdio')), seenBy)).toEqual(direct);
  }, 60_000);

  test('first era, stdio on both sides', async () => {
    const direct = await legacy(new LegacyStdio(stdio([EVERYTHING])), seenBy);
    expect(await legacy(new LegacyStdio(throughStdio('everything-stdio')), seenBy)).toEqual(direct);
  }, 60_000);

  test('first era, stdio to the gateway and HTTP to the server', async () => {
    const direct = await legacy(new LegacyHttp(new URL(everything.url)), seenBy);
    expect(await legacy(new LegacyStdio(throughStdio('everything-http')), seenBy)).toEqual(direct);
  }, 60_000);

  test('second era, HTTP on both sides', async () => {
    const direct = await modern(new ModernHttp(new URL(modernServer.url)), seenBy);
    expect(await modern(new ModernHttp(through('modern-http')), seenBy)).toEqual(direct);
    expect(direct['tool add']).toMatchObject({ structuredContent: { sum: 5 } });
  }, 60_000);

  test('second era, HTTP to the gateway and stdio to the server', async () => {
    const direct = await modern(new ModernStdio(stdio([MODERN])), seenBy);
    expect(await modern(new ModernHttp(through('modern-stdio')), seenBy)).toEqual(direct);
  }, 60_000);

  test('second era, stdio on both sides', async () => {
    const direct = await modern(new ModernStdio(stdio([MODERN])), seenBy);
    expect(await modern(new ModernStdio(throughStdio('modern-stdio')), seenBy)).toEqual(direct);
  }, 60_000);

  test('second era, stdio to the gateway and HTTP to the server', async () => {
    const direct = await modern(new ModernHttp(new URL(modernServer.url)), seenBy);
    expect(await modern(new ModernStdio(throughStdio('modern-http')), seenBy)).toEqual(direct);
  }, 60_000);

  test('progress and cancellation of the first era pass', async () => {
    for (const service of ['everything-http', 'everything-stdio']) {
      await legacy(new LegacyHttp(through(service)), async (client) => {
        const steps: number[] = [];
        const params = { name: 'trigger-long-running-operation', arguments: { duration: 0.6, steps: 3 } };
        await client.callTool(params, undefined, { onprogress: ({ progress }) => steps.push(progress) });
        expect(steps.length).toBeGreaterThanOrEqual(2);
        const abort = new AbortController();
        const long = client.callTool({ ...params, arguments: { duration: 30, steps: 60 } }, undefined, {
          signal: abort.signal,
        });
        setTimeout(() => abort.abort(), 300);
        await expect(long).rejects.toThrow();
        // Closing at once would take the notification back.
        await new Promise((resolve) => setTimeout(resolve, 300));
      });
    }
    for (let wait = 0; wait < 100; wait += 1) {
      const ends = rig.log.events.filter(
        ({ phase, result_status }) => phase === 'outcome' && result_status === 'cancelled',
      );
      if (ends.length >= 2) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const ends = rig.log.events.filter(({ phase }) => phase === 'outcome').slice(-6);
    throw new Error(
      `the cancellations were not recorded: ${ends.map((end) => `${end.service} ${end.tool_name} ${end.result_status}`).join(', ')}`,
    );
  }, 60_000);
});
