import { completeEvent } from '@cairn/event';
import { describe, expect, test } from '@jest/globals';
import type { Finding } from './finding.ts';
import { findingEvent, jobEvent } from './record-events.ts';

const finding: Finding = {
  reason: 'gap',
  origin: 'audit.example/audit.events.standard/0',
  at: 12,
  stream: { orgId: 'acme', gatewayId: 'gw-1', epoch: 3, seq: 9 },
  detail: 'numbers 7 to 8 are missing',
};

const complete = (draft: ReturnType<typeof findingEvent>) =>
  completeEvent(
    { ...draft, gateway_id: 'archival', timestamp: 1, capture: 'system' },
    { event_id: new Uint8Array(16) },
  );

describe('events of archival', () => {
  test('a finding of a stream is an alert in its organisation’s trail', () => {
    expect(complete(findingEvent(finding, 'cairn'))).toMatchObject({
      org_id: 'acme',
      kind: 'alert',
      error_code: 'ledger.gap',
      error_message: 'numbers 7 to 8 are missing',
      detail:
        '{"at":12,"epoch":3,"gateway":"gw-1","org":"acme","origin":"audit.example/audit.events.standard/0","seq":9}',
    });
  });

  test('a finding of a log, or of an organisation whose name cannot name a key, is in the installation’s own', () => {
    const { stream, ...ofLog } = finding;
    expect(complete(findingEvent(ofLog, 'cairn'))).toMatchObject({ org_id: 'cairn' });
    const hostile = { ...finding, stream: { ...stream!, orgId: '../\u001b[31m\n', gatewayId: '\u202e"' } };
    const event = complete(findingEvent(hostile, 'cairn'));
    expect(event.org_id).toBe('cairn');
    expect(JSON.parse(event.detail)).toMatchObject({ org: '../\u001b[31m\n', gateway: '\u202e"' });
  });

  test('a run of a job says how it ended and what it came to', () => {
    const run = {
      job: 'anchor',
      outcome: 'failure',
      facts: { b: 1, a: 2 },
      error: 'away',
      tookMs: 12.4,
    } as const;
    expect(complete(jobEvent(run, 'cairn'))).toMatchObject({
      kind: 'admin',
      method: 'job/anchor',
      result_status: 'failure',
      error_message: 'away',
      latency_ms: 12,
      detail: '{"a":2,"b":1}',
    });
  });
});
