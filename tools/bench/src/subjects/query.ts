// What the query API takes for the questions that people ask, over tables of several sizes.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { REPOSITORY } from '@cairn/local';
import { createKey, type Role } from '../../../../packages/access/src/index.ts';
import { createLog } from '../../../../packages/runtime/src/index.ts';
import { openAuthenticator } from '../../../../services/query/src/authenticate.ts';
import { serveApi } from '../../../../services/query/src/serve-api.ts';
import { type Row, type Subject, spreadOf } from '../measured.ts';
import { cpuSecondsOf } from '../process-cost.ts';
import type { Taken } from '../query/take-export.ts';
import { fillDays } from '../table/fill-days.ts';
import { type OpenedTable, openKeptTable } from '../table/open-table.ts';
import { between, readCounted } from '../table/read-cost.ts';

const DAYS = 30;
const GATEWAYS = 32;
const TIMES = 15;
const CALLER = join(import.meta.dirname, '..', 'query', 'take-export.ts');

/**
 * Realistic traffic over thirty days; then each question over HTTP from here, with a key, recorded into nothing. The service runs
 * in this process; who takes the export has one of its own, so the memory and CPU of the export here are the service's.
 *
 * --sizes N,N events, default 1,000,000, 5,000,000 and 20,000,000. --keep leaves what was filled in .local/bench, where the next
 * run finds it; without it, it is removed. --only s,a,h,w,e asks some of the questions.
 */
