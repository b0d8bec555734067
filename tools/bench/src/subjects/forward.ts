// What an event costs the forwarder on its way to one destination: read out of its record, put in the destination's format, sent in
// batches to a receiver that answers at once. Kafka is left out, so that the figure is the forwarder's own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AUDIT_EVENT_SCHEMA_ID, encodeDatum, frame } from '@cairn/event';
import { type LogRecord, realClock, recordOf } from '@cairn/runtime';
import { type DestinationConfig, readForwarderConfig } from '../../../../services/forwarder/src/config.ts';
import { openLane } from '../../../../services/forwarder/src/deliver-items.ts';
import {
  type OpenDestination,
  openDestination,
} from '../../../../services/forwarder/src/open-destination.ts';
import { readItems } from '../../../../services/forwarder/src/read-items.ts';
import { certificate } from '../../../../services/forwarder/test/strict-receivers.ts';
import type { Measured, SubjectOptions } from '../measured.ts';
import { sampleEvents } from './encode.ts';

const BATCH = 500;
const PLACE = { topic: 'audit.events.standard', partition: 0 };
const NETWORK = { plainHttp: true, allow: ['127.0.0.0/8'] };

export default async function forward({ quick, say }: SubjectOptions): Promise<Measured> {
  const records = sampleEvents(BATCH).map((event, offset) =>
    recordOf(offset, frame(AUDIT_EVENT_SCHEMA_ID, encodeDatum(event)), Date.now()),
  );
  const directory = mkdtempSync(join(tmpdir(), 'cairn-forward-'));
  const { caFile, keyFile } = certificate(directory);
  const receiver = spawn(
    process.execPath,
    [join(import.meta.dirname, '..', 'forward', 'receiver.ts'), caFile, keyFile],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    const configs = destinationsAt(directory, await portsOf(receiver), caFile);
    const [repeats, batches] = quick ? [1, 4] : [5, 40];
    const figures = configs.map(() => ({
      events_s: [] as number[],
      read_us: [] as number[],
      cpu_us: [] as number[],
    }));
    for (let repeat = -1; repeat < repeats; repeat += 1) {
      say(repeat < 0 ? 'warming up' : `repeat ${repeat + 1} of ${repeats}`);
      for (const [place, config] of configs.entries()) {
        const opened = openDestination(config, NETWORK, realClock, Date.now);
        const { read, sent } = await costOf(opened, records, batches);
        await opened.destination[Symbol.asyncDispose]();
        if (repeat < 0) continue;
        const events = batches * BATCH;
        figures[place]!.read_us.push((read / events) * 1e6);
        figures[place]!.cpu_us.push(((read + sent) / events) * 1e6);
        figures[place]!.events_s.push(events / (read + sent));
      }
    }
    return {
      question:
        'How many events a second of CPU does the forwarder bring to a receiver that answers at once?',
      columns: [
        { name: 'events_s', heading: 'events/s of CPU', digits: 0 },
        { name: 'cpu_us', heading: 'µs/event', digits: 1 },
        { name: 'read_us', heading: 'of it read and format', digits: 1 },
      ],
      rows: configs.map(({ name }, place) => ({ name, figures: figures[place]! })),
      claims: configs.map(({ name }, place) => ({
        what: `events a second of CPU to ${name}, the least of any repeat`,
        measured: Math.min(...figures[place]!.events_s),
        wanted: 'at least',
        limit: 10_000,
      })),
      notes: [
        `Batches of ${BATCH} events, half of them decisions and half outcomes; CPU of the whole process, compression included, the receiver's not.`,
        'Plain HTTP on the loopback, and syslog over TLS, with a handshake for each batch. What reading from Kafka costs is left out.',
      ],
    };
  } finally {
    receiver.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** CPU seconds of this process, and of its threads. */
async function costOf(
  { destination, format }: OpenDestination,
  records: readonly LogRecord[],
  batches: number,
): Promise<{ readonly read: number; readonly sent: number }> {
  const lane = openLane({
    destination,
    clock: realClock,
    rest: { firstMs: 10, mostMs: 10 },
    onVerdict(verdict) {
      if (verdict.kind === 'unavailable' || verdict.kind === 'refused') throw new Error(verdict.reason);
    },
  });
  const never = new AbortController().signal;
  const options = { filter: {}, format, releasedIdOf: (id: number) => id };
  let [read, sent] = [0, 0];
  for (let batch = 0; batch < batches; batch += 1) {
    const before = cpuSeconds();
    const { items } = readItems(records, PLACE, options);
    const between = cpuSeconds();
    const refused = await lane.deliver(items, never);
    if (items.length !== BATCH || refused.length > 0) throw new Error('not every event was taken');
    read += between - before;
    sent += cpuSeconds() - between;
  }
  return { read, sent };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function destinationsAt(
  directory: string,
  [port, syslogPort]: readonly [number, number],
  caFile: string,
): DestinationConfig[] {
  const secret = join(directory, 'secret');
  writeFileSync(secret, 'Bearer 00000000-0000-0000-0000-000000000000');
  const url = `http://127.0.0.1:${port}`;
  const batch = { itemsMax: BATCH };
  const file = join(directory, 'forwarder.yaml');
  const destinations = [
    { name: 'ocsf', type: 'ocsf', url, authorizationFile: secret, batch },
    { name: 'elastic', type: 'elastic', url, authorizationFile: secret, batch },
    { name: 'splunk', type: 'splunk', url, tokenFile: secret, acknowledgement: 'off', batch },
    { name: 'datadog', type: 'datadog', url, keyFile: secret, batch },
    { name: 'syslog', type: 'syslog', host: '127.0.0.1', port: syslogPort, caFile, batch },
  ];
  writeFileSync(file, JSON.stringify({ network: NETWORK, destinations }));
  const env = {
    CAIRN_FORWARDER_CONFIG: file,
    KAFKA_BROKERS: '127.0.0.1:9092',
    CAIRN_DEPLOYMENT: 'bench',
    CAIRN_FORWARDER_DATA_DIRECTORY: directory,
  };
  return readForwarderConfig(env).destinations;
}

async function portsOf(receiver: ChildProcess): Promise<readonly [number, number]> {
  const [said] = (await once(receiver.stdout!, 'data')) as [Buffer];
  const [http = 0, syslog = 0] = said.toString().trim().split(' ').map(Number);
  return [http, syslog];
}
