import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import {
  type ClickHouseClient,
  type ClickHouseClientConfigOptions,
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
} from '@clickhouse/client';
import { startParts } from './parts.ts';

/** The embedded ClickHouse as a process, and clients of it. */
export interface Rig extends AsyncDisposable {
  readonly url: string;
  readonly client: ClickHouseClient;
  /** Memory of the server's process that is in use now. */
  memoryBytes(): number;
  /** One more client, closed with the rig. */
  connect(options?: ClickHouseClientConfigOptions): ClickHouseClient;
  /** Rows of a SELECT as arrays of values. */
  rows(sql: string): Promise<unknown[][]>;
  /** Bytes of the answer to a SELECT, in a format. */
  bytes(sql: string, format: string): Promise<Buffer>;
  /** How many queries run whose text contains this. */
  running(text: string): Promise<number>;
}

export async function startRig(): Promise<Rig> {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-clickhouse-'));
  const parts = await startParts({ directory, parts: ['clickhouse'], ports: 'any' });
  const part = parts.part('clickhouse');
  const url = part.address;
  const clients: ClickHouseClient[] = [];
  const connect = (options: ClickHouseClientConfigOptions = {}): ClickHouseClient => {
    const client = createClient({
      url,
      max_open_connections: 64,
      log: { level: ClickHouseLogLevel.OFF },
      ...options,
    });
    clients.push(client);
    return client;
  };
  const client = connect();
  const rows = async (query: string): Promise<unknown[][]> => {
    const answer = await client.query({ query, format: 'JSONCompactEachRow' });
    return answer.json<unknown[]>();
  };
  return {
    url,
    client,
    memoryBytes() {
      const status = readFileSync(`/proc/${part.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    },
    connect,
    rows,
    async bytes(sql, format) {
      const { stream } = await client.exec({ query: `${sql} FORMAT ${format}` });
      return buffer(stream);
    },
    async running(text) {
      const [row] = await rows(
        `SELECT toUInt32(count()) FROM system.processes WHERE query LIKE '%${text}%' AND query NOT LIKE '%system.processes%'`,
      );
      return Number(row?.[0]);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((one) => one.close()));
      await parts[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Number and name of the error that a call ends with. */
export async function errorOf(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof ClickHouseError ? `${error.code} ${error.type}` : String(error);
}

/** Waits until `holds` says true. */
export async function until(holds: () => Promise<boolean>, msMax = 10_000): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`it did not come about within ${msMax} ms`);
  }
}
