import { spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';
import type { Contestant } from '../ingest/contestant.ts';
import { cairn, peers, usual } from '../ingest/contestants.ts';
import { type Cost, run } from '../ingest/run.ts';
import { openStage, preload } from '../ingest/stage.ts';
import type { Claim, Row, Subject } from '../measured.ts';
import { spreadOf } from '../measured.ts';

/** Events that are loaded to learn what starting costs; subtracted from the run. */
const FEW = 4_000;

/**
 * From a full topic into the table, every contestant on the same topic and the same table, alternating.
 *
 * --events N, default 400,000; --repeats N, default 5 and one more that is thrown away; --only a,b names contestants by
 * the beginning of their names.
 */
const ingest: Subject = async ({ quick, flags, say }) => {
  const events = Number(flags['events'] ?? (quick ? 20_000 : 400_000));
  const repeats = Number(flags['repeats'] ?? (quick ? 1 : 5));
  const discarded = quick || repeats === 1 ? 0 : 1;
  const only = flags['only']?.split(',');
  const wanted = [cairn, ...peers].filter(
    ({ name }) => only?.some((start) => name.startsWith(start)) ?? true,
  );
  const missing = wanted.flatMap((contestant) => {
    const why = contestant.missing?.() ?? (contestant.inserts ? undefined : kcatMissing());
    return why === undefined ? [] : [{ contestant, why }];
  });
  const contestants = wanted.filter((one) => !missing.some(({ contestant }) => contestant === one));

  await using stage = await openStage();
  say(`preloading ${events.toLocaleString('en-US')} events`);
  const few = await preload(stage, 'audit.events.few', FEW);
  const many = await preload(stage, 'audit.events.many', events);
  const figures = new Map<Contestant, Record<string, number[]>>();
  const notes: string[] = missing.map(({ contestant, why }) => `${contestant.name} was not run: ${why}`);
  for (let round = 0; round < repeats + discarded; round += 1) {
    for (const contestant of contestants) {
      try {
        const fixed = await run(stage, contestant, few, 120);
        const cost = await run(stage, contestant, many, 900);
        say(`${round} ${contestant.name}: ${text(cost, fixed, events)} load ${loadavg()[0]?.toFixed(1)}`);
        if (round >= discarded) keep(figures, contestant, perEvent(cost, fixed, events));
      } catch (error) {
        say(`${contestant.name} failed: ${String(error)}`);
        notes.push(`${contestant.name} failed in round ${round}: ${String(error).slice(0, 300)}`);
      }
    }
  }
  const rows: Row[] = contestants
    .filter((contestant) => figures.has(contestant))
    .map((contestant) => ({ name: contestant.name, figures: figures.get(contestant) ?? {} }));
  return {
    question: `What does an event cost on its way from Kafka into ClickHouse, merges included? ${events.toLocaleString('en-US')} events of ${Math.round(many.bytes / events)} bytes.`,
    columns: [
      { name: 'total_us', heading: 'CPU µs/event', digits: 2 },
      { name: 'consumer_us', heading: 'consumer', digits: 2 },
      { name: 'clickhouse_us', heading: 'ClickHouse', digits: 2 },
      { name: 'broker_us', heading: 'broker', digits: 2 },
      { name: 'events_per_s', heading: 'events/s', digits: 0 },
      { name: 'consumer_mib', heading: 'peak MiB', digits: 0 },
      { name: 'surplus', heading: 'rows ±', digits: 0 },
    ],
    rows,
    claims: claimsOf(rows),
    notes: [
      `broker, ClickHouse and consumer share the machine; cost of starting (${FEW} events) subtracted; ${discarded} round discarded`,
      ...notes,
    ],
  };
};

export default ingest;

function perEvent(cost: Cost, fixed: Cost, events: number): Record<string, number> {
  const share = (whole: number, start: number): number => ((whole - start) / (events - FEW)) * 1e6;
  const consumer_us = share(cost.consumerSeconds, fixed.consumerSeconds);
  const clickhouse_us = share(cost.clickhouseSeconds, fixed.clickhouseSeconds);
  const broker_us = share(cost.brokerSeconds, fixed.brokerSeconds);
  return {
    total_us: consumer_us + clickhouse_us + broker_us,
    consumer_us,
    clickhouse_us,
    broker_us,
    events_per_s: (events - FEW) / (cost.wallSeconds - fixed.wallSeconds),
    consumer_mib: cost.consumerMib,
    surplus: cost.surplus,
  };
}

const text = (cost: Cost, fixed: Cost, events: number): string =>
  Object.entries(perEvent(cost, fixed, events))
    .map(([name, value]) => `${name} ${value.toFixed(2)}`)
    .join(', ');

function keep(
  figures: Map<Contestant, Record<string, number[]>>,
  contestant: Contestant,
  figure: Record<string, number>,
): void {
  const kept = figures.get(contestant) ?? {};
  for (const [name, value] of Object.entries(figure)) (kept[name] ??= []).push(value);
  figures.set(contestant, kept);
}

function claimsOf(rows: readonly Row[]): Claim[] {
  const median = (name: string, figure: string): number =>
    spreadOf(rows.find((row) => row.name.startsWith(name))?.figures[figure] ?? []).median;
  const ratio = (peer: string, figure: string): number => median(cairn.name, figure) / median(peer, figure);
  const claims: Claim[] = [
    { what: 'CPU against (a)', measured: ratio(usual.name, 'total_us'), wanted: 'at most', limit: 0.35 },
    {
      what: 'CPU against (b), 1 consumer',
      measured: ratio('(b) Kafka engine, 1', 'total_us'),
      wanted: 'at most',
      limit: 0.4,
    },
    { what: 'rate against (a)', measured: ratio(usual.name, 'events_per_s'), wanted: 'at least', limit: 3 },
    {
      what: 'rate against (b), 1 consumer',
      measured: ratio('(b) Kafka engine, 1', 'events_per_s'),
      wanted: 'at least',
      limit: 3,
    },
  ];
  return claims.filter(({ measured }) => Number.isFinite(measured));
}

function kcatMissing(): string | undefined {
  if (spawnSync('kcat', ['-V']).status === 0) return undefined;
  if (process.getuid?.() === 0) spawnSync('apt-get', ['-qq', '-y', 'install', 'kcat'], { stdio: 'ignore' });
  return spawnSync('kcat', ['-V']).status === 0 ? undefined : 'kcat is not installed (apt-get install kcat)';
}
