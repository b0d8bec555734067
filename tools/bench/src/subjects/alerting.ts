// What it costs to hold every event against the rules that ship, how soon a receiver knows, and whether it knows the right things.

import { type Comparison, compareWithClickHouse } from '../alerting/recompute.ts';
import { costOfRules, type RuleCost } from '../alerting/rule-cost.ts';
import { type AlertingStage, openAlertingStage, rulesByDay, SHIPPED } from '../alerting/stage.ts';
import { startPeer } from '../alerting/start-peer.ts';
import { type TimeToReceiver, timeToReceiver } from '../alerting/time-to-receiver.ts';
import { standStill, startAlerting, type WatchCost, watchTopic, windowsOf } from '../alerting/watch-topic.ts';
import { openFilling } from '../ingest/stage.ts';
import { type Claim, type Measured, type SubjectOptions, spreadOf } from '../measured.ts';

const TOPIC = 'audit.events.alerting';
const GATEWAYS = 32;
const PACE = 5_000;

/**
 * `--events N` of the measured part, default 400,000; `--agents N` of each gateway, default 300; `--seconds N` of the pace,
 * default 30; `--repeats N`, default 3; `--only rules|cost|time` one part alone; `--alerts many` with traffic at night and with
 * trouble, of which every second event raises an alert.
 */
export default async function alerting({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const { only } = flags;
  const agents = Number(flags['agents'] ?? (quick ? 20 : 300));
  const measured = Number(flags['events'] ?? (quick ? 20_000 : 400_000));
  const seconds = Number(flags['seconds'] ?? (quick ? 5 : 30));
  const wants = (part: string): boolean => only === undefined || only === part;

  const rules = wants('rules') ? costOfRules(quick ? 2 : 7) : [];
  let cost: CostPart | undefined;
  let time: TimeToReceiver | undefined;
  if (wants('cost') || wants('time')) {
    await using stage = await openAlertingStage(wants('cost') ? ['clickhouse'] : []);
    if (wants('cost'))
      cost = await costPart(stage, {
        agents,
        measured,
        many: flags['alerts'] === 'many',
        repeats: Number(flags['repeats'] ?? (quick ? 1 : 3)),
        say,
      });
    if (wants('time')) {
      say(`${PACE} events a second for ${seconds} s`);
      time = await timeToReceiver(stage, 'audit.events.paced', PACE, seconds);
    }
  }
  return {
    question:
      'What does an event cost alerting, with every rule that ships, and how soon does a receiver know?',
    columns: [
      { name: 'events_s', heading: 'events/s', digits: 0 },
      { name: 'cpu_us', heading: 'CPU µs/event', digits: 2 },
      { name: 'watcher_us', heading: 'watching', digits: 2 },
      { name: 'main_us', heading: 'of it main thread', digits: 2 },
      { name: 'redis_us', heading: 'Redis', digits: 2 },
      { name: 'broker_us', heading: 'broker', digits: 2 },
      { name: 'peak_mib', heading: 'peak MiB', digits: 0 },
      { name: 'alerts', heading: 'alerts/1,000', digits: 2 },
      { name: 'rule_ns', heading: 'rule ns/event', digits: 0 },
      { name: 'cells', heading: 'cells/1,000', digits: 1 },
      { name: 'p50_ms', heading: 'p50 ms', digits: 0 },
      { name: 'p99_ms', heading: 'p99 ms', digits: 0 },
    ],
    rows: [
      ...(cost ? [rowOf('alerting, the rules that ship', cost.ours), rowOf(PEER, cost.peer)] : []),
      ...(time
        ? [
            {
              name: `record() to receiver, ${PACE}/s`,
              figures: { p50_ms: [time.p50_ms], p99_ms: [time.p99_ms] },
            },
          ]
        : []),
      ...rules.map(({ name, ns, cells }: RuleCost) => ({
        name: `rule: ${name}`,
        figures: { rule_ns: ns, cells: [cells] },
      })),
    ],
    claims: [...(cost ? costClaims(cost) : []), ...(time ? [timeClaim(time)] : [])],
    notes: [
      ...(cost ? costNotes(cost) : []),
      `Time to the receiver counts from when the event was due until the signed webhook was there; the process that records has its spool on disk and ships to Kafka as a gateway does.`,
      'A rule alone: its fold over 20,000 events that were decoded beforehand, with the rules that it counts, again and again, as an agent’s day goes on. Rules share what they count, so the sum is more than all together. Cells are what it gave to Redis for a thousand events the first time, when Redis was not known to have any.',
      'On a machine that does other work only CPU and ratios of one run mean something; events/s and ms do not.',
    ],
  };
}

const PEER = 'peer: kafkajs, avsc, a sorted set for each window';

interface CostPart {
  readonly ours: WatchCost[];
  readonly peer: WatchCost[];
  readonly windows: number;
  readonly compared: Comparison;
  readonly many: boolean;
  readonly warm: number;
  readonly events: number;
}

async function costPart(
  stage: AlertingStage,
  {
    agents,
    measured,
    many,
    repeats,
    say,
  }: {
    readonly agents: number;
    readonly measured: number;
    readonly many: boolean;
    readonly repeats: number;
    readonly say: (text: string) => void;
  },
): Promise<CostPart> {
  // Six different tools of an agent, a decision and an outcome for each: after that nothing is new to anybody.
  const warm = Math.round(GATEWAYS * agents * 6 * 2 * 1.3);
  const events = warm + measured;
  const rules = many ? SHIPPED : rulesByDay(stage, new Date());
  const ours: WatchCost[] = [];
  const peer: WatchCost[] = [];
  let windows = 0;
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    const topic = `${TOPIC}-${repeat}`;
    say(`run ${repeat + 1} of ${repeats}: ${warm} events to warm up`);
    const filling = await openFilling(stage, topic, {
      gateways: GATEWAYS,
      agents,
      rollCall: true,
      calm: !many,
      startMicros: (Date.now() - SPAN_MS) * 1_000,
      eventsPerSecond: events / GATEWAYS / (SPAN_MS / 1_000),
    });
    await filling.fill(warm);
    const name = `alerting-${repeat}`;
    await using service = await startAlerting(stage, topic, rules, name);
    await using other = await startPeer(stage, topic, rules, `peer-${repeat}`);
    const before = await standStill(service, warm, SECONDS_MAX);
    const peerBefore = await standStill(other, await endOf(stage, topic), SECONDS_MAX);
    say(`run ${repeat + 1} of ${repeats}: ${measured} events`);
    await filling.fill(measured);
    const secondsMax = SECONDS_MAX;
    ours.push(await watchTopic(stage, service, { before, more: measured, secondsMax }));
    say(told(ours.at(-1)));
    windows = await windowsOf(stage, name);
    await service[Symbol.asyncDispose]();
    const more = Math.ceil(measured / PEER_PART);
    peer.push(await watchTopic(stage, other, { before: peerBefore, more, secondsMax }));
    say(told(peer.at(-1)));
  }
  say('the same in ClickHouse');
  const compared = await compareWithClickHouse(stage, `${TOPIC}-0`, rules.hours, 'alerting-0');
  return { ours, peer, windows, compared, many, warm, events };
}

