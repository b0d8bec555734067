import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createKey, type Role, type Scope } from '@cairn/access';
import { type ClickHouse, type Kafka, migrate, openClickHouse } from '@cairn/adapters';
import { type AuditEvent, decodeDatum, unframe } from '@cairn/event';
import { REPOSITORY, startParts } from '@cairn/local';
import { makeKeyEncryptionKey, SubjectKeys } from '@cairn/privacy';
import { createLog, createMetrics } from '@cairn/runtime';
import { fillTable } from '../../../tools/bench/src/table/fill-table.ts';
import { createQuery, type QueryConfig, readQueryConfig } from '../src/index.ts';
import { type ArchivedWorld, archivedWorld, loadWorld } from './archived-world.ts';

export interface ApiRig extends AsyncDisposable {
  readonly url: string;
  readonly clickhouse: ClickHouse;
  /** Values that the service appended to the log. */
  readonly appended: readonly Uint8Array[];
  readonly lines: readonly string[];
  readonly world: ArchivedWorld;
  /** Where the service makes bundles. */
  readonly bundles: string;
  /** Where gateways would keep the keys of sealed values. */
  readonly subjects: SubjectKeys;
  /** Text of a new key. */
  key(role: Role, more?: { orgId?: string; scopes?: readonly Scope[]; days?: number }): Promise<string>;
  ask(
    path: string,
    options?: { key?: string; method?: string; body?: unknown; headers?: Record<string, string> },
  ): Promise<Response>;
  /** The body of an answer. @throws Error when it is a problem. */
  json<T>(path: string, options?: Parameters<ApiRig['ask']>[1]): Promise<T>;
  /** What was recorded of a request, once it was shipped; empty when nothing came in some seconds. */
  recordedOf(requestId: string): Promise<AuditEvent[]>;
}

export const ORG = 'org-1';

/** The service over a real ClickHouse with realistic events. Its log is here, so that what it records can be looked at. */
export async function startApi(options: {
  events: number;
  /** Events in the archive; default some of January, which the table does not have. */
  archived?: number;
  /** Into the table as well. */
  isLoaded?: boolean;
  env?: Record<string, string>;
}): Promise<ApiRig> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-api-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true }));
  const parts = own.use(await startParts({ directory, parts: ['clickhouse', 's3'], ports: 'any' }));
  const clickhouse = own.use(openClickHouse({ url: parts.part('clickhouse').address }));
  await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
  if (options.events > 0)
    await fillTable(clickhouse, {
      events: options.events,
      rowsMax: 20_000,
      gateways: 8,
      partitions: 2,
      eventsPerSecond: 20,
    });
  const endpoint = parts.part('s3').address;
  const world = await archivedWorld(clickhouse, endpoint, directory, options.archived ?? 600);
  if (options.isLoaded === true) await loadWorld(clickhouse, world);
  const kek = join(directory, 'kek.key');
  const subjects = new SubjectKeys({
    directory: join(directory, 'subjects'),
    keyEncryptionKeys: [await makeKeyEncryptionKey(kek)],
    onMade: async () => {},
  });

  const appended: Uint8Array[] = [];
  const kafka = {
    log: {
      append: async (_topic: string, _partition: number, values: readonly Uint8Array[]) =>
        void appended.push(...values),
    },
    partitionsOf: async () => 2,
  } as unknown as Kafka;
  const lines: string[] = [];
  const config: QueryConfig = readQueryConfig({
    ...parts.env(),
    KAFKA_BROKERS: 'none:1',
    CAIRN_QUERY_PORT: '0',
    CAIRN_QUERY_HEALTH_PORT: '0',
    CAIRN_QUERY_DATA_DIRECTORY: join(directory, 'query'),
    CAIRN_QUERY_REQUESTS_PER_KEY: '100000',
    CAIRN_QUERY_REQUESTS_PER_ADDRESS: '100000',
    CAIRN_RETENTION_CONFIG: join(REPOSITORY, 'deploy', 'config', 'retention.yaml'),
    ...world.env,
    CAIRN_QUERY_SUBJECT_STORE: join(directory, 'subjects'),
    CAIRN_QUERY_KEY_ENCRYPTION_KEYS: kek,
    ...options.env,
  });
  const log = createLog({
    name: 'query',
    level: 'info',
    destination: { write: (line: string) => void lines.push(line) } as never,
  });
  const query = own.use(
    await createQuery(
      config,
      { log, metrics: createMetrics('query'), onReload: () => {} },
      { kafka, clickhouse },
    ),
  );
  const url = `http://127.0.0.1:${query.port}`;
  const ask: ApiRig['ask'] = (path, { key, method = 'GET', body, headers = {} } = {}) => {
    return fetch(`${url}${path}`, {
      method,
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
  return {
    url,
    clickhouse,
    appended,
    lines,
    world,
    bundles: join(directory, 'query', 'bundles'),
    subjects,
    async key(role, { orgId = ORG, scopes, days = 1 } = {}) {
      const { text } = await createKey(
        clickhouse,
        { orgId, role, scopes, name: 'test', createdBy: 'test', days },
        Date.now(),
      );
      return text;
    },
    ask,
    async json<T>(path: string, options?: Parameters<ApiRig['ask']>[1]) {
      const answer = await ask(path, options);
      const text = await answer.text();
      if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${text}`);
      return JSON.parse(text) as T;
    },
    async recordedOf(requestId) {
      for (let wait = 0; wait < 200; wait += 1) {
        const found = appended
          .map((value) => unframe(value))
          .flatMap((framed) => ('datum' in framed ? [decodeDatum(framed.datum, framed.schemaId)] : []))
          .filter(({ detail }) => detail.includes(requestId));
        if (found.length > 0) return found;
        await sleep(25);
      }
      return [];
    },
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}
