// What it costs to hold every event against the rules that ship, how soon a receiver knows, and whether it knows the right things.

import type { StreamsOptions } from '@cairn/traffic';
import { type Comparison, compareWithClickHouse } from '../alerting/recompute.ts';
import { costOfRules, type RuleCost } from '../alerting/rule-cost.ts';
import { type AlertingStage, openAlertingStage, rulesByDay, SHIPPED } from '../alerting/stage.ts';
import { startPeer } from '../alerting/start-peer.ts';
import { type TimeToReceiver, timeToReceiver } from '../alerting/time-to-receiver.ts';
import {
  forgetWindows,
  standStill,
  startAlerting,
  type WatchCost,
  watchTopic,
  windowsOf,
} from '../alerting/watch-topic.ts';
import { openFilling } from '../ingest/stage.ts';
import { type Claim, type Measured, type SubjectOptions, spreadOf } from '../measured.ts';

const TOPIC = 'audit.events.alerting';
const GATEWAYS = 32;
const PACE = 5_000;
/** Events a second that are wanted, and that live traffic of that rate has. */
const LIVE = 150_000;

/**
 * `--events N` of the measured part, default 400,000; `--agents N` of each gateway, default 300; `--seconds N` of the pace,
 * default 30; `--repeats N`, default 3; `--only rules|cost|time` one part alone; `--alerts many` with traffic at night and with
 * trouble, of which every second event raises an alert; `--instances 1,2` of the service; `--time spread,live`, how the events' own
 * time passes.
 */
