import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LocalPart } from './part.ts';

/** The real ClickHouse engine, embedded, behind ClickHouse's HTTP interface: see clickhouse-server.ts. */
export const clickhouse: LocalPart = {
  readyMsMax: 60_000,
  address: (port) => `http://127.0.0.1:${port}`,
  async ready(port) {
    const answer = await fetch(`http://127.0.0.1:${port}/ping`, { signal: AbortSignal.timeout(2_000) });
    return answer.status === 200;
  },
  async install() {
    // The engine is an npm package, installed with all others.
  },
  async prepare(_cache, { port, directory }) {
    mkdirSync(directory, { recursive: true });
    return {
      command: process.execPath,
      args: [join(import.meta.dirname, 'clickhouse-server.ts'), String(port), directory],
      // Each running query holds one thread of Node's pool.
      env: { UV_THREADPOOL_SIZE: '24', PATH: '/usr/local/bin:/usr/bin:/bin' },
    };
  },
};
