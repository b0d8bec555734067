// What the query API takes for the questions that people ask, over tables of several sizes.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadavg } from 'node:os';
import { createKey, type Role } from '../../../../packages/access/src/index.ts';
import { createLog } from '../../../../packages/runtime/src/index.ts';
import { openAuthenticator } from '../../../../services/query/src/authenticate.ts';
import { serveApi } from '../../../../services/query/src/serve-api.ts';
import { type Row, type Subject, spreadOf } from '../measured.ts';
import { fillTable } from '../table/fill-table.ts';
import { openTable } from '../table/open-table.ts';

const DAYS = 30;
const GATEWAYS = 32;
const TIMES = 15;

/**
 * Realistic traffic over thirty days through ingest's encoder and INSERT, merged once; then each question over HTTP from here, with a key, recorded
 * into nothing. The service runs in this process, so its memory is this process's.
 *
 * --sizes N,N events, default 1,000,000, 5,000,000 and 20,000,000.
 */
const query: Subject = async ({ quick, flags, say }) => {
  const sizes = (flags['sizes'] ?? (quick ? '20000' : '1000000,5000000,20000000')).split(',').map(Number);
  const rows: Row[] = [];
  const figures: Record<string, number> = {};
  for (const events of sizes) {
    await using opened = await openTable();
    const { clickhouse } = opened;
    say(`inserting ${events.toLocaleString('en-US')} events`);
    const eventsPerSecond = events / (GATEWAYS * DAYS * 86_400);
    await fillTable(clickhouse, { events, rowsMax: 100_000, gateways: GATEWAYS, eventsPerSecond });
    say('merging');
    await clickhouse.exec('OPTIMIZE TABLE cairn.events FINAL');
    const [end] = await clickhouse.query<{ ms: number }>(
      'SELECT toUnixTimestamp64Milli(max(received_at)) AS ms FROM cairn.events',
      {},
      { output_format_json_quote_64bit_integers: 0 },
    );
    await using api = await serve(clickhouse, end?.ms ?? 0);

    const sessions = await clickhouse.query<{ id: string }>(
      `SELECT session_id AS id FROM cairn.events WHERE org_id = 'org-1' AND session_id != '' GROUP BY id ORDER BY cityHash64(id) LIMIT ${TIMES}`,
    );
    const agents = await clickhouse.query<{ id: string }>(
      `SELECT toString(agent_id) AS id FROM cairn.events WHERE org_id = 'org-1' AND agent_id != '' GROUP BY id ORDER BY cityHash64(id) LIMIT ${TIMES}`,
    );
    const search = encodeURIComponent;
    const questions: Record<string, string[]> = {
      'one session': sessions.map(({ id }) => `/v1/sessions/${search(id)}`),
      'last 100 events of an agent': agents.map(
        ({ id }) => `/v1/events?limit=100&search=${search(`agent:"${id}"`)}`,
      ),
      'histogram over 30 days, filtered': Array(TIMES).fill(
        `/v1/histogram?by=decision&search=${search('decision:(allow OR deny) timestamp:>now-30d')}`,
      ),
      'a word anywhere, 7 days': agents.map(
        (_, at) => `/v1/events?limit=100&search=${search(`zzz${at} timestamp:>now-7d`)}`,
      ),
    };
    for (const [name, paths] of Object.entries(questions)) {
      const took: number[] = [];
      for (const path of [paths[0]!, ...paths]) {
        const from = performance.now();
        await api.read(path);
        took.push(performance.now() - from);
      }
      took.shift();
      figures[`${name} ${events}`] = spreadOf(took).median;
      rows.push({ name: `${events.toLocaleString('en-US')}: ${name}`, figures: { ms: took } });
      say(`${name}: ${spreadOf(took).median.toFixed(1)} ms`);
    }
    const before = process.memoryUsage().rss;
    let most = before;
    const sampling = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20);
    const from = performance.now();
    const bytes = await api.read('/v1/exports/events?format=ndjson', 'auditor');
    const seconds = (performance.now() - from) / 1_000;
    clearInterval(sampling);
    const [count] = await clickhouse.query<{ n: number }>(
      `SELECT toUInt32(count()) AS n FROM cairn.events WHERE org_id = 'org-1'`,
    );
    const rate = (count?.n ?? 0) / seconds;
    const mebibytes = (most - before) / 1024 ** 2;
    figures[`export ${events}`] = rate;
    figures[`memory ${events}`] = mebibytes;
    rows.push({
      name: `${events.toLocaleString('en-US')}: export as NDJSON`,
      figures: { rows_s: [rate], mib: [mebibytes] },
    });
    say(
      `export: ${Math.round(rate).toLocaleString('en-US')} rows/s, ${(bytes / seconds / 1024 ** 2).toFixed(0)} MiB/s, ${mebibytes.toFixed(0)} MiB more memory`,
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
      { name: 'rows_s', heading: 'rows/s', digits: 0 },
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
      `Each question is asked ${TIMES} times after one that is not counted. Load ${loadavg()[0]?.toFixed(1)}.`,
    ],
  };
};

export default query;

type ClickHouse = Awaited<ReturnType<typeof openTable>>['clickhouse'];

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
    config: { org: 'cairn', limits: { perKeyAMinute: 1e6, perAddressAMinute: 1e6, streamsMax: 8 } },
    clickhouse,
    analyst: clickhouse,
    authenticator: openAuthenticator(clickhouse, { oidc: undefined, keyAgeMsMax: 60_000 }, randomBytes(32)),
    recorder: { record: async () => {} },
    log: createLog({ name: 'query', level: 'silent' }),
    nowMs: () => nowMs,
    onAnswered: () => {},
    stopping: new AbortController().signal,
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    /** Reads an answer to its end. @returns its bytes. */
    async read(path: string, role: Role = 'viewer'): Promise<number> {
      const answer = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${keys[role]}` } });
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      let bytes = 0;
      for await (const chunk of answer.body!) bytes += chunk.length;
      return bytes;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
