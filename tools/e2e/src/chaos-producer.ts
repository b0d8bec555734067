import { openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { openKafka } from '@cairn/adapters';
import { hexOf, topicOf } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import { openRecorder } from '@cairn/recorder';

/** What a producer says of itself under `/stats`. */
export interface ProducerStats {
  readonly acknowledged: number;
  /** Calls that were refused, by code. */
  readonly refused: Readonly<Record<string, number>>;
  /** Findings of the recorder and its other events, by code or type. */
  readonly told: Readonly<Record<string, number>>;
  readonly epoch: number;
  readonly spoolRecords: number;
  readonly gaps: number;
  readonly full: boolean;
}

/**
 * A gateway without MCP, as a process that can be killed: a real recorder that records without pause. What it was told is
 * recorded stands in a file, one line each: `org gateway epoch seq leaf`. A line is written by one call after the
 * acknowledgement, so that a kill can lose a line and never adds one.
 *
 * SIGTERM ends the load, sends everything and ends the process.
 */
async function main(): Promise<void> {
  const setting = (name: string): string => process.env[`CHAOS_${name}`] ?? '';
  const gatewayId = setting('GATEWAY');
  const acknowledgements = openSync(setting('ACKNOWLEDGED'), 'a');
  const refused: Record<string, number> = {};
  const told: Record<string, number> = {};
  const count = (counts: Record<string, number>, what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  let acknowledged = 0;
  let going = true;

  const kafka = openKafka({ brokers: [process.env['KAFKA_BROKERS'] ?? ''], clientId: gatewayId });
  const recorder = await openRecorder({
    directory: setting('DIRECTORY'),
    deployment: 'e2e',
    gatewayId,
    gatewayVersion: '0',
    environment: 'test',
    capture: 'gateway',
    log: kafka.log,
    topicOf: () => topicOf('standard'),
    partitions: Number(setting('PARTITIONS')),
    onEvent: (event) => count(told, event.type === 'finding' ? event.finding.code : event.type),
  });

  const lane = async (org_id: string): Promise<void> => {
    for (let call = 0; going; call += 1) {
      const draft = { org_id, kind: 'tool_call', phase: 'single', latency_ms: call % 100 } as const;
      const result_status = call % 5 === 0 ? 'failure' : 'success';
      try {
        const recorded = await recorder.record({
          ...draft,
          result_status,
          agent_id: `agent-${call % 3}`,
          tool_name: `tool-${call % 7}`,
          task: 't'.repeat(Number(setting('FILLER'))),
        });
        const { epoch, seq, leafHash } = recorded;
        writeSync(acknowledgements, `${org_id} ${gatewayId} ${epoch} ${seq} ${hexOf(leafHash)}\n`);
        acknowledged += 1;
      } catch (error) {
        count(refused, isFailure(error) ? error.code : String(error));
      }
      await sleep(Number(setting('PAUSE_MS')));
    }
  };
  const lanes = setting('ORGS').split(',').map(lane);

  const server = createServer((request, response) => {
    const { epoch, spoolRecords, gaps, full } = recorder.stats();
    const stats: ProducerStats = { acknowledged, refused, told, epoch, spoolRecords, gaps, full };
    response.end(request.url === '/stats' ? JSON.stringify(stats) : 'ready\n');
  });
  server.listen(Number(setting('PORT')), '127.0.0.1');

  process.once('SIGTERM', async () => {
    going = false;
    await Promise.all(lanes);
    const sent = await recorder.flush(60_000);
    await recorder.close();
    process.exit(sent ? 0 : 1);
  });
}

await main();
