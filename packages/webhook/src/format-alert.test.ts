import { describe, expect, test } from '@jest/globals';
import { alertOf, HOSTILE } from '../test/alerts.ts';
import { FORMATS, type Format, formatAlert } from './format-alert.ts';

const url = new URL('https://api.example/v2/alerts');
const bodyOf = (format: Format, more: Parameters<typeof alertOf>[0] = {}) => {
  const message = formatAlert(alertOf(more), { format, url, key: 'R0UT1NG' });
  return { ...message, value: JSON.parse(message.body.toString()) };
};
const hostile = {
  title: HOSTILE,
  orgId: HOSTILE,
  rule: HOSTILE,
  reason: HOSTILE,
  group: { [HOSTILE]: HOSTILE, agent_id: HOSTILE.repeat(100) },
};

/** Every text in a value, keys included. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...textsIn(inner)]);
}

describe.each(FORMATS)('%s', (format) => {
  test('shows nothing that moves, hides or reorders text, whatever agents call themselves', () => {
    const { value, body } = bodyOf(format, hostile);
    for (const text of textsIn(value)) expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(body.length).toBeLessThan(20_000);
  });

  test('is one JSON value that carries what a person needs', () => {
    const text = bodyOf(format).body.toString();
    for (const fact of ['Repeated denials of one agent', 'operations-assistant', '12 denials within'])
      expect(text).toContain(fact);
  });
});

describe('plain JSON', () => {
  test('has the type, timestamp and data of Standard Webhooks', () => {
    expect(bodyOf('json').value).toEqual({
      type: 'alert.opened',
      timestamp: '2026-11-25T12:00:00.000Z',
      data: {
        id: '019ab000-0000-7000-8000-000000000001',
        key: 'repeated-denials-1f3a',
        org_id: 'acme',
        rule: 'repeated-denials',
        title: 'Repeated denials of one agent',
        level: 'high',
        group: { agent_id: 'operations-assistant' },
        count: 12,
        event_ids: ['019ab000-0000-7000-8000-0000000000aa'],
        reason: '12 denials within 5 minutes, more than 10',
      },
    });
  });

  test('keeps a group by the name __proto__ as data', () => {
    const group = JSON.parse('{"__proto__":"x"}') as Record<string, string>;
    expect(bodyOf('json', { group }).body.toString()).toContain('"__proto__":"x"');
  });
});

describe('Slack', () => {
  test('gets names only where it interprets nothing, and a fallback without a live bracket', () => {
    const { value } = bodyOf('slack', hostile);
    expect(value.text).not.toMatch(/[<>]|&(?!amp;|lt;|gt;)/);
    const kinds = JSON.stringify(value.blocks).match(/"type":"(plain_text|mrkdwn)"/g) ?? [];
    expect(kinds.length).toBeGreaterThan(3);
    expect(new Set(kinds)).toEqual(new Set(['"type":"plain_text"']));
  });

  test('keeps to the lengths that Slack takes', () => {
    const { value } = bodyOf('slack', hostile);
    expect(value.blocks[0].text.text.length).toBeLessThanOrEqual(150);
    expect(value.blocks[1].fields.length).toBeLessThanOrEqual(10);
    for (const { text } of value.blocks[1].fields) expect(text.length).toBeLessThanOrEqual(2_000);
  });
});

describe('PagerDuty', () => {
  test('is triggered and resolved under one deduplication key', () => {
    const opened = bodyOf('pagerduty').value;
    const ended = bodyOf('pagerduty', { what: 'ended' }).value;
    expect([opened.event_action, ended.event_action]).toEqual(['trigger', 'resolve']);
    expect(ended.dedup_key).toBe(opened.dedup_key);
    expect(opened).toMatchObject({ routing_key: 'R0UT1NG', payload: { severity: 'error', source: 'acme' } });
    expect(bodyOf('pagerduty', hostile).value.payload.summary.length).toBeLessThanOrEqual(1_024);
  });
});

describe('Opsgenie', () => {
  test('creates under an alias and closes by it, with its key in the header alone', () => {
    const opened = bodyOf('opsgenie');
    expect(opened.value).toMatchObject({ alias: 'repeated-denials-1f3a', priority: 'P2' });
    expect(opened.value.message.length).toBeLessThanOrEqual(130);
    expect(opened.headers['authorization']).toBe('GenieKey R0UT1NG');
    expect(opened.body.toString()).not.toContain('R0UT1NG');
    const ended = bodyOf('opsgenie', { what: 'ended', key: '../../x?y#z' });
    expect(ended.url.href).toBe(
      'https://api.example/v2/alerts/..%2F..%2Fx%3Fy%23z/close?identifierType=alias',
    );
  });
});