const query: Subject = async ({ quick, flags, say }) => {
  const sizes = (flags['sizes'] ?? (quick ? '20000' : '1000000,5000000,20000000')).split(',').map(Number);
  const rows: Row[] = [];
  const figures: Record<string, number> = {};
  for (const events of sizes) {
    const directory = join(REPOSITORY, '.local', 'bench', `query-${events}`);
    await using opened = await openKeptTable(directory, 'keep' in flags);
    const { clickhouse } = opened;
    if (!opened.isFilled) {
      await fillDays(clickhouse, { events, days: DAYS, gateways: GATEWAYS, say });
      opened.filled();
    }
    await fillLeafRuns(clickhouse);
    const [end] = await clickhouse.query<{ ms: number }>(
      'SELECT toUnixTimestamp64Milli(max(received_at)) AS ms FROM cairn.events',
      {},
      { output_format_json_quote_64bit_integers: 0 },
    );
    await using api = await serve(clickhouse, end?.ms ?? 0);

    const size = events.toLocaleString('en-US');
    for (const { name, letter, paths } of await questionsOf(clickhouse)) {
      if (!(flags['only'] ?? letter).includes(letter)) continue;
      const took: number[] = [];
      // The first is not counted: caches are cold.
      await api.read(paths[0]!);
      const before = await readCounted(clickhouse);
      for (const path of paths.slice(1)) {
        const from = performance.now();
        await api.read(path);
        took.push(performance.now() - from);
      }
      const cost = between(before, await readCounted(clickhouse));
      const [cpuMs, rowsRead] = [cost.cpuMs / took.length, cost.rowsRead / took.length];
      figures[`${name} ${events}`] = spreadOf(took).median;
      rows.push({ name: `${size}: ${name}`, figures: { ms: took, cpu_ms: [cpuMs], rows: [rowsRead] } });
      say(
        `${size}: ${name}: ${spreadOf(took).median.toFixed(1)} ms, ${cpuMs.toFixed(1)} ms of CPU, ${Math.round(rowsRead)} rows read`,
      );
    }
    if (!(flags['only'] ?? 'e').includes('e')) continue;

    globalThis.gc?.();
    const held = process.memoryUsage().rss;
    let most = held;
    const sampling = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 50);
    const engineSeconds = () => cpuSecondsOf(opened.pid) ?? Number.NaN;
    const [before, engineBefore, cpuBefore] = [
      await readCounted(clickhouse),
      engineSeconds(),
      process.cpuUsage(),
    ];
    const taken = await api.take('/v1/exports/events?format=ndjson');
    const { user, system } = process.cpuUsage(cpuBefore);
    const engineMicros = (engineSeconds() - engineBefore) * 1e6;
    const cost = between(before, await readCounted(clickhouse));
    clearInterval(sampling);
    const [count] = await clickhouse.query<{ n: number }>(
      `SELECT toUInt32(count()) AS n FROM cairn.events WHERE org_id = 'org-1'`,
    );
    const exported = count?.n ?? 0;
    const rate = exported / taken.seconds;
    const mebibytes = (most - held) / 1024 ** 2;
    figures[`export ${events}`] = rate;
    figures[`memory ${events}`] = mebibytes;
    const each = {
      row_cpu_us: (cost.cpuMs * 1_000) / exported,
      row_front_us: (engineMicros - cost.cpuMs * 1_000) / exported,
      row_here_us: (user + system) / exported,
      row_caller_us: taken.cpuMicros / exported,
      row_bytes: taken.bytes / exported,
    };
    rows.push({
      name: `${size}: export as NDJSON, ${exported.toLocaleString('en-US')} rows`,
      figures: {
        cpu_ms: [cost.cpuMs],
        rows: [cost.rowsRead],
        ...Object.fromEntries(Object.entries(each).map(([name, value]) => [name, [value]])),
        rows_s: [rate],
        mib: [mebibytes],
      },
    });
    say(
      `${size}: export: ${Math.round(rate).toLocaleString('en-US')} rows/s of ${each.row_bytes.toFixed(0)} bytes; CPU of a row: ${each.row_cpu_us.toFixed(1)} µs ClickHouse's queries, ${each.row_front_us.toFixed(1)} the rest of its process, ${each.row_here_us.toFixed(1)} the service, ${each.row_caller_us.toFixed(1)} the caller; ${mebibytes.toFixed(0)} MiB more memory`,
    );
  }
  const largest = sizes.at(-1)!;
  const claim = (what: string, name: string, limit: number) =>
    ({
      what: `${what}, median at ${largest.toLocaleString('en-US')}`,
      measured: figures[`${name} ${largest}`] ?? Number.NaN,
      wanted: 'at most',
      limit,
    }) as const;
  return {
    question: 'How long do the questions of people take over HTTP, and how does that grow with the table?',
    columns: [
      { name: 'ms', heading: 'ms', digits: 1 },
      { name: 'cpu_ms', heading: 'ClickHouse CPU ms', digits: 1 },
      { name: 'rows', heading: 'rows read', digits: 0 },
      { name: 'rows_s', heading: 'rows/s', digits: 0 },
      { name: 'row_cpu_us', heading: 'ClickHouse µs/row', digits: 1 },
      { name: 'row_front_us', heading: 'rest of its process µs/row', digits: 1 },
      { name: 'row_here_us', heading: 'service µs/row', digits: 1 },
      { name: 'row_caller_us', heading: 'caller µs/row', digits: 1 },
      { name: 'row_bytes', heading: 'bytes/row', digits: 0 },
      { name: 'mib', heading: 'MiB more', digits: 0 },
    ],
    rows,
    claims: [
      claim('ms of a session', 'one session', 50),
      claim('ms of the last 100 events of an agent', 'last 100 events of an agent', 50),
      claim('ms of a filtered histogram over 30 days', 'histogram over 30 days, filtered', 500),
      claim('ms of a word anywhere over 7 days', 'a word anywhere, 7 days', 1_000),
      {
        what: 'rows/s of an export',
        measured: figures[`export ${largest}`] ?? Number.NaN,
        wanted: 'at least',
        limit: 150_000,
      },
      claim('MiB that an export adds', 'memory', 200),
    ],
    notes: [
      `${GATEWAYS} gateways of 11 organisations over ${DAYS} days; the caller's has one in eleven events. The word is in no event, so all of its range is read.`,
      `Each question is asked ${TIMES} times, of another session or agent or with another word or time each, after one that is not counted. CPU and rows read are means. Load ${loadavg()[0]?.toFixed(1)}.`,
    ],
  };
};

