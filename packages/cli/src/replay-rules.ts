import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { ClickHouse } from '@cairn/adapters';
import { formatUuid } from '@cairn/event';
import { Failure } from '@cairn/failure';
import {
  type BelievedTimes,
  baselineAdditions,
  baselineQuestions,
  believedTime,
  createEvaluator,
  episodeSpan,
  eventOfRow,
  type FieldName,
  type Firing,
  hourBegun,
  type Micros,
  NOT_IN_TABLE,
  type RuleEvent,
  type RuleHead,
  type RuleSet,
  tableColumns,
} from '@cairn/rules';

export interface ReplayOptions {
  /** Microseconds since 1970: alerts that begin before are not told of. */
  readonly since: Micros;
  readonly until: Micros;
  /** How far before `since` events are read, so that windows are not empty there. */
  readonly warmUp: Micros;
  /** One organisation alone. */
  readonly org: string | undefined;
  /** Rules that are told of; others are there to be counted. */
  readonly told: ReadonlySet<string>;
  readonly bounds: BelievedTimes;
  /** How long an alert of single events lasts after its last one. */
  readonly quiet: Micros;
  /** Told of each alert when nothing can go on with it any more. */
  readonly onAlert: (alert: ReplayedAlert) => void;
  readonly onHour: (hour: Date, events: number) => void;
}

/** An alert that a rule would have raised. */
export interface ReplayedAlert {
  readonly rule: RuleHead;
  /** Values of its group, the organisation first. */
  readonly group: readonly string[];
  readonly groupBy: readonly string[];
  readonly since: Micros;
  readonly until: Micros;
  /** How often it fired, and the highest count. */
  readonly firings: number;
  readonly peak: number;
  /** Ids of the events that it began with. */
  readonly events: readonly string[];
}

export interface Replayed {
  readonly events: number;
  readonly alerts: number;
}

/** Read of every event, whatever the rules ask for. */
const ALWAYS: readonly FieldName[] = ['event_id', 'org_id', 'timestamp', 'kind', 'service', 'agent_id'];
const EVENTS_AT_ONCE = 5_000;
const EVENTS_SHOWN = 5;
/** Rows as `eventOfRow` reads them. */
const NUMBERS = {
  output_format_json_quote_64bit_integers: 0,
  output_format_json_named_tuples_as_objects: 1,
};
/** ClickHouse sorts an hour in so much memory, and on its disk beyond. */
const SORT_BYTES_MAX = 256 * 1024 ** 2;

/**
 * What happened, held against rules that were not there: events as they arrived, hour by hour, through the conditions and windows
 * that alerting runs. Memory holds one answer's rows in passing, the windows that can still change, and the alerts that can still
 * go on.
 *
 * @throws Failure `rules.not-in-table` when a rule reads what the table keeps less of, and those of ClickHouse.
 */
export async function replayRules(
  trail: ClickHouse,
  rules: RuleSet,
  options: ReplayOptions,
): Promise<Replayed> {
  const missing = [...rules.fieldsRead].filter((field) => NOT_IN_TABLE.has(field));
  if (missing.length > 0) throw notInTable(missing);
  const { since, until, warmUp, bounds, quiet } = options;
  const evaluator = createEvaluator(rules, bounds.lateness);
  const alerts = openAlerts(options);
  let count = 0;
  const columns = tableColumns(new Set([...rules.fieldsRead, ...ALWAYS]));
  const fire = (firings: readonly Firing[]): void => {
    for (const { window, correlation, group, end, measure, eventIds } of firings.toSorted(
      (a, b) => a.end - b.end,
    )) {
      const whose = { rule: correlation, group, groupBy: correlation.groupBy };
      if (correlation.alerts) alerts.fire(window, episodeSpan(correlation), end, measure, eventIds, whose);
    }
  };
  const take = (events: readonly ArrivedEvent[]): void => {
    const times = events.map(({ event, arrived }) => {
      const said = event.timestamp ?? arrived;
      return believedTime(said, arrived, bounds) ? said : arrived;
    });
    const { matches, firings } = evaluator.take(
      events.map(({ event }) => event),
      (_, index) => times[index] ?? 0,
    );
    const passed = events.at(-1)?.arrived ?? 0;
    for (const { detection, event, time } of matches) {
      const { org_id: org = '', agent_id: agent = '', event_id: id } = event;
      const window = JSON.stringify(['', detection.id, org, agent]);
      alerts.fire(window, quiet, time, 1, id === undefined ? [] : [id], {
        rule: detection,
        group: [org, agent],
        groupBy: ['org_id', 'agent_id'],
      });
    }
    fire([...firings, ...evaluator.close(passed - CLOSE_GRACE)]);
    alerts.end(passed);
    evaluator.forget(passed);
  };
  for (const { correlation, sql } of baselineQuestions(rules, hourBegun(since - warmUp))) {
    const rows = await trail.query<Readonly<Record<string, unknown>>>(sql, {}, NUMBERS);
    evaluator.learn(baselineAdditions(rules, correlation, rows));
  }
  for (const { hour } of await hoursOf(trail, since - warmUp, until, options.org)) {
    let waiting: ArrivedEvent[] = [];
    let read = 0;
    for await (const arrived of eventsOfHour(trail, columns, hour, since - warmUp, until, options.org)) {
      waiting.push(arrived);
      read += 1;
      if (waiting.length < EVENTS_AT_ONCE) continue;
      take(waiting);
      waiting = [];
    }
    take(waiting);
    count += read;
    options.onHour(new Date(hour * 1_000), read);
  }
  // What waits for something is judged by now.
  fire(evaluator.close(until - CLOSE_GRACE));
  alerts.end(Number.POSITIVE_INFINITY);
  return { events: count, alerts: alerts.told };
}

