import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kafka, openKafka, ParkedRecords } from '@cairn/adapters';
import { decodeDatum, formatUuid, topicOf, unframe } from '@cairn/event';
import { freePort, type Parts, type ServiceProcess, startServiceProcess, startTestParts } from '@cairn/local';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { frameOf } from '../../../services/forwarder/test/items.ts';
import { ocsfReceiver, splunkReceiver, TOKEN } from '../../../services/forwarder/test/strict-receivers.ts';

const TOPIC = topicOf('standard');
const EVENTS = 600;
const BATCH = 40;
const frames = Array.from({ length: EVENTS }, (_, seq) => frameOf(seq));
const ids = frames.map((frame) => {
  const unframed = unframe(frame);
  if (!unframed.ok) throw new Error('no frame');
  return formatUuid(decodeDatum(unframed.datum).event_id);
});

let directory: string;
let parts: Parts;
let kafka: Kafka;
let service: ServiceProcess | undefined;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-forwarder-'));
  parts = await startTestParts({ directory, parts: ['kafka'] });
  kafka = openKafka({ brokers: [parts.part('kafka').address], clientId: 'e2e' });
  await kafka.ensureTopics([{ name: TOPIC, partitions: 2 }]);
  for (let at = 0; at < EVENTS; at += 100)
    await kafka.log.append(TOPIC, (at / 100) % 2, frames.slice(at, at + 100));
}, 300_000);
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await kafka?.[Symbol.asyncDispose]();
  await parts?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

async function until(what: string, holds: () => boolean, msMax = 60_000): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within ${msMax} ms: ${what}`);
    await sleep(20);
  }
}

test('a destination that is away holds up no other, a kill doubles one batch at most, and what was refused is replayed', async () => {
  await using lake = await ocsfReceiver();
  await using splunk = await splunkReceiver();
  await using away = await ocsfReceiver();
  await using own = await ocsfReceiver();
  const ownBodies: string[] = [];
  own.trouble = ({ body }) => void ownBodies.push(body);
  away.trouble = () => ({ status: 503 });
  const poison = ids[123]!;
  lake.trouble = ({ body }) => (body.includes(poison) ? { status: 400 } : undefined);

  writeFileSync(join(directory, 'bearer'), `Bearer ${TOKEN}`);
  writeFileSync(join(directory, 'token'), TOKEN);
  const data = join(directory, 'forwarder');
  mkdirSync(data);
  const config = join(directory, 'forwarder.yaml');
  const batch = { itemsMax: BATCH, ageMsMax: 50 };
  // What the forwarder says of itself goes to a destination of its own.
  const filter = { orgs: ['acme'] };
  const ocsf = { type: 'ocsf', authorizationFile: join(directory, 'bearer'), filter, batch };
  writeFileSync(
    config,
    JSON.stringify({
      network: { plainHttp: true, allow: ['127.0.0.0/8'] },
      restMs: { first: 50, most: 500 },
      destinations: [
        { name: 'away', url: away.url, ...ocsf },
        { name: 'lake', url: lake.url, ...ocsf },
        {
          name: 'splunk',
          type: 'splunk',
          url: splunk.url,
          tokenFile: join(directory, 'token'),
          filter,
          batch,
        },
        { name: 'own', url: own.url, ...ocsf, filter: { orgs: ['cairn'] } },
      ],
    }),
  );
  const healthPort = await freePort();
  service = await startServiceProcess({
    name: 'forwarder',
    env: {
      KAFKA_BROKERS: parts.part('kafka').address,
      CAIRN_DEPLOYMENT: 'e2e',
      CAIRN_FORWARDER_CONFIG: config,
      CAIRN_FORWARDER_DATA_DIRECTORY: data,
      CAIRN_FORWARDER_HEALTH_PORT: String(healthPort),
      CAIRN_FORWARDER_SESSION_MS_MAX: '6000',
    },
    healthPort,
    logDirectory: directory,
  });
  await until('the first batches', () => splunk.indexed.length >= BATCH && lake.taken.length >= BATCH);
  await service.kill9();
  await service.start();

  // While one is away all the time.
  await until('the lake', () => new Set(lake.taken).size === EVENTS - 1);
  await until('Splunk', () => new Set(splunk.indexed).size === EVENTS);
  expect(away.taken).toEqual([]);
  expect(lake.taken.length - (EVENTS - 1)).toBeLessThanOrEqual(BATCH);
  expect(splunk.indexed.length - EVENTS).toBeLessThanOrEqual(BATCH);

  // What the lake refused is parked with its reason, and goes there when a person says so.
  using parked = new ParkedRecords(join(data, 'parked.sqlite'));
  await until('the parked record', () => parked.list({ most: 10 }).length > 0);
  expect(parked.list({ most: 10 })).toMatchObject([
    { destination: 'lake', eventId: poison, state: 'parked' },
  ]);
  lake.trouble = () => undefined;
  parked.replay('lake', 'anna');
  await until('the replay', () => lake.taken.includes(poison));
  await until('that it is forgotten', () => parked.list({ most: 10 }).length === 0);

  // And the one that was away is back, with nothing lost.
  away.trouble = () => undefined;
  await until('the one that was away', () => new Set(away.taken).size === EVENTS);
  // All of it stands in the trail: where events go, once; what was parked; what was sent again.
  const acts = () =>
    ownBodies
      .flatMap((body) => body.trimEnd().split('\n'))
      .map(
        (line) => JSON.parse(line) as { api: { operation: string }; unmapped: { cairn: { detail: string } } },
      )
      .filter(({ api }) => /^(forward|destinations)\//.test(api.operation))
      .map(({ api, unmapped }) => ({ method: api.operation, ...JSON.parse(unmapped.cairn.detail) }));
  await until('what the forwarder says of itself', () =>
    acts().some(({ method }) => method === 'forward/replayed'),
  );
  const told = acts();
  const of = (wanted: string) => told.filter(({ method }) => method === wanted);
  expect(of('destinations/changed')).toHaveLength(1);
  expect(
    of('destinations/changed')[0].added.map(({ destination }: { destination: string }) => destination),
  ).toEqual(['away', 'lake', 'splunk', 'own']);
  expect(new Set(of('forward/started').map(({ destination }) => destination)).size).toBe(4);
  expect(of('forward/parked')[0]).toMatchObject({ destination: 'lake', count: 1, first_event: poison });
  expect(of('forward/replayed')).toMatchObject([{ destination: 'lake', taken: 1, parked: 0, by: ['anna'] }]);
  expect(ownBodies.join('')).not.toContain(TOKEN);
  const page = await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text();
  expect(page).toContain('cairn_forwarder_state{destination="away"} 0');
}, 240_000);