/** How long the events took, by themselves: their own time lies within the lateness, and no call has waited ten minutes. */
const SPAN_MS = 300_000;
const SECONDS_MAX = 900;
/** The peer takes twenty times as long, so it is given a part of what is measured. */
const PEER_PART = 8;

/** Records of a topic. */
async function endOf({ kafka }: AlertingStage, topic: string): Promise<number> {
  const bounds = await kafka.boundsOf(topic);
  return [...bounds.values()].reduce((sum, { end }) => sum + end, 0);
}

const FIGURES = [
  'events_s',
  'cpu_us',
  'watcher_us',
  'main_us',
  'redis_us',
  'broker_us',
  'peak_mib',
  'alerts',
] as const;

/** What was found, at once: who breaks a run off has it all the same. */
const told = (cost: WatchCost | undefined): string =>
  FIGURES.map((figure) => `${figure} ${cost?.[figure].toFixed(2)}`).join(', ');

const rowOf = (name: string, costs: readonly WatchCost[]) => ({
  name,
  figures: Object.fromEntries(FIGURES.map((figure) => [figure, costs.map((cost) => cost[figure])])),
});

function costClaims({ ours, peer, windows, compared }: CostPart): Claim[] {
  const median = (costs: readonly WatchCost[], figure: keyof WatchCost): number =>
    spreadOf(costs.map((cost) => cost[figure])).median;
  return [
    {
      what: 'events a second',
      measured: median(ours, 'events_s'),
      wanted: 'at least',
      limit: 150_000,
    },
    {
      what: 'CPU of alerting and Redis, as a part of the peer’s',
      measured:
        (median(ours, 'watcher_us') + median(ours, 'redis_us')) /
        (median(peer, 'watcher_us') + median(peer, 'redis_us')),
      wanted: 'at most',
      limit: 0.25,
    },
    { what: 'active windows', measured: windows, wanted: 'at least', limit: 100_000 },
    {
      what: 'alerts that the events call for and that are missing, or told without a cause',
      measured: compared.expected - compared.told + compared.surplus,
      wanted: 'at most',
      limit: 0,
    },
  ];
}

const timeClaim = ({ p99_ms }: TimeToReceiver): Claim => ({
  what: `record() to receiver at ${PACE} events a second: p99, ms`,
  measured: p99_ms,
  wanted: 'at most',
  limit: 1_000,
});

const costNotes = ({ warm, events, windows, many, compared }: CostPart): string[] => [
  `${events} events of ${GATEWAYS} gateways in four partitions; the first ${warm}, in which every agent calls each of its tools once, are not counted. ${windows} windows then.${many ? ' Traffic with plenty to tell.' : ''}`,
  'Watcher, Redis and broker share the machine. CPU is read from /proc; starting is not in it. The peer knows no redelivery, no lateness, no baseline and no absence, and tells nobody.',
  `In ClickHouse, by SQL over the same events: ${compared.expected} alerts; ${compared.told} were told, ${compared.surplus} told without a cause, ${compared.sameInstant} of them begin in the same instant: where a group is seen in several partitions, the one that is read first begins it. Calls without an outcome are not compared, because ten minutes must pass first.`,
  ...compared.differences,
];
