// Exports from a real ClickHouse: whole in every format, and again whole after each cut.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readExport } from '../../../packages/cli/src/read-export.ts';
import { cairn } from '../../../packages/cli/src/testing/run-cairn.ts';
import { apiForTests } from '../test/api-for-tests.ts';
import { ORG } from '../test/api-rig.ts';
import { startCuttingProxy } from '../test/cutting-proxy.ts';
import { formulasIn, parseCsv, SEPARATORS } from '../test/formulas-in.ts';
import { hostileCells, insertHostile, naiveCsv } from '../test/hostile-cells.ts';

const world = apiForTests(12_000);
const { keys, json, one } = world;

describe('an export', () => {
  test('holds every event once, with its place and leaf, and says so at its end', async () => {
    const wanted = await one<{ n: number }>(
      `SELECT count() AS n FROM cairn.events WHERE org_id = {org:String}`,
      { org: ORG },
    );
    const text = await (await world.api.ask('/v1/exports/events', { key: keys['auditor']! })).text();
    const lines = text.trimEnd().split('\n');
    const { _end: end } = JSON.parse(lines.at(-1)!) as {
      _end: { count: number; sha256: string; next: string };
    };
    const rows = lines.slice(0, -1).map((line) => JSON.parse(line));
    expect([rows.length, end.count]).toEqual([wanted.n, wanted.n]);
    expect(new Set(rows.map(({ topic, partition, offset }) => `${topic}/${partition}/${offset}`)).size).toBe(
      wanted.n,
    );
    expect(rows.every(({ org_id: org, leaf_hash: leaf }) => org === ORG && /^[0-9a-f]{64}$/.test(leaf))).toBe(
      true,
    );
    expect(end.sha256).toBe(
      createHash('sha256')
        .update(text.slice(0, text.lastIndexOf('{"_end"')))
        .digest('hex'),
    );
  }, 60_000);

  test('that was cut off goes on behind its last whole row: together they are the whole', async () => {
    const whole = await world.api.ask('/v1/exports/events?search=decision:deny', { key: keys['auditor']! });
    const lines = (await whole.text()).trimEnd().split('\n');
    const { _end: end } = JSON.parse(lines.at(-1)!);
    const cut = JSON.parse(lines[20]!);
    expect(end.count).toBe(lines.length - 1);
    const cursor = JSON.parse(Buffer.from(whole.headers.get('cairn-start')!, 'base64url').toString());
    const after = Buffer.from(
      JSON.stringify({
        ...cursor,
        at: { timestamp: cut.timestamp, topic: cut.topic, partition: cut.partition, offset: cut.offset },
      }),
    ).toString('base64url');
    const rest = (
      await (
        await world.api.ask(`/v1/exports/events?search=decision:deny&after=${after}`, {
          key: keys['auditor']!,
        })
      ).text()
    )
      .trimEnd()
      .split('\n');
    expect(rest.slice(0, -1)).toEqual(lines.slice(21, -1));
  });

  test.each(['ndjson', 'json', 'csv', 'ocsf', 'ecs', 'parquet'])(
    'as %s that is cut at any byte, as `cairn export` takes it, is byte for byte the one that was not',
    async (form) => {
      await using proxy = await startCuttingProxy(world.api.url);
      const directory = mkdtempSync(join(tmpdir(), 'cairn-cut-'));
      const file = join(directory, 'out');
      const path = `/v1/exports/events?search=decision:deny&format=${form}`;
      const { byteLength } = await (await world.api.ask(path, { key: keys['auditor']! })).arrayBuffer();
      for (const cuts of fc.sample(fc.array(fc.nat(byteLength - 1), { minLength: 1, maxLength: 3 }), {
        seed: 15,
        numRuns: 2,
      })) {
        [proxy.cuts, proxy.start] = [[...cuts], undefined];
        const said = await cairn(['export', form, file, '--search', 'decision:deny', '--api', proxy.url], {
          env: { CAIRN_API_KEY: keys['auditor']! },
          parts: { sleep: async () => {} },
        });
        expect(said).toMatchObject({ code: 0 });
        expect(proxy.cuts).toEqual([]);
        // As of the same time, whole and past the proxy.
        const whole = await world.api.ask(`${path}&after=${proxy.start}`, { key: keys['auditor']! });
        const bytes = Buffer.from(await whole.arrayBuffer());
        const end = bytes.lastIndexOf('{"_end":');
        const wanted = end === -1 || form === 'json' ? bytes : bytes.subarray(0, end);
        expect(wanted.length).toBeGreaterThan(10_000);
        expect([cuts, readFileSync(file).equals(wanted)]).toEqual([cuts, true]);
      }
      rmSync(directory, { recursive: true });
    },
    60_000,
  );

  test('says with how many rows it is whole, behind a row as well, and from its beginning the same again', async () => {
    const path = '/v1/exports/events?search=decision:deny&format=csv';
    const whole = await world.api.ask(path, { key: keys['auditor']! });
    const lines = (await whole.text()).trimEnd().split('\r\n');
    expect(whole.headers.get('cairn-count')).toBe(String(lines.length - 1));
    const start = whole.headers.get('cairn-start')!;
    const [timestamp, topic, partition, offset] = lines[7]!
      .split(',')
      .map((cell) => cell.replaceAll('"', ''));
    const at = {
      timestamp: Number(timestamp),
      topic,
      partition: Number(partition),
      offset: Number(offset),
    };
    const cursor = { ...JSON.parse(Buffer.from(start, 'base64url').toString()), at };
    const after = Buffer.from(JSON.stringify(cursor)).toString('base64url');
    const rest = await world.api.ask(`${path}&after=${after}`, { key: keys['auditor']! });
    expect(rest.headers.get('cairn-count')).toBe(String(lines.length - 8));
    expect((await rest.text()).trimEnd().split('\r\n')).toEqual(lines.slice(8));
    const again = await world.api.ask(`${path}&after=${start}`, { key: keys['auditor']! });
    expect((await again.text()).trimEnd().split('\r\n')).toEqual(lines);
  });

  test('as JSON, CSV and Parquet holds as many events', async () => {
    const { count } = await json<{ count: number }>('/v1/exports/count?search=decision:deny');
    const whole = await json<{ events: unknown[]; count: number }>(
      '/v1/exports/events?format=json&search=decision:deny',
    );
    expect([whole.events.length, whole.count]).toEqual([count, count]);
    const csv = await (
      await world.api.ask('/v1/exports/events?format=csv&search=decision:deny', { key: keys['auditor']! })
    ).text();
    expect(csv.trimEnd().split('\r\n')).toHaveLength(count + 1);
    const parquet = Buffer.from(
      await (
        await world.api.ask('/v1/exports/events?format=parquet&search=decision:deny', {
          key: keys['auditor']!,
        })
      ).arrayBuffer(),
    );
    expect([parquet.subarray(0, 4).toString(), parquet.subarray(-4).toString()]).toEqual(['PAR1', 'PAR1']);
  });

  test('says of each row which leaf of its log it is, in every format, and of what is not archived that it is not known', async () => {
    const topic = 'audit.events.standard';
    const run = (partition: number, first: number, last: number, leaf: number) => ({
      topic,
      partition,
      offset_first: first,
      offset_last: last,
      leaf_first: leaf,
    });
    // Offsets 300 to 304 of partition 0 are no leaves; partition 1 begins at a leaf of its own.
    await world.api.clickhouse.insertRows('cairn.leaf_runs', [
      run(0, 0, 199, 0),
      run(0, 200, 299, 200),
      run(0, 305, 900, 300),
      run(1, 100, 400, 7),
    ]);
    const expected = (partition: number, offset: number): number | null => {
      if (partition === 0 && offset < 300) return offset;
      if (partition === 0 && offset >= 305 && offset <= 900) return offset - 5;
      return partition === 1 && offset >= 100 && offset <= 400 ? offset - 93 : null;
    };
    const ask = async (format: string) =>
      (
        await world.api.ask(`/v1/exports/events?search=kind:tool_call&format=${format}`, {
          key: keys['auditor']!,
        })
      ).text();
    interface Row {
      readonly topic: string;
      readonly partition: number;
      readonly offset: number;
      readonly leaf_hash: string;
      readonly leaf_index?: number | null;
    }
    const rows = (await ask('ndjson'))
      .trimEnd()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Row);
    expect(rows.filter(({ leaf_index: index }) => index !== null).length).toBeGreaterThan(200);
    expect(rows.filter(({ leaf_index: index }) => index === null).length).toBeGreaterThan(200);
    expect(rows.map(({ leaf_index: index }) => index)).toEqual(
      rows.map(({ partition, offset }) => expected(partition, offset)),
    );

    const whole = JSON.parse(await ask('json')) as { events: Row[] };
    expect(whole.events).toEqual(rows);
    for (const [format, proofOf] of [
      ['ocsf', (line: { unmapped: { cairn: { proof: Row } } }) => line.unmapped.cairn.proof],
      ['ecs', (line: { cairn: { proof: Row } }) => line.cairn.proof],
    ] as const) {
      const lines = (await ask(format)).trimEnd().split('\n').slice(0, -1);
      expect(lines.map((line) => proofOf(JSON.parse(line)).leaf_index ?? null)).toEqual(
        rows.map(({ leaf_index: index }) => index),
      );
    }
    const [head = '', ...cells] = (await ask('csv')).trimEnd().split('\r\n');
    const names = head.split(',').map((name) => name.replaceAll('"', ''));
    expect(names.slice(0, 7)).toEqual([
      ...['timestamp', 'topic', 'partition', 'offset', 'received_at', 'leaf_hash', 'leaf_index'],
    ]);
    expect(cells.map((line) => line.split(',', 7)[6])).toEqual(
      rows.map(({ leaf_index: index }) => (index === null ? '' : String(index))),
    );

    // Read by a reader of Parquet that is not ours.
    const parquet = await world.api.ask('/v1/exports/events?search=kind:tool_call&format=parquet', {
      key: keys['auditor']!,
    });
    const directory = mkdtempSync(join(tmpdir(), 'cairn-parquet-'));
    const file = join(directory, 'events.parquet');
    writeFileSync(file, new Uint8Array(await parquet.arrayBuffer()));
    const read = [];
    for await (const { at, event } of readExport(file)) read.push({ ...event, row: at.number });
    rmSync(directory, { recursive: true });
    expect(read).toEqual(rows.map((row, at) => ({ ...row, store: 'archive', row: at + 1 })));
  }, 60_000);

  test('as OCSF and ECS holds as many events, each with its leaf and its place', async () => {
    const { count } = await json<{ count: number }>('/v1/exports/count?search=decision:deny');
    for (const format of ['ocsf', 'ecs']) {
      const text = await (
        await world.api.ask(`/v1/exports/events?format=${format}&search=decision:deny`, {
          key: keys['auditor']!,
        })
      ).text();
      const lines = text.trimEnd().split('\n');
      const { _end: end } = JSON.parse(lines.at(-1)!) as { _end: { count: number; sha256: string } };
      expect([format, end.count, lines.length - 1]).toEqual([format, count, count]);
      expect(end.sha256).toBe(
        createHash('sha256')
          .update(text.slice(0, text.lastIndexOf('{"_end"')))
          .digest('hex'),
      );
      for (const line of lines.slice(0, -1)) {
        const leaf = /"leaf_hash":"([0-9a-f]{64})"/.exec(line)?.[1];
        expect(leaf).toBeDefined();
        expect(line).toContain('"partition":');
      }
    }
  });

  describe('as CSV', () => {
    const cells = hostileCells(300);
    let csv: string;
    beforeAll(async () => {
      await insertHostile(world.api.clickhouse, 'csv-org', cells);
      const key = await world.api.key('auditor', { orgId: 'csv-org' });
      csv = await (await world.api.ask('/v1/exports/events?format=csv', { key })).text();
    });

    test.each(SEPARATORS)(
      'has no cell that a spreadsheet computes, whatever names agents have, opened with %j between cells',
      (separator) => {
        expect(formulasIn(naiveCsv(cells), separator).length).toBeGreaterThan(10);
        expect(formulasIn(csv, separator)).toEqual([]);
      },
    );

    test('has no cell that begins with a sign that only some spreadsheets take for a formula', () => {
      const rows = parseCsv(csv);
      expect(rows).toHaveLength(cells.length + 1);
      expect(rows.flat().filter((cell) => /^[\s\p{Cf}"]*[=+\-@＝＋－＠]/u.test(cell))).toEqual([]);
      expect(rows.flat()).toEqual(
        expect.arrayContaining(["'=1+1", "'@SUM(1)", "'＝1+1", "x;'=1+1;y", 'x\t"\'=1+1"\ty', "x\n'=1+1"]),
      );
    });

    test('leaves alone what no spreadsheet computes', () => {
      expect(parseCsv(csv).flat()).toEqual(
        expect.arrayContaining(['x,=1+1,y', 'csv-org', 'audit.events.standard']),
      );
    });
  });
});
