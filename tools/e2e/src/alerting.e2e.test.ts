import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kafka, openKafka } from '@cairn/adapters';
import { topicOf } from '@cairn/event';
import {
  freePort,
  type Parts,
  REPOSITORY,
  type ServiceProcess,
  startServiceProcess,
  startTestParts,
} from '@cairn/local';
import { openRecorder, type Recorder } from '@cairn/recorder';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { type Receiver, startReceiver } from '../../../services/alerting/test/receiver.ts';
import { killAlerting } from './alerting-kills.ts';

const TOPIC = topicOf('standard');
const PARTITIONS = 4;
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const RULES = `
title: Denied call
name: denied
logsource: { product: cairn }
detection:
  selection: { decision: deny }
  condition: selection
---
title: Repeated denials
id: repeated-denials
level: high
correlation:
  type: event_count
  rules: [denied]
  group-by: [agent_id]
  timespan: 1m
  condition: { gte: 5 }
---
title: Deletion
id: deletion
level: critical
logsource: { product: cairn }
detection:
  selection: { action: delete }
  condition: selection
`;

/** Of them one has a mistake, and one tells of the change of rules that brings it. */
const MORE_RULES = `
title: Payment
id: payment
level: low
logsource: { product: cairn }
detection:
  s: { action: pay }
  condition: s
---
title: Broken
logsource: { product: cairn }
detection:
  s: { no_such_field: 1 }
  condition: s
---
title: Rules changed
id: rules-changed
logsource: { product: cairn, category: policy_change }
detection:
  s: { method: rules/loaded, detail.mistakes|gt: 0, detail.before|exists: true }
  condition: s
`;

