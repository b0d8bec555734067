import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openGuardedHttp } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { realClock } from '@cairn/runtime';
import { type Attempt, DeliveryStore, type Endpoint, refusalsOf } from '@cairn/webhook';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { answerOk, HOSTILE_BEHAVIOURS, type Receiver, startReceiver } from '../test/receiver.ts';
import { testAlert } from '../test/test-alert.ts';
import { type Deliveries, type Delivering, deliverAlerts } from './deliver-alerts.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
let directory: string;
let receiver: Receiver;
let store: DeliveryStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-deliver-'));
  receiver = await startReceiver();
  store = new DeliveryStore(join(directory, 'deliveries.sqlite'));
});
afterEach(async () => {
  store[Symbol.dispose]();
  await receiver[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const endpoint = (name: string, more: Partial<Endpoint> = {}): Endpoint => ({
  name,
  url: `http://127.0.0.1:${receiver.port}/${name}`,
  format: 'json',
  secrets: [SECRET],
  level: 'informational',
  ...more,
});

function deliver(
  endpoints: readonly Endpoint[],
  more: { schedule?: readonly number[]; store?: Deliveries; attempts?: Attempt[] } = {},
): Delivering {
  const network = { ports: [receiver.port], plainHttp: true, allow: ['127.0.0.1/32'] };
  return deliverAlerts({
    store: more.store ?? store,
    webhooks: { network, endpoints },
    httpOf: () => openGuardedHttp({ refusalOf: refusalsOf(network), answerMsMax: 1_000, bodyMsMax: 200 }),
    clock: realClock,
    nowMs: Date.now,
    schedule: more.schedule ?? [0, 20, 40, 80, 100, ...new Array<number>(200).fill(200)],
    rest: { firstMs: 100, mostMs: 1_000 },
    onAttempt: (_, attempt) => void more.attempts?.push(attempt),
    onTrouble: () => {},
  });
}

async function until(holds: () => boolean, msMax = 20_000): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('it did not come to that in time');
    await sleep(10);
  }
}
const owed = (): number => store.counts().reduce((sum, { due }) => sum + due, 0);

describe('delivery', () => {
  test('a third of fifteen endpoints is hostile, and of 10,000 alerts each arrives, the others’ without waiting', async () => {
    const hostile = Object.keys(HOSTILE_BEHAVIOURS);
    const healthy = Array.from({ length: 10 }, (_, index) => `healthy-${index}`);
    const names = [...healthy, ...hostile];
    for (const name of hostile) receiver.behave(`/${name}`, HOSTILE_BEHAVIOURS[name]!);
    const alerts = Array.from({ length: 10_000 }, (_, index) =>
      testAlert(String(index), { orgId: names[index % names.length]! }),
    );
    const sentTo = (name: string) => alerts.filter(({ orgId }) => orgId === name).map(({ id }) => id);
    const arrived = (name: string) => receiver.idsAt(`/${name}`);
    await using delivering = deliver(names.map((name) => endpoint(name, { orgs: [name] })));
    expect(delivering.add(alerts)).toBe(10_000);
    const countOf = (some: readonly string[]) => some.reduce((sum, name) => sum + arrived(name).size, 0);
    const owedToHealthy = healthy.reduce((sum, name) => sum + sentTo(name).length, 0);
    // Nothing has recovered by then: whoever waited for a hostile one would never come here.
    await until(() => countOf(healthy) === owedToHealthy, 200_000);
    expect(countOf(hostile)).toBe(0);
    for (const name of hostile) {
      expect(receiver.requests.filter(({ path }) => path === `/${name}`).length).toBeGreaterThan(0);
      receiver.behave(`/${name}`, answerOk);
    }
    await until(() => owed() === 0, 200_000);
    for (const name of names) expect([...arrived(name)].sort()).toEqual(sentTo(name).sort());
    expect(store.counts()).toEqual([]);
  }, 450_000);

  test('the receiver of Standard Webhooks accepts every attempt, under one id and the time of that attempt', async () => {
    let refusals = 2;
    receiver.behave('/a', (response) => void response.writeHead(refusals-- > 0 ? 500 : 204).end());
    await using delivering = deliver([endpoint('a')], { schedule: [0, 1_100, 10] });
    delivering.add([testAlert('1')]);
    await until(() => owed() === 0);
    expect(receiver.requests.length).toBe(3);
    const webhook = new Webhook(SECRET);
    for (const { headers, body } of receiver.requests)
      expect(webhook.verify(body, headers)).toMatchObject({ type: 'alert.opened', data: { rule: 'rule' } });
    expect(new Set(receiver.requests.map(({ id }) => id))).toEqual(new Set([testAlert('1').id]));
    const times = receiver.requests.map(({ headers }) => Number(headers['webhook-timestamp']));
    expect(times[1]).toBeGreaterThan(times[0]!);
  });

  test('410 disables the endpoint and parks what waits; a replay enables it and sends everything', async () => {
    receiver.behave('/a', (response) => void response.writeHead(410).end());
    await using delivering = deliver([endpoint('a')]);
    delivering.add([testAlert('1')]);
    await until(() => store.disabled('a') !== undefined);
    const requests = receiver.requests.length;
    delivering.add([testAlert('2'), testAlert('3')]);
    await until(() => store.counts()[0]?.parked === 3);
    expect(receiver.requests.length).toBe(requests);
    receiver.behave('/a', answerOk);
    using operator = new DeliveryStore(join(directory, 'deliveries.sqlite'));
    expect(operator.replay('a', Date.now())).toBe(3);
    await until(() => receiver.received.length === 3);
  });

  test('at the end of the schedule a delivery is parked with what the receiver said', async () => {
    receiver.behave('/a', (response) => void response.writeHead(400).end('no such channel'));
    await using delivering = deliver([endpoint('a')], { schedule: [0, 10, 10] });
    delivering.add([testAlert('1')]);
    await until(() => store.counts()[0]?.parked === 1);
    expect(receiver.requests.length).toBe(3);
    expect(store.list({ state: 'parked', most: 1 })).toMatchObject([
      { attempts: 3, status: 400, note: 'no such channel' },
    ]);
  });

  test('Retry-After is obeyed by the whole endpoint, and by no other', async () => {
    let isFirst = true;
    receiver.behave('/a', (response) => {
      response.writeHead(isFirst ? 429 : 200, { 'retry-after': '2' }).end();
      isFirst = false;
    });
    await using delivering = deliver([endpoint('a'), endpoint('b')]);
    delivering.add([testAlert('1')]);
    await until(() => receiver.requests.length === 2);
    delivering.add([testAlert('2')]);
    await until(() => owed() === 0);
    const at = (path: string) => receiver.requests.filter((one) => one.path === path).map(({ atMs }) => atMs);
    expect(at('/a')[1]! - at('/a')[0]!).toBeGreaterThan(1_900);
    expect(at('/b')[1]! - at('/b')[0]!).toBeLessThan(1_000);
  });

  test('an endpoint gets what it asked for: organisations, rules, a level', async () => {
    await using delivering = deliver([
      endpoint('all'),
      endpoint('acme', { orgs: ['acme'] }),
      endpoint('grave', { level: 'critical' }),
      endpoint('one', { rules: ['fork'] }),
    ]);
    delivering.add([
      testAlert('1'),
      testAlert('2', { orgId: 'other', level: 'critical' }),
      testAlert('3', { rule: 'fork', level: 'low' }),
    ]);
    await until(() => owed() === 0);
    const to = (path: string) =>
      receiver.received
        .filter((one) => one.path === path)
        .map(({ id }) => id.at(-1))
        .sort();
    expect([to('/all'), to('/acme'), to('/grave'), to('/one')]).toEqual([
      ['1', '2', '3'],
      ['1', '3'],
      ['2'],
      ['3'],
    ]);
  });

  test.each(['before it was written', 'after it was written'])(
    'an outcome whose note fails %s costs at most a second telling, and loses nothing',
    async (when) => {
      let failures = 3;
      const shaky: Deliveries = {
        add: (promised, nowMs) => store.add(promised, nowMs),
        due: (name, nowMs, most) => store.due(name, nowMs, most),
        nextDueMs: (name) => store.nextDueMs(name),
        disable: (name, reason, nowMs) => store.disable(name, reason, nowMs),
        disabled: (name) => store.disabled(name),
        parkDue: (name, note) => store.parkDue(name, note),
        settle(settled) {
          const fails = failures-- > 0;
          if (!fails || when === 'after it was written') store.settle(settled);
          if (fails) throw new Failure({ code: 'deliveries.unusable', retry: 'later', message: 'disk' });
        },
      };
      await using delivering = deliver([endpoint('a')], { store: shaky });
      delivering.add(Array.from({ length: 20 }, (_, index) => testAlert(String(index))));
      await until(() => owed() === 0);
      expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(20);
    },
  );

  test('killed -9 again and again, it delivers everything, and again only what was under way', async () => {
    receiver.behave('/killed', (response) => void setTimeout(() => response.end('ok'), 5));
    const alerts = Array.from({ length: 120 }, (_, index) => testAlert(String(index)));
    store.add(
      alerts.map((alert) => ({ endpoint: 'killed', alert })),
      Date.now(),
    );
    const file = join(directory, 'deliveries.sqlite');
    const script = join(import.meta.dirname, '..', 'test', 'deliver-process.ts');
    let kills = 0;
    for (; owed() > 0 && kills < 200; kills += 1) {
      const child = spawn(process.execPath, [script, file, String(receiver.port)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      await sleep(20 + Math.random() * 100);
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    expect(kills).toBeGreaterThan(1);
    expect(owed()).toBe(0);
    const ids = receiver.requests.map(({ id }) => id);
    expect(new Set(ids).size).toBe(120);
    expect(ids.length - 120).toBeLessThanOrEqual(kills * 16);
  }, 240_000);
});
