import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realClock } from '@cairn/runtime';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { frameOf, itemsFor } from '../test/items.ts';
import {
  type OpenSearch,
  startOpenSearch,
  startVictoriaLogs,
  type VictoriaLogs,
} from '../test/real-receivers.ts';
import { readForwarderConfig } from './config.ts';
import { openLane } from './deliver-items.ts';
import { openDestination } from './open-destination.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-real-'));
const keyFile = join(directory, 'key');
let opensearch: OpenSearch;
let victoria: VictoriaLogs;
beforeAll(async () => {
  writeFileSync(keyFile, 'any');
  // One after the other, each known before the next may fail: what has started is ended.
  victoria = await startVictoriaLogs();
  opensearch = await startOpenSearch();
}, 300_000);
afterAll(async () => {
  await opensearch?.[Symbol.asyncDispose]();
  await victoria?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

function laneTo(destination: object) {
  const file = join(directory, 'config.yaml');
  const network = { plainHttp: true, allow: ['127.0.0.0/8'] };
  const destinations = [{ name: 'here', ...destination }];
  writeFileSync(
    file,
    JSON.stringify({
      deployment: 'test',
      kafka: { brokers: 'localhost:9092' },
      dataDirectory: directory,
      network,
      destinations,
    }),
  );
  const config = readForwarderConfig({ CAIRN_FORWARDER_CONFIG: file });
  const opened = openDestination(config.destinations[0]!, config.network, realClock, Date.now);
  const verdicts: unknown[] = [];
  const lane = openLane({
    destination: opened.destination,
    clock: realClock,
    rest: { firstMs: 100, mostMs: 1_000 },
    onVerdict: (verdict) => verdicts.push(verdict),
  });
  return { ...opened, lane, verdicts };
}

/** Events as agents make them, names of an enemy among them. */
const FRAMES = [
  ...Array.from({ length: 50 }, (_, seq) => frameOf(seq)),
  frameOf(50, {
    agent_id: 'x\r\n{"create":{}}\u202e',
    tool_name: 'größe"]|=\\漢\u0000',
    error_message: '99 <34>1 - forged',
    redactions: [{ rule: 'iban', count: 2 }],
    delegation: [{ principal: 't1_x', scope: 's' }],
    policy_errors: ['p'],
    latency_ms: 12,
    step: 3,
    detail: '{"a":1}',
  }),
  frameOf(51, {
    kind: 'alert',
    service: 'alerting',
    method: 'alert/opened',
    detail: '{"level":"high","title":"T"}',
  }),
];
const never = new AbortController().signal;

describe('OpenSearch under the published ECS mapping in strict mode', () => {
  test('takes every event once, however often it comes, and names a field that is not in the mapping', async () => {
    const { format, lane } = laneTo({ type: 'elastic', url: opensearch.url });
    const items = itemsFor({ format }, FRAMES);
    expect(await lane.deliver(items, never)).toEqual([]);
    expect(await lane.deliver(items, never)).toEqual([]);
    await opensearch.call('POST', '/logs-cairn.audit-default/_refresh');
    const { json } = await opensearch.call('GET', '/logs-cairn.audit-default/_count');
    expect(json['count']).toBe(FRAMES.length);

    const found = await opensearch.call('POST', '/logs-cairn.audit-default/_search', {
      query: { term: { 'gen_ai.tool.name': 'tool-7' } },
    });
    const { hits } = found.json['hits'] as { hits: { _id: string; _source: Record<string, unknown> }[] };
    expect(hits.map(({ _id }) => _id)).toEqual([items[7]!.eventId]);
    expect(hits[0]?._source).toMatchObject({ cairn: { proof: { offset: 7, seq: 7 } } });

    const strange = {
      ...items[0]!,
      eventId: 'strange',
      text: JSON.stringify({ ...JSON.parse(items[0]!.text), colour: 1 }),
    };
    const refusals = await lane.deliver([strange, items[1]!], never);
    expect(refusals).toMatchObject([
      { item: { eventId: 'strange' }, reason: expect.stringContaining('colour') },
    ]);
  }, 120_000);
});

describe('VictoriaLogs', () => {
  test('takes Datadog’s logs, and has their fields', async () => {
    const { format, lane } = laneTo({ type: 'datadog', url: `${victoria.url}/insert/datadog`, keyFile });
    expect(await lane.deliver(itemsFor({ format }, FRAMES), never)).toEqual([]);
    const logs = await victoria.find('ddsource:=cairn', FRAMES.length);
    expect(logs).toHaveLength(FRAMES.length);
    const one = logs.find((log) => JSON.stringify(log).includes('billing/tool-7:'));
    expect(one).toMatchObject({ service: 'billing', hostname: 'gw-1' });
  }, 120_000);

  test('takes syslog over TLS, one message for each event, and has the coordinates of its proof', async () => {
    const { format, lane, verdicts } = laneTo({
      type: 'syslog',
      host: '127.0.0.1',
      port: victoria.syslogPort,
      caFile: victoria.caFile,
    });
    expect(await lane.deliver(itemsFor({ format }, FRAMES), never)).toEqual([]);
    expect(verdicts).toEqual([{ kind: 'taken' }]);
    const logs = await victoria.find('app_name:=cairn', FRAMES.length);
    expect(logs).toHaveLength(FRAMES.length);
    const offsets = logs
      .map((log) => Number(log['cairn@32473.offset']))
      .toSorted((left, right) => left - right);
    expect(offsets).toEqual(FRAMES.map((_, offset) => offset));
  }, 120_000);
});
