import type { Alert } from '@cairn/webhook';

/** An alert of this number. */
export function testAlert(number: string, more: Partial<Alert> = {}): Alert {
  return {
    id: `019ab000-0000-7000-8000-${number.padStart(12, '0')}`,
    key: `rule-${number}`,
    what: 'opened',
    orgId: 'acme',
    rule: 'rule',
    title: 'A rule',
    level: 'high',
    at: '2026-11-25T12:00:00.000Z',
    group: { agent_id: `agent-${number}` },
    count: 1,
    events: [],
    reason: 'because',
    ...more,
  };
}
