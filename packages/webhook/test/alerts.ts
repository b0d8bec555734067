import type { Alert } from '../src/alert.ts';

/** Text as a hostile agent names itself: markup of every receiver, line breaks, directional and invisible marks. */
export const HOSTILE =
  '<!channel> <https://evil.example|click> *b* _i_ `c` & "q" \\ {{ 7*7 }} \r\n\u001b[31m\u202egnp.exe\u200b\u2028@here';

export function alertOf(more: Partial<Alert> = {}): Alert {
  return {
    id: '019ab000-0000-7000-8000-000000000001',
    key: 'repeated-denials-1f3a',
    what: 'opened',
    orgId: 'acme',
    rule: 'repeated-denials',
    title: 'Repeated denials of one agent',
    level: 'high',
    at: '2026-11-25T12:00:00.000Z',
    group: { agent_id: 'operations-assistant' },
    count: 12,
    events: ['019ab000-0000-7000-8000-0000000000aa'],
    reason: '12 denials within 5 minutes, more than 10',
    ...more,
  };
}
