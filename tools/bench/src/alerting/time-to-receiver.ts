import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMs } from '../arrivals.ts';
import { produce } from '../freshness/producer.ts';
import { quantileOf } from '../measured.ts';
import { type AlertingStage, rulesByDay } from './stage.ts';
import { startAlerting } from './watch-topic.ts';

export interface TimeToReceiver {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly most_ms: number;
  readonly alerts: number;
}

const RULE = '301f2717-770d-4c88-bbd4-38d4ec329258';
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const PARTITIONS = 4;
const MARK_EVERY = 100;
/** In which every agent uses each of its tools for the first time: 7,000 alerts, for which the others wait. */
const WARM_SECONDS = 15;

/**
 * A process records at a pace, with its spool on disk, as a gateway does; one event in a hundred raises an alert of its own. How
 * long it is from when that event was due until the receiver has the signed webhook.
 */
export async function timeToReceiver(
  stage: AlertingStage,
  topic: string,
  eventsPerSecond: number,
  seconds: number,
): Promise<TimeToReceiver> {
  await stage.kafka.ensureTopics([{ name: topic, partitions: PARTITIONS }]);
  const arrivedMs = new Map<string, number>();
  const server = createServer((request, response) => {
    const atMs = monotonicMs();
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      response.end();
      const { type, data } = JSON.parse(body) as {
        readonly type: string;
        readonly data: { readonly group: { readonly agent_id: string } };
      };
      const agent = data.group.agent_id;
      // Now and then another agent sends a secret as well.
      if (type === 'alert.opened' && agent.startsWith('marked-') && !arrivedMs.has(agent))
        arrivedMs.set(agent, atMs);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const config = join(stage.directory, 'alerting.yaml');
    const endpoint = { name: 'bench', url: `http://127.0.0.1:${port}/`, secrets: [SECRET], rules: [RULE] };
    const network = { ports: [port], plainHttp: true, allow: ['127.0.0.1/32'] };
    // YAML is a superset of JSON.
    writeFileSync(config, JSON.stringify({ webhooks: { network, endpoints: [endpoint] } }));
    await using _alerting = await startAlerting(stage, topic, rulesByDay(stage, new Date()), {
      name: 'alerting-paced',
      env: { CAIRN_ALERTING_CONFIG: config },
    });
    await sleep(5_000);
    const brokers = stage.parts.part('kafka').address;
    const total = WARM_SECONDS + seconds;
    const { startMs } = await produce(
      {
        by: 'recorder',
        brokers,
        topic,
        partitions: PARTITIONS,
        eventsPerSecond,
        seconds: total,
        markEvery: MARK_EVERY,
      },
      () => {},
    );
    const wanted = Math.ceil((eventsPerSecond * total) / MARK_EVERY);
    for (let wait = 0; wait < 300 && arrivedMs.size < wanted; wait += 1) await sleep(100);
    if (arrivedMs.size !== wanted) throw new Error(`${arrivedMs.size} of ${wanted} alerts arrived`);
    const waitsMs = [...arrivedMs]
      .map(([agent, atMs]) => ({ index: Number(agent.replace('marked-', '')), atMs }))
      .filter(({ index }) => index >= eventsPerSecond * WARM_SECONDS)
      .map(({ index, atMs }) => atMs - startMs - (index * 1_000) / eventsPerSecond);
    return {
      p50_ms: quantileOf(waitsMs, 0.5),
      p99_ms: quantileOf(waitsMs, 0.99),
      most_ms: quantileOf(waitsMs, 1),
      alerts: waitsMs.length,
    };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
