import { visible } from '@cairn/session';
import type { Alert, Level } from './alert.ts';

/** How a receiver wants to be told. */
export const FORMATS = ['json', 'slack', 'pagerduty', 'opsgenie'] as const;
export type Format = (typeof FORMATS)[number];

export interface FormatOptions {
  readonly format: Format;
  readonly url: URL;
  /** PagerDuty's routing key, or Opsgenie's API key. */
  readonly key?: string | undefined;
}

/** One POST, before it is signed. */
export interface Message {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * An alert in the words of its receiver. Names come from agents and tools, so each format has them in places where nothing is
 * interpreted, and what could move, hide or reorder text is written as its code point.
 */
export function formatAlert(alert: Alert, { format, url, key }: FormatOptions): Message {
  const said = { url, headers: { 'content-type': 'application/json' } };
  switch (format) {
    case 'json':
      return { ...said, body: bytesOf(standardMessage(alert)) };
    case 'slack':
      return { ...said, body: bytesOf(slackMessage(alert)) };
    case 'pagerduty':
      return { ...said, body: bytesOf(pagerDutyEvent(alert, key ?? '')) };
    case 'opsgenie':
      return opsgenieRequest(alert, url, key ?? '');
  }
}

const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** Longest text that a message takes over from an alert; bodies stay under the 20 kB that Standard Webhooks advises. */
const TEXT_MAX = 512;
const GROUP_MAX = 8;
const EVENTS_MAX = 20;

const shown = (text: string, most: number = TEXT_MAX): string => {
  const whole = visible(text);
  return whole.length <= most ? whole : `${whole.slice(0, most - 1)}…`;
};

const groupOf = ({ group }: Alert): [name: string, value: string][] =>
  Object.entries(group)
    .slice(0, GROUP_MAX)
    .map(([name, value]) => [shown(name, 64), shown(value, 256)]);

const HEADINGS = { opened: '', ended: 'Ended: ', test: 'Test: ' } as const;

function summaryOf(alert: Alert, most: number): string {
  const group = groupOf(alert)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
  const text = `${HEADINGS[alert.what]}${visible(alert.title)}${group === '' ? '' : ` (${group})`}`;
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** Plain JSON in the form of Standard Webhooks: type, timestamp, data. */
function standardMessage(alert: Alert): unknown {
  return {
    type: `alert.${alert.what}`,
    timestamp: alert.at,
    data: {
      id: alert.id,
      key: alert.key,
      org_id: shown(alert.orgId, 64),
      rule: shown(alert.rule, 128),
      title: shown(alert.title, 256),
      level: alert.level,
      group: Object.fromEntries(groupOf(alert)),
      count: alert.count,
      event_ids: alert.events.slice(0, EVENTS_MAX),
      reason: shown(alert.reason),
    },
  };
}

/**
 * Slack's incoming webhooks. In `plain_text` Slack interprets nothing; the fallback `text` is its markup, in which only the
 * three characters that it names have a meaning once they are escaped.
 */
function slackMessage(alert: Alert): unknown {
  const plain = (text: string) => ({ type: 'plain_text', text, emoji: false });
  const fields = [
    ['organisation', shown(alert.orgId, 64)],
    ['level', alert.level],
    ['events', String(alert.count)],
    ...groupOf(alert),
  ].map(([name, value]) => plain(`${name}: ${value}`.slice(0, 2_000)));
  return {
    text: summaryOf(alert, TEXT_MAX).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
    blocks: [
      { type: 'header', text: plain(summaryOf(alert, 150)) },
      { type: 'section', fields: fields.slice(0, 10) },
      { type: 'section', text: plain(shown(alert.reason === '' ? alert.rule : alert.reason)) },
      {
        type: 'context',
        elements: [
          plain(`${shown(alert.rule, 128)} · ${alert.at} · ${alert.id} · ${alert.events[0] ?? 'no event'}`),
        ],
      },
    ],
    unfurl_links: false,
    unfurl_media: false,
  };
}

const PAGERDUTY_SEVERITIES: Readonly<Record<Level, string>> = {
  informational: 'info',
  low: 'info',
  medium: 'warning',
  high: 'error',
  critical: 'critical',
};

/** PagerDuty's Events API v2. */
function pagerDutyEvent(alert: Alert, routingKey: string): unknown {
  const event = {
    routing_key: routingKey,
    dedup_key: alert.key.slice(0, 255),
    event_action: alert.what === 'ended' ? 'resolve' : 'trigger',
  };
  if (alert.what === 'ended') return event;
  return {
    ...event,
    payload: {
      summary: summaryOf(alert, 1_024),
      source: shown(alert.orgId, 64),
      severity: PAGERDUTY_SEVERITIES[alert.level],
      timestamp: alert.at,
      component: 'cairn',
      group: shown(alert.orgId, 64),
      class: shown(alert.rule, 128),
      custom_details: detailsOf(alert),
    },
  };
}

const OPSGENIE_PRIORITIES: Readonly<Record<Level, string>> = {
  informational: 'P5',
  low: 'P4',
  medium: 'P3',
  high: 'P2',
  critical: 'P1',
};

/** Opsgenie's Alert API v2: an alert is created under an alias and closed by it. */
function opsgenieRequest(alert: Alert, url: URL, key: string): Message {
  const headers = { 'content-type': 'application/json', authorization: `GenieKey ${key}` };
  const alias = alert.key.slice(0, 512);
  if (alert.what === 'ended') {
    const close = new URL(url);
    close.pathname = `${url.pathname.replace(/\/+$/, '')}/${encodeURIComponent(alias)}/close`;
    close.searchParams.set('identifierType', 'alias');
    return { url: close, headers, body: bytesOf({ source: 'cairn', note: shown(alert.reason) }) };
  }
  return {
    url,
    headers,
    body: bytesOf({
      message: summaryOf(alert, 130),
      alias,
      description: shown(alert.reason),
      priority: OPSGENIE_PRIORITIES[alert.level],
      source: 'cairn',
      entity: shown(alert.orgId, 64),
      tags: ['cairn', alert.level],
      details: detailsOf(alert),
    }),
  };
}

/** What both have as a map of texts. */
function detailsOf(alert: Alert): Record<string, string> {
  return {
    ...Object.fromEntries(groupOf(alert).map(([name, value]) => [`group.${name}`, value])),
    rule: shown(alert.rule, 128),
    reason: shown(alert.reason),
    count: String(alert.count),
    alert_id: alert.id,
    event_ids: alert.events.slice(0, EVENTS_MAX).join(' '),
  };
}
