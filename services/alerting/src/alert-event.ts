import { createHash } from 'node:crypto';
import { bytesOfHex, formatUuid, uuidV7 } from '@cairn/event';
import type { RecordDraft } from '@cairn/recorder';
import { episodeSpan, type Firing, type Match, type Micros, type RuleHead } from '@cairn/rules';
import type { Alert, Level } from '@cairn/webhook';
import type { EpisodeFirings, EpisodeState } from './windows.ts';

/** What is kept of an alert from its opening on. */
interface Facts {
  readonly rule: string;
  readonly title: string;
  readonly level: Level;
  readonly org: string;
  readonly group: Readonly<Record<string, string>>;
  /** Ids of events, as text. */
  readonly events: readonly string[];
  readonly reason: string;
}

/** Ids of causing events that an alert names. */
const EVENTS_MAX = 20;
const VALUE_MAX = 256;

/** A firing of a correlation. @param reason why, when it is more than the condition. */
export function firingOf(firing: Firing, told: boolean, reason?: string): EpisodeFirings {
  const { window, correlation, group, end, measure, eventIds } = firing;
  const { groupBy, condition, timespan } = correlation;
  const facts = (): Facts => {
    const named = groupBy.slice(1).map((name, index) => [name, (group[index + 1] ?? '').slice(0, VALUE_MAX)]);
    return {
      ...headOf(correlation),
      org: group[0] ?? '',
      group: Object.fromEntries(named),
      events: eventIds.slice(-EVENTS_MAX).map(formatUuid),
      reason: reason ?? `${measure} within ${spanText(timespan)}; the rule asks for ${condition}`,
    };
  };
  return {
    window,
    ends: [end],
    timespan: episodeSpan(correlation),
    measure,
    facts: () => JSON.stringify(facts()),
    told,
  };
}

/**
 * An event that a rule alerts on by itself. Such events of one agent and rule that follow each other closely are one alert.
 *
 * @param quiet how long none may follow for the alert to end.
 */
export function matchFiring({ detection, event, time }: Match, quiet: Micros, told: boolean): EpisodeFirings {
  const { org_id: org = '', agent_id: agent = '', event_id: id } = event;
  const facts = (): Facts => ({
    ...headOf(detection),
    org,
    group: agent === '' ? {} : { agent_id: agent.slice(0, VALUE_MAX) },
    events: id === undefined ? [] : [formatUuid(id)],
    reason: detection.description.slice(0, VALUE_MAX),
  });
  const window = JSON.stringify(['', detection.id, org, agent]);
  return { window, ends: [time], timespan: quiet, measure: 1, facts: () => JSON.stringify(facts()), told };
}

const headOf = ({ id, title, level }: RuleHead) => ({ rule: id, title, level });

/** What is told of an episode: when it opened, and when it ended. */
export interface AlertEvent {
  readonly draft: RecordDraft;
  readonly alert: Alert;
}

/**
 * The alert event of an episode, and the alert as it is told. Both are functions of the episode: whoever comes to it again
 * records and tells the same, under the same id.
 */
export function alertEventOf(episode: EpisodeState, what: 'opened' | 'ended'): AlertEvent {
  const { window, since, until, peak, firings } = episode;
  const facts = JSON.parse(episode.facts) as Facts;
  const { rule, title, level, org, group, events, reason } = facts;
  const key = createHash('sha256').update(`${window}\n${since}`).digest('hex').slice(0, 32);
  const id = eventIdOf(since, `${key}\n${what}`);
  const isMatch = window.startsWith('["",');
  const count = isMatch ? firings : peak;
  const cause = events.at(-1);
  return {
    draft: {
      event_id: id,
      org_id: org,
      kind: 'alert',
      phase: 'single',
      service: 'alerting',
      method: `alert/${what}`,
      agent_id: group['agent_id'] ?? '',
      result_status: what === 'opened' ? 'pending' : 'success',
      rules_matched: [rule],
      parent_event_id: cause === undefined ? null : bytesOfHex(cause.replaceAll('-', '')),
      detail: JSON.stringify({
        count,
        events,
        firings,
        group,
        key,
        level,
        reason,
        rule,
        since,
        title,
        until,
      }),
    },
    alert: {
      id: formatUuid(id),
      key,
      what,
      orgId: org,
      rule,
      title,
      level,
      at: new Date(Math.floor(until / 1_000)).toISOString(),
      group,
      count,
      events,
      reason,
    },
  };
}

/** UUIDv7 whose random bits are a hash: the same alert has the same id, whoever makes it. */
function eventIdOf(since: Micros, text: string): Uint8Array {
  return uuidV7(new Uint8Array(createHash('sha256').update(text).digest().subarray(0, 16)), since / 1_000);
}

function spanText(span: Micros): string {
  const seconds = Math.round(span / 1_000_000);
  if (seconds % 3_600 === 0) return `${seconds / 3_600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}