/** As alerting has it by default: what is under way when a window ends still counts. */
const CLOSE_GRACE: Micros = 5_000_000;

interface ArrivedEvent {
  readonly event: RuleEvent;
  readonly arrived: Micros;
}

type Whose = Pick<ReplayedAlert, 'rule' | 'group' | 'groupBy'>;

/** Alerts that can still go on, by their windows. */
function openAlerts({ since: from, told, bounds, onAlert }: ReplayOptions) {
  const open = new Map<string, { alert: ReplayedAlert; span: Micros }>();
  let count = 0;
  const tell = ({ alert }: { readonly alert: ReplayedAlert }): void => {
    if (alert.since < from || !told.has(alert.rule.id)) return;
    count += 1;
    onAlert(alert);
  };
  return {
    get told() {
      return count;
    },
    fire(
      window: string,
      span: Micros,
      end: Micros,
      measure: number,
      ids: readonly Uint8Array[],
      whose: Whose,
    ): void {
      const found = open.get(window);
      if (found !== undefined && end <= found.alert.until + span) {
        const { alert } = found;
        found.alert = {
          ...alert,
          until: Math.max(alert.until, end),
          firings: alert.firings + (end > alert.until ? 1 : 0),
          peak: Math.max(alert.peak, measure),
        };
        return;
      }
      if (found !== undefined) tell(found);
      const events = ids.slice(-EVENTS_SHOWN).map(formatUuid);
      open.set(window, {
        alert: { ...whose, since: end, until: end, firings: 1, peak: measure, events },
        span,
      });
    },
    end(passed: Micros): void {
      for (const [window, found] of open) {
        if (found.alert.until + found.span + bounds.lateness >= passed) continue;
        tell(found);
        open.delete(window);
      }
    },
  };
}

const inOrg = (org: string | undefined): string => (org === undefined ? '' : `AND org_id = '${org}'`);

/** When anything arrived, by the hour, so that empty hours are not asked for. In seconds since 1970. */
async function hoursOf(
  trail: ClickHouse,
  from: Micros,
  to: Micros,
  org: string | undefined,
): Promise<{ readonly hour: number }[]> {
  return trail.query<{ hour: number }>(
    `SELECT toUInt32(toUnixTimestamp(toStartOfHour(received_at))) AS hour FROM cairn.events
     WHERE ${arrivedIn(from, to)} ${inOrg(org)} GROUP BY hour ORDER BY hour`,
  );
}

const arrivedIn = (from: Micros, to: Micros): string =>
  `received_at >= fromUnixTimestamp64Milli(${Math.floor(from / 1_000)}, 'UTC')
   AND received_at < fromUnixTimestamp64Milli(${Math.floor(to / 1_000)}, 'UTC')
   AND append_day >= toDate(fromUnixTimestamp64Milli(${Math.floor(from / 1_000)}, 'UTC'))
   AND append_day <= toDate(fromUnixTimestamp64Milli(${Math.floor(to / 1_000)}, 'UTC'))`;

/** The events of an hour, in the order of their arrival. Alerting's own are left out, as it leaves them out itself. */
async function* eventsOfHour(
  trail: ClickHouse,
  columns: string,
  hour: number,
  from: Micros,
  to: Micros,
  org: string | undefined,
): AsyncGenerator<ArrivedEvent> {
  const begin = Math.max(from, hour * 1_000_000);
  const end = Math.min(to, (hour + 3_600) * 1_000_000);
  const answer = await trail.stream(
    `SELECT toUnixTimestamp64Milli(received_at) AS arrived_ms, ${columns} FROM cairn.events
     WHERE ${arrivedIn(begin, end)} AND NOT (kind = 'alert' AND service = 'alerting') ${inOrg(org)}
     ORDER BY received_at, topic, partition, offset`,
    'JSONEachRow',
    { ...NUMBERS, max_bytes_before_external_sort: SORT_BYTES_MAX },
  );
  for await (const line of createInterface({
    input: Readable.from(answer),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    if (line === '') continue;
    const row = JSON.parse(line) as Readonly<Record<string, unknown>>;
    yield { event: eventOfRow(row), arrived: Number(row['arrived_ms']) * 1_000 };
  }
}

function notInTable(fields: readonly string[]): Failure {
  return new Failure({
    code: 'rules.not-in-table',
    retry: 'no',
    message: `a rule reads ${fields.join(' and ')}, of which the table keeps a part`,
    mend: 'Replay the other rules; this one can only be tried on samples.',
  });
}