/**
 * Where the leaves are, as archival would have written it had it parked one record behind each 65,536: so an export has runs to look
 * its leaves up in.
 */
async function fillLeafRuns(clickhouse: ClickHouse): Promise<void> {
  await clickhouse.exec('TRUNCATE TABLE cairn.leaf_runs');
  await clickhouse.exec(
    `INSERT INTO cairn.leaf_runs (topic, partition, offset_first, offset_last, leaf_first)
     SELECT topic, partition, min(offset), max(offset), min(offset) - intDiv(min(offset), 65536)
     FROM cairn.events GROUP BY topic, partition, intDiv(offset, 65536)`,
  );
}

/** The questions, each in so many words, and one before them that is not counted. */
async function questionsOf(clickhouse: ClickHouse) {
  const drawn = async (id: string) => {
    const rows = await clickhouse.query<{ id: string }>(
      `SELECT toString(${id}) AS id FROM cairn.events WHERE org_id = 'org-1' AND ${id} != '' GROUP BY id ORDER BY cityHash64(id) LIMIT ${TIMES + 1}`,
    );
    return rows.map(({ id }) => id);
  };
  const [sessions, agents] = [await drawn('session_id'), await drawn('agent_id')];
  const search = encodeURIComponent;
  const times = Array.from({ length: TIMES + 1 }, (_, at) => at);
  return [
    {
      name: 'one session',
      letter: 's',
      paths: sessions.map((id) => `/v1/sessions/${search(id)}`),
    },
    {
      name: 'last 100 events of an agent',
      letter: 'a',
      paths: agents.map((id) => `/v1/events?limit=100&search=${search(`agent:"${id}"`)}`),
    },
    {
      name: 'histogram over 30 days, filtered',
      letter: 'h',
      paths: times.map(
        (at) =>
          `/v1/histogram?by=decision&search=${search(`decision:(allow OR deny) timestamp:>now-${30 * 24 * 60 - at}m`)}`,
      ),
    },
    {
      name: 'a word anywhere, 7 days',
      letter: 'w',
      paths: times.map((at) => `/v1/events?limit=100&search=${search(`zzz${at} timestamp:>now-7d`)}`),
    },
  ];
}

export default query;

type ClickHouse = OpenedTable['clickhouse'];

/** The API over a table, at a time at which all of it has arrived. */
async function serve(clickhouse: ClickHouse, nowMs: number) {
  const keys: Partial<Record<Role, string>> = {};
  for (const role of ['viewer', 'auditor'] as const)
    keys[role] = (
      await createKey(
        clickhouse,
        { orgId: 'org-1', role, name: 'bench', createdBy: 'bench', days: 300 },
        nowMs,
      )
    ).text;
  const app = serveApi({
    config: {
      org: 'cairn',
      deployment: 'bench',
      limits: { perKeyAMinute: 1e6, perAddressAMinute: 1e6, streamsMax: 8 },
    },
    clickhouse,
    analyst: clickhouse,
    authenticator: openAuthenticator(clickhouse, { oidc: undefined, keyAgeMsMax: 60_000 }, randomBytes(32)),
    recorder: { record: async () => {} },
    archive: undefined,
    subjectKeys: undefined,
    log: createLog({ name: 'query', destination: { write: () => {} } }),
    nowMs: () => nowMs,
    onAnswered: () => {},
    stopping: new AbortController().signal,
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    /** Reads an answer to its end. */
    async read(path: string): Promise<void> {
      const answer = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${keys.viewer}` } });
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      await answer.arrayBuffer();
    },
    /** Takes an export from another process. */
    async take(path: string): Promise<Taken> {
      const { stdout } = await promisify(execFile)(process.execPath, [CALLER, `${url}${path}`], {
        env: { ...process.env, KEY: keys.auditor },
      });
      return JSON.parse(stdout) as Taken;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