let directory: string;
let parts: Parts;
let kafka: Kafka;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-alerting-'));
  parts = await startTestParts({ directory, parts: ['kafka', 'redis'] });
  kafka = openKafka({ brokers: [parts.part('kafka').address], clientId: 'e2e' });
  await kafka.ensureTopics([{ name: TOPIC, partitions: PARTITIONS }]);
}, 300_000);
afterAll(async () => {
  await kafka?.[Symbol.asyncDispose]();
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

let receiver: Receiver;
let recorder: Recorder;
let home: string;
let runs = 0;
const services: ServiceProcess[] = [];
beforeEach(async () => {
  runs += 1;
  home = join(directory, `run-${runs}`);
  mkdirSync(join(home, 'rules'), { recursive: true });
  writeFileSync(join(home, 'rules', 'rules.yml'), RULES);
  receiver = await startReceiver();
  recorder = await openRecorder({
    directory: join(home, 'gateway'),
    deployment: 'e2e',
    gatewayId: `gw-${runs}`,
    gatewayVersion: '0',
    environment: 'test',
    capture: 'gateway',
    log: kafka.log,
    topicOf: () => TOPIC,
    partitions: PARTITIONS,
  });
  const network = { ports: [receiver.port], plainHttp: true, allow: ['127.0.0.1/32'] };
  const orgs = [`org-${runs}`];
  const endpoints = [
    {
      name: 'signed',
      url: `http://127.0.0.1:${receiver.port}/signed`,
      secretFile: join(home, 'webhook.secret'),
      orgs,
    },
    {
      name: 'slack',
      url: `http://127.0.0.1:${receiver.port}/slack`,
      format: 'slack',
      level: 'critical',
      orgs,
    },
  ];
  writeFileSync(join(home, 'webhook.secret'), `${SECRET}\n`, { mode: 0o600 });
  // YAML is a superset of JSON.
  writeFileSync(join(home, 'alerting.yaml'), JSON.stringify({ webhooks: { network, endpoints } }));
}, 60_000);
afterEach(async () => {
  for (const service of services.splice(0)) await service[Symbol.asyncDispose]();
  await recorder.close();
  await receiver[Symbol.asyncDispose]();
}, 60_000);

async function startAlerting(
  instance: string,
  env: Readonly<Record<string, string>> = {},
): Promise<ServiceProcess> {
  const healthPort = await freePort();
  const service = await startServiceProcess({
    name: 'alerting',
    healthPort,
    readyMsMax: 120_000,
    logDirectory: join(home, 'log', instance),
    env: {
      ...parts.env(),
      CAIRN_DEPLOYMENT: `e2e-${runs}`,
      CAIRN_ALERTING_CONFIG: join(home, 'alerting.yaml'),
      CAIRN_ALERTING_INSTANCE: instance,
      CAIRN_ALERTING_GROUP: `alerting-${runs}`,
      CAIRN_ALERTING_SESSION_MS_MAX: '2000',
      CAIRN_ALERTING_DATA_DIRECTORY: join(home, instance),
      CAIRN_ALERTING_HEALTH_PORT: String(healthPort),
      CAIRN_RULES: join(home, 'rules'),
      CAIRN_RETENTION_CONFIG: join(REPOSITORY, 'deploy', 'config', 'retention.yaml'),
      CAIRN_ALERTING_RULES_EVERY_MS: '200',
      CAIRN_ALERTING_QUIET_MS: '2000',
      CAIRN_ALERTING_LATENESS_MS_MAX: '60000',
      ...env,
    },
  });
  services.push(service);
  return service;
}

/** A gateway whose policy forbids everything. @returns what calls a tool through it, and gives back what the agent is told. */
async function startGateway(): Promise<() => Promise<string>> {
  const folder = join(home, 'gateway-process');
  mkdirSync(join(folder, 'policies'), { recursive: true });
  writeFileSync(
    join(folder, 'policies', 'nothing.cedar'),
    '@id("nothing") forbid (principal, action, resource);',
  );
  const [port, healthPort] = [await freePort(), await freePort()];
  const credential = 'agent-that-probes';
  const config = {
    deployment: 'e2e',
    gateway_id: `gw-process-${runs}`,
    listen: { port },
    health: { port: healthPort },
    kafka: { brokers: parts.part('kafka').address, partitions: PARTITIONS },
    data_directory: 'data',
    policy: { directory: 'policies' },
    identities: [
      {
        credential_sha256: createHash('sha256').update(credential).digest('hex'),
        org: `org-${runs}`,
        agent: 'prober',
      },
    ],
    upstreams: { files: { url: 'http://127.0.0.1:9/mcp' } },
  };
  writeFileSync(join(folder, 'gateway.yaml'), JSON.stringify(config));
  services.push(
    await startServiceProcess({
      name: 'gateway',
      healthPort,
      readyMsMax: 120_000,
      logDirectory: join(home, 'log'),
      env: { CAIRN_GATEWAY_CONFIG: join(folder, 'gateway.yaml') },
    }),
  );
  return async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/mcp/files`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        authorization: `Bearer ${credential}`,
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: 'read_file', arguments: { path: 'plan.md' } },
      }),
    });
    return answer.text();
  };
}

const call = (agent: string, more: Readonly<Record<string, unknown>> = {}) =>
  recorder.record({
    // What earlier tests left in the topic is not this one's.
    org_id: `org-${runs}`,
    kind: 'tool_call',
    phase: 'single',
    agent_id: agent,
    tool_name: 'delete_entities',
    decision: 'allow',
    ...more,
  });
async function until(holds: () => boolean, what: string, msMax = 60_000): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`after ${msMax} ms, not ${what}`);
    await sleep(20);
  }
}

interface Message {
  readonly type: string;
  readonly data: { readonly key: string; readonly rule: string; readonly group: Record<string, string> };
}
const messages = (): Message[] =>
  receiver.received.filter(({ path }) => path === '/signed').map(({ body }) => JSON.parse(body) as Message);
const opened = (): string[] =>
  messages()
    .filter(({ type }) => type === 'alert.opened')
    .map(({ data }) => `${data.rule} ${data.group['agent_id']}`);

describe('alerting', () => {
  test('tells of repeated denials and of a deletion, signed, once each, to the endpoints that want them', async () => {
    await startAlerting('alerting');
    for (let denial = 0; denial < 8; denial += 1) await call('agent-a', { decision: 'deny' });
    for (let denial = 0; denial < 4; denial += 1) await call('agent-b', { decision: 'deny' });
    await call('agent-c', { action: 'delete' });
    await until(() => opened().length >= 2, 'opened');
    expect(opened().sort()).toEqual(['deletion agent-c', 'repeated-denials agent-a']);
    const signed = receiver.received.find(({ path }) => path === '/signed')!;
    expect(new Webhook(SECRET).verify(signed.body, signed.headers)).toMatchObject({ type: 'alert.opened' });
    await until(() => receiver.idsAt('/slack').size === 1, 'in Slack: critical alone');
  }, 180_000);

  test('five calls that a gateway refuses an agent are one signed webhook, from process to process', async () => {
    await startAlerting('alerting');
    const call = await startGateway();
    for (let denial = 0; denial < 4; denial += 1) expect(await call()).toMatch(/denied|forbid|refus/i);
    await call();
    await until(() => opened().length === 1, 'opened');
    expect(opened()).toEqual(['repeated-denials prober']);
    const signed = receiver.received.find(({ path }) => path === '/signed')!;
    expect(new Webhook(SECRET).verify(signed.body, signed.headers)).toMatchObject({
      type: 'alert.opened',
      data: { count: 5, level: 'high' },
    });
  }, 180_000);

  test('a rule that is added while it runs is in force without a restart, is an event, and one with a mistake stops no other', async () => {
    const service = await startAlerting('alerting', { CAIRN_ALERTING_ORG: `org-${runs}` });
    writeFileSync(join(home, 'rules', 'more.yml'), MORE_RULES);
    const rules = async (): Promise<string> => (await fetch(`${service.healthUrl}/metrics`)).text();
    for (let wait = 0; wait < 100 && !(await rules()).includes('cairn_alerting_rules_mistaken 1'); wait += 1)
      await sleep(100);
    await call('agent-d', { action: 'pay' });
    await until(() => opened().length >= 2, 'opened');
    expect(opened().sort()).toEqual(['payment agent-d', 'rules-changed undefined']);
  }, 180_000);

  test('killed -9 at random, and Redis with it, with two instances under load: the alerts are those of a run without faults', async () => {
    const { expected, missing, surplus, doubled } = await killAlerting({
      parts,
      kafka,
      directory: join(home, 'kills'),
      seed: 7,
      kills: 8,
    });
    expect(expected).toBeGreaterThan(10);
    expect({ missing, surplus, doubled }).toEqual({ missing: [], surplus: [], doubled: [] });
  }, 400_000);
});
