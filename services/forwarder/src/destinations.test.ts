import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '@cairn/failure';
import { realClock } from '@cairn/runtime';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { frameOf, itemsFor } from '../test/items.ts';
import {
  datadogReceiver,
  elasticReceiver,
  ocsfReceiver,
  splunkReceiver,
  syslogReceiver,
  TOKEN,
} from '../test/strict-receivers.ts';
import { type ForwarderConfig, readForwarderConfig } from './config.ts';
import { type LaneState, openLane } from './deliver-items.ts';
import type { Verdict } from './destination.ts';
import { openDestination } from './open-destination.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-destinations-'));
const secret = (name: string, text: string): string => {
  const file = join(directory, name);
  writeFileSync(file, `${text}\n`);
  return file;
};
let files: Record<'token' | 'wrong' | 'apiKey' | 'bearer', string>;
beforeAll(() => {
  files = {
    token: secret('token', TOKEN),
    wrong: secret('wrong', 'not-the-token'),
    apiKey: secret('api-key', `ApiKey ${TOKEN}`),
    bearer: secret('bearer', `Bearer ${TOKEN}`),
  };
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const NETWORK = { plainHttp: true, allow: ['127.0.0.0/8'] };

/** Reads a configuration as the service does. */
function configOf(destination: object, network: object = NETWORK): ForwarderConfig {
  const file = join(directory, `config-${Math.random()}.yaml`);
  writeFileSync(
    file,
    JSON.stringify({
      kafka: { brokers: 'localhost:9092' },
      deployment: 'test',
      dataDirectory: directory,
      network,
      destinations: [{ name: 'here', ...destination }],
    }),
  );
  return readForwarderConfig({ CAIRN_FORWARDER_CONFIG: file });
}

function laneTo(destination: object, network: object = NETWORK) {
  const config = configOf(destination, network);
  const opened = openDestination(config.destinations[0]!, config.network, realClock, Date.now);
  const verdicts: Verdict[] = [];
  const states: LaneState[] = [];
  const lane = openLane({
    destination: opened.destination,
    clock: realClock,
    rest: { firstMs: 20, mostMs: 60 },
    onVerdict: (verdict) => {
      verdicts.push(verdict);
      setImmediate(() => states.push(lane.state));
    },
  });
  const ended = new AbortController();
  return {
    verdicts,
    states,
    ended,
    send: (frames: readonly Uint8Array[]) => lane.deliver(itemsFor(opened, frames), ended.signal),
    items: (frames: readonly Uint8Array[]) => itemsFor(opened, frames),
    [Symbol.asyncDispose]: () => opened.destination[Symbol.asyncDispose](),
  };
}

const frames = (count: number): Uint8Array[] => Array.from({ length: count }, (_, seq) => frameOf(seq));
const idsOf = (items: readonly { readonly eventId: string }[]): string[] =>
  items.map(({ eventId }) => eventId);
const reasons = (verdicts: readonly Verdict[]): string[] =>
  verdicts.map((verdict) => ('reason' in verdict ? verdict.reason : verdict.kind));

describe('Splunk', () => {
  const splunk = (url: string, more: object = {}) => ({
    type: 'splunk',
    url,
    tokenFile: files.token,
    ...more,
  });

  test('a batch is taken when the indexer has acknowledged it, and not when it was received', async () => {
    await using receiver = await splunkReceiver();
    receiver.ackAfter = 1;
    await using lane = laneTo(splunk(receiver.url));
    const sending = lane.send(frames(5));
    await sleep(500);
    expect(receiver.received).toHaveLength(5);
    expect(receiver.indexed).toEqual([]);
    expect(lane.verdicts).toEqual([]);
    expect(await sending).toEqual([]);
    expect(receiver.indexed).toEqual(idsOf(lane.items(frames(5))));
  });

  test('an event that Splunk refuses is found among the others, which are taken', async () => {
    await using receiver = await splunkReceiver();
    receiver.offersAck = false;
    receiver.trouble = ({ body }) =>
      body.includes('tool-3') && !body.includes('ack')
        ? { status: 400, body: { text: 'Invalid data format', code: 6, 'invalid-event-number': 3 } }
        : undefined;
    await using lane = laneTo(splunk(receiver.url, { acknowledgement: 'off' }));
    const refusals = await lane.send(frames(8));
    expect(refusals.map(({ item }) => item.offset)).toEqual([3]);
    expect(refusals[0]?.reason).toContain('Invalid data format');
    expect(receiver.indexed.toSorted()).toEqual(
      idsOf(lane.items(frames(8)))
        .filter((_, at) => at !== 3)
        .toSorted(),
    );
  });

  test.each([
    ['busy', { status: 503, body: { text: 'Server is busy', code: 9 } }],
    ['broken', { status: 500, body: { text: 'Internal server error', code: 8 } }],
    ['without its channel', { status: 400, body: { text: 'Invalid data channel', code: 11 } }],
  ])('a collector that is %s gets the same batch again', async (_name, reply) => {
    await using receiver = await splunkReceiver();
    receiver.offersAck = false;
    let troubles = 3;
    receiver.trouble = () => (troubles-- > 0 ? reply : undefined);
    await using lane = laneTo(splunk(receiver.url, { acknowledgement: 'off' }));
    expect(await lane.send(frames(4))).toEqual([]);
    expect(receiver.indexed).toHaveLength(4);
    expect(lane.states).toContain('retrying');
    expect(new Set(receiver.requests.map(({ body }) => body)).size).toBe(1);
  });

  test('a token that is not valid and one that does not acknowledge stop the destination, and park nothing', async () => {
    await using receiver = await splunkReceiver();
    await using wrong = laneTo(splunk(receiver.url, { tokenFile: files.wrong }));
    const sending = wrong.send(frames(2));
    await sleep(200);
    wrong.ended.abort();
    await expect(sending).rejects.toMatchObject({ code: 'forward.called-off' });
    expect(wrong.states).toContain('stopped');
    receiver.offersAck = false;
    await using unacknowledging = laneTo(splunk(receiver.url));
    const other = unacknowledging.send(frames(2));
    await sleep(200);
    unacknowledging.ended.abort();
    await expect(other).rejects.toBeInstanceOf(Failure);
    expect(reasons(unacknowledging.verdicts).join()).toContain('enable indexer acknowledgement');
  });
});

describe('Datadog', () => {
  const datadog = (url: string, more: object = {}) => ({
    type: 'datadog',
    url,
    keyFile: files.token,
    ...more,
  });

  test('logs come whole and in order, within the intake’s limits', async () => {
    await using receiver = await datadogReceiver();
    await using lane = laneTo(datadog(receiver.url, { tags: ['team:security'] }));
    expect(await lane.send(frames(1_000))).toEqual([]);
    expect(receiver.taken).toEqual(idsOf(lane.items(frames(1_000))));
  });

  test('an intake that says when to come again is left alone until then', async () => {
    await using receiver = await datadogReceiver();
    let troubles = 1;
    receiver.trouble = () => (troubles-- > 0 ? { status: 429, headers: { 'retry-after': '1' } } : undefined);
    await using lane = laneTo(datadog(receiver.url));
    await lane.send(frames(3));
    const [first, second] = receiver.requests;
    expect(second!.atMs - first!.atMs).toBeGreaterThan(950);
  });

  test('a batch that is too large is cut until it is not, and what is too large alone is refused', async () => {
    await using receiver = await datadogReceiver();
    receiver.trouble = ({ body }) => (body.length > 6_000 ? { status: 413 } : undefined);
    await using lane = laneTo(datadog(receiver.url));
    const large = frameOf(99, {
      task: 'x'.repeat(1_000),
      error_message: 'y'.repeat(1_000),
      detail: 'z'.repeat(8_000),
    });
    const refusals = await lane.send([...frames(10), large]);
    expect(refusals.map(({ item }) => item.offset)).toEqual([10]);
    expect(receiver.taken).toHaveLength(10);
  });
});

describe('Elastic', () => {
  const elastic = (url: string) => ({ type: 'elastic', url, authorizationFile: files.apiKey });

  test('an event that comes twice is one document, and counts as taken', async () => {
    await using receiver = await elasticReceiver();
    await using lane = laneTo(elastic(receiver.url));
    expect(await lane.send(frames(6))).toEqual([]);
    expect(await lane.send(frames(6))).toEqual([]);
    expect(receiver.taken).toEqual(idsOf(lane.items(frames(6))));
  });

  test('each item has its own outcome: what is refused is parked, what is busy goes again, the rest is taken', async () => {
    await using receiver = await elasticReceiver();
    await using lane = laneTo(elastic(receiver.url));
    const ids = idsOf(lane.items(frames(5)));
    let busy = 2;
    receiver.itemTrouble = (id) => (id === ids[1] ? 400 : id === ids[3] && busy-- > 0 ? 429 : undefined);
    const refusals = await lane.send(frames(5));
    expect(refusals.map(({ item }) => item.offset)).toEqual([1]);
    expect(receiver.taken.toSorted()).toEqual(ids.filter((_, at) => at !== 1).toSorted());
    // What was taken is not sent again.
    expect(receiver.requests.at(-1)?.body.trimEnd().split('\n')).toHaveLength(2);
  });

  test.each([403, 404])(
    'an index that cannot be written (%i) is waited for, and nothing is parked',
    async (status) => {
      await using receiver = await elasticReceiver();
      await using lane = laneTo(elastic(receiver.url));
      let blocked = 4;
      receiver.itemTrouble = () => (blocked-- > 0 ? status : undefined);
      expect(await lane.send(frames(3))).toEqual([]);
      expect(receiver.taken.toSorted()).toEqual(idsOf(lane.items(frames(3))).toSorted());
    },
  );

  test('an index that is closed is waited for, although it answers as if the content were wrong', async () => {
    await using receiver = await elasticReceiver();
    await using lane = laneTo(elastic(receiver.url));
    let troubles = 1;
    receiver.trouble = () =>
      troubles-- > 0
        ? {
            status: 200,
            body: {
              items: [
                { create: { status: 400, error: { type: 'index_closed_exception', reason: 'closed' } } },
              ],
            },
          }
        : undefined;
    expect(await lane.send(frames(1))).toEqual([]);
    expect(receiver.taken).toHaveLength(1);
  });

  test('an answer that does not speak of every item is no acknowledgement', async () => {
    await using receiver = await elasticReceiver();
    let troubles = 1;
    receiver.trouble = () => (troubles-- > 0 ? { status: 200, body: { items: [] } } : undefined);
    await using lane = laneTo(elastic(receiver.url));
    expect(await lane.send(frames(2))).toEqual([]);
    expect(receiver.requests).toHaveLength(2);
  });
});

describe('OCSF over HTTP', () => {
  test('events come one a line, and a redirect is no success', async () => {
    await using receiver = await ocsfReceiver();
    let troubles = 1;
    receiver.trouble = () =>
      troubles-- > 0 ? { status: 302, headers: { location: 'http://127.0.0.1:1/' } } : undefined;
    await using lane = laneTo({ type: 'ocsf', url: receiver.url, authorizationFile: files.bearer });
    expect(await lane.send(frames(4))).toEqual([]);
    expect(receiver.taken).toEqual(idsOf(lane.items(frames(4))));
    expect(lane.states[0]).toBe('stopped');
  });

  test('a receiver that hangs does not hold up the end', async () => {
    await using receiver = await ocsfReceiver();
    receiver.trouble = () => 'hang';
    await using lane = laneTo({ type: 'ocsf', url: receiver.url, authorizationFile: files.bearer });
    const sending = lane.send(frames(1));
    await sleep(100);
    lane.ended.abort();
    const begun = performance.now();
    await expect(sending).rejects.toMatchObject({ code: 'forward.called-off' });
    expect(performance.now() - begun).toBeLessThan(1_000);
  });
});

describe('syslog', () => {
  test('a name cannot forge a message, and messages come in frames that count octets', async () => {
    await using receiver = await syslogReceiver();
    await using lane = laneTo(
      { type: 'syslog', host: 'localhost', port: receiver.port, caFile: receiver.caFile },
      { allow: ['127.0.0.0/8', '::1/128'] },
    );
    const hostile = frameOf(1, {
      agent_id: 'x\n99 <34>1 2026-01-01T00:00:00Z forged',
      tool_name: 'größe\r\n漢',
    });
    expect(await lane.send([frameOf(0), hostile, frameOf(2)])).toEqual([]);
    expect(receiver.messages).toHaveLength(3);
    for (const message of receiver.messages)
      expect(message).toMatch(/^<110>1 [^\n\r]* CEF:0\|Cairn\|[^\n\r]*$/);
    expect(receiver.messages[1]).toContain('größe\\\\u{d}\\\\u{a}漢');
  });

  test('a batch whose connection breaks before its end is sent again', async () => {
    await using receiver = await syslogReceiver();
    const many = Array.from({ length: 3_000 }, (_, seq) => frameOf(seq, { error_message: 'x'.repeat(900) }));
    receiver.trouble = (socket) => {
      receiver.trouble = undefined;
      // With bytes of ours unread, which the system answers with a reset.
      socket.once('data', () => socket.destroy());
    };
    await using lane = laneTo(
      { type: 'syslog', host: '127.0.0.1', port: receiver.port, caFile: receiver.caFile },
      { allow: ['127.0.0.1/32'] },
    );
    expect(await lane.send(many)).toEqual([]);
    expect(receiver.connections).toBe(2);
    expect(receiver.messages).toHaveLength(many.length);
  });

  test('a receiver that nobody vouches for gets nothing', async () => {
    await using receiver = await syslogReceiver();
    await using lane = laneTo(
      { type: 'syslog', host: '127.0.0.1', port: receiver.port },
      { allow: ['127.0.0.1/32'] },
    );
    const sending = lane.send(frames(1));
    await sleep(300);
    lane.ended.abort();
    await expect(sending).rejects.toMatchObject({ code: 'forward.called-off' });
    expect(receiver.messages).toEqual([]);
    expect(reasons(lane.verdicts).join()).toMatch(/self-signed/);
  });
});

describe('the network', () => {
  test('an address that is not public is refused unless its network is named', async () => {
    expect(() => configOf({ type: 'ocsf', url: 'https://169.254.169.254/x' }, {})).toThrow(
      /not a public address/,
    );
    expect(() => configOf({ type: 'ocsf', url: 'http://siem.example/' }, {})).toThrow(/not https/);
    await using receiver = await ocsfReceiver();
    const { port } = new URL(receiver.url);
    // A name that leads inside shows only when it is resolved.
    await using lane = laneTo(
      { type: 'ocsf', url: `http://localhost:${port}/`, authorizationFile: files.bearer },
      { plainHttp: true },
    );
    const sending = lane.send(frames(1));
    await sleep(200);
    lane.ended.abort();
    await expect(sending).rejects.toMatchObject({ code: 'forward.called-off' });
    expect(reasons(lane.verdicts).join()).toContain('http.refused-address');
    expect(receiver.requests).toEqual([]);
  });

  test('a secret that is missing or empty is named by its file at the start', () => {
    const { destinations, network } = configOf({
      type: 'datadog',
      url: 'https://intake.example',
      keyFile: secret('empty', ''),
    });
    expect(() => openDestination(destinations[0]!, network, realClock, Date.now)).toThrow(
      /empty.*cannot be read/,
    );
  });
});