export default async function alerting({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const { only } = flags;
  const seconds = Number(flags['seconds'] ?? (quick ? 5 : 30));
  const wants = (part: string): boolean => only === undefined || only === part;
  const listOf = (flag: string, otherwise: string): string[] => (flags[flag] ?? otherwise).split(',');

  const rules = wants('rules') ? costOfRules(quick ? 2 : 7) : [];
  let cost: CostPart | undefined;
  let time: TimeToReceiver | undefined;
  if (wants('cost') || wants('time')) {
    await using stage = await openAlertingStage(wants('cost') ? ['clickhouse'] : []);
    if (wants('cost'))
      cost = await costPart(stage, {
        agents: Number(flags['agents'] ?? (quick ? 20 : 300)),
        measured: Number(flags['events'] ?? (quick ? 20_000 : 400_000)),
        many: flags['alerts'] === 'many',
        repeats: Number(flags['repeats'] ?? (quick ? 1 : 3)),
        contestants: listOf('time', 'spread,live').flatMap((time) =>
          listOf('instances', '1,2').map((instances) => contestantOf(Number(instances), time)),
        ),
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
      ...(cost ? cost.ours.map(({ contestant, costs }) => rowOf(contestant.name, costs)) : []),
      ...(cost ? [rowOf(PEER, cost.peer)] : []),
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

/** Instances of the service that share a topic, and how the events' own time passes in it. */
interface Contestant {
  readonly name: string;
  readonly instances: number;
  readonly time: 'spread' | 'live';
}

function contestantOf(instances: number, time: string): Contestant {
  if (!(instances >= 1) || (time !== 'spread' && time !== 'live'))
    throw new Error(`--instances 1,2 --time spread,live, and not ${instances} ${time}`);
  const passes = time === 'spread' ? `time spread over ${SPAN_MS / 1_000} s` : `time as of ${LIVE}/s`;
  return { name: `${instances} of alerting, ${passes}`, instances, time };
}

interface Watched {
  readonly contestant: Contestant;
  readonly costs: WatchCost[];
  /** The fewest of any run. */
  windows: number;
  readonly compared: Comparison[];
}

interface CostPart {
  readonly ours: readonly Watched[];
  readonly peer: readonly WatchCost[];
  readonly many: boolean;
  readonly warm: number;
  readonly events: number;
}

interface CostOptions {
  readonly agents: number;
  readonly measured: number;
  readonly many: boolean;
  readonly repeats: number;
  readonly contestants: readonly Contestant[];
  readonly say: (text: string) => void;
}

async function costPart(stage: AlertingStage, options: CostOptions): Promise<CostPart> {
  const { agents, measured, many, repeats, contestants, say } = options;
  // Six different tools of an agent, a decision and an outcome for each: after that nothing is new to anybody.
  const warm = Math.round(GATEWAYS * agents * 6 * 2 * 1.3);
  const events = warm + measured;
  const rules = many ? SHIPPED : rulesByDay(stage, new Date());
  const ours = contestants.map(
    (contestant): Watched => ({ contestant, costs: [], windows: Number.POSITIVE_INFINITY, compared: [] }),
  );
  const peer: WatchCost[] = [];
  const secondsMax = SECONDS_MAX;
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    for (const [at, watched] of ours.entries()) {
      const { name: title, instances, time } = watched.contestant;
      const name = `alerting-${repeat}-${at}`;
      const topic = `${TOPIC}-${repeat}-${at}`;
      say(`run ${repeat + 1} of ${repeats}, ${title}: ${warm} events to warm up`);
      const filling = await openFilling(stage, topic, {
        gateways: GATEWAYS,
        agents,
        rollCall: true,
        calm: !many,
        startMicros: (Date.now() - SPAN_MS) * 1_000,
        ...paceOf(time, warm, measured),
      });
      // First, so that all instances are of the group before there is anything to share.
      await using service = await startAlerting(stage, topic, rules, { name, instances });
      // Beside the first of them.
      await using other = at === 0 ? await startPeer(stage, topic, rules, `peer-${repeat}`) : undefined;
      await filling.fill(warm);
      const before = await standStill(service, warm, secondsMax);
      const peerBefore = other && (await standStill(other, await endOf(stage, topic), secondsMax));
      say(`${measured} events`);
      await filling.fill(measured);
      watched.costs.push(await watchTopic(stage, service, { before, more: measured, secondsMax }));
      say(told(watched.costs.at(-1)));
      watched.windows = Math.min(watched.windows, await windowsOf(stage, name));
      await service[Symbol.asyncDispose]();
      if (other && peerBefore) {
        const more = Math.ceil(measured / PEER_PART);
        peer.push(await watchTopic(stage, other, { before: peerBefore, more, secondsMax }));
        say(told(peer.at(-1)));
        await other[Symbol.asyncDispose]();
      }
      await forgetWindows(stage);
      if (repeat > 0) continue;
      say('the same in ClickHouse');
      watched.compared.push(await compareWithClickHouse(stage, topic, rules.hours, service.instances));
    }
  }
  return { ours, peer, many, warm, events };
}

/** Of one gateway: the first day takes its time in either case. */
function paceOf(time: Contestant['time'], warm: number, measured: number): Partial<StreamsOptions> {
  const seconds = SPAN_MS / 1_000;
  return time === 'spread'
    ? { eventsPerSecond: (warm + measured) / GATEWAYS / seconds }
    : {
        eventsPerSecond: warm / GATEWAYS / seconds,
        later: { after: warm / GATEWAYS, eventsPerSecond: LIVE / GATEWAYS },
      };
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

function costClaims({ ours, peer }: CostPart): Claim[] {
  const median = (costs: readonly WatchCost[], figure: keyof WatchCost): number =>
    spreadOf(costs.map((cost) => cost[figure])).median;
  return ours.flatMap(({ contestant: { name }, costs, windows, compared }) => [
    {
      what: `${name}: events a second`,
      measured: median(costs, 'events_s'),
      wanted: 'at least',
      limit: LIVE,
    },
    {
      what: `${name}: CPU of alerting and Redis, as a part of the peer’s`,
      measured:
        (median(costs, 'watcher_us') + median(costs, 'redis_us')) /
        (median(peer, 'watcher_us') + median(peer, 'redis_us')),
      wanted: 'at most',
      limit: 0.25,
    },
    { what: `${name}: active windows`, measured: windows, wanted: 'at least', limit: 100_000 },
    {
      what: `${name}: alerts that the events call for and that are missing, or told without a cause`,
      measured: compared.reduce((sum, { expected, told, surplus }) => sum + expected - told + surplus, 0),
      wanted: 'at most',
      limit: 0,
    },
  ]);
}

const timeClaim = ({ p99_ms }: TimeToReceiver): Claim => ({
  what: `record() to receiver at ${PACE} events a second: p99, ms`,
  measured: p99_ms,
  wanted: 'at most',
  limit: 1_000,
});

const costNotes = ({ ours, warm, events, many }: CostPart): string[] => [
  `${events} events of ${GATEWAYS} gateways in four partitions; the first ${warm}, in which every agent calls each of its tools once, are not counted.${many ? ' Traffic with plenty to tell.' : ''}`,
  'Watchers, Redis and broker share the machine. CPU is read from /proc, of all instances together; starting is not in it. The peer knows no redelivery, no lateness, no baseline and no absence, and tells nobody.',
  ...ours.flatMap(({ contestant: { name }, windows, compared }) =>
    compared.flatMap(({ expected, told: same, surplus, sameInstant, differences }) => [
      `${name}: ${windows} windows. In ClickHouse, by SQL over the same events: ${expected} alerts; ${same} were told, ${surplus} told without a cause, ${sameInstant} of them begin in the same instant: where a group is seen in several partitions, the one that is read first begins it.`,
      ...differences,
    ]),
  ),
  'Calls without an outcome are not compared, because ten minutes must pass first.',
];
