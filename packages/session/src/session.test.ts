import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { reconstructSession, renderSession, type SessionEvent, visible } from './index.ts';

const BASE: SessionEvent = {
  event_id: 'e0',
  call_id: null,
  kind: 'tool_call',
  phase: 'single',
  timestamp: 1_795_000_000_000_000,
  gateway_id: 'gw-1',
  epoch: 1,
  seq: 1,
  org_id: 'acme',
  agent_id: 'ops',
  agent_version: '1.0',
  user_id: 't1_abc',
  auth_method: 'bearer',
  session_id: 's-1',
  session_source: 'trace',
  client_name: 'c',
  client_version: '1',
  protocol_version: '2025-11-25',
  method: 'tools/call',
  service: 'files',
  tool_name: 'read',
  action: 'read',
  sensitivity: 'internal',
  data_classes: [],
  parameters_shape: '{path:string}',
  parameters_tokens: [],
  parameters_kept: [],
  parameters_size: 20,
  decision: 'allow',
  enforcement: 'enforce',
  rules_matched: ['a'],
  policy_errors: [],
  result_status: 'success',
  error_code: '',
  error_message: '',
  response_size: 10,
  latency_ms: 12,
  upstream_ms: 10,
  redactions: [],
  attempt: 1,
};

/** Calls as a gateway records them: a decision, then its outcome, several at the same time. */
const calls = fc
  .array(fc.record({ outcome: fc.boolean(), gap: fc.integer({ min: 1, max: 5_000 }) }), {
    minLength: 1,
    maxLength: 20,
  })
  .map((list) => {
    let seq = 0;
    let timestamp = BASE.timestamp;
    return list.flatMap(({ outcome, gap }, index) => {
      timestamp += gap;
      const base = { ...BASE, call_id: `call-${index}`, timestamp };
      const decision = {
        ...base,
        event_id: `d-${index}`,
        phase: 'decision',
        result_status: 'pending',
        seq: seq++,
      };
      const ended = {
        ...base,
        event_id: `o-${index}`,
        phase: 'outcome',
        timestamp: timestamp + 1,
        seq: seq++,
      };
      return outcome ? [decision, ended] : [decision];
    });
  });

describe('a reconstructed session', () => {
  test('has every event in exactly one step, in the order of asking, however the events come in', () => {
    fc.assert(
      fc.property(
        calls.chain((events) =>
          fc.tuple(fc.constant(events), fc.shuffledSubarray(events, { minLength: events.length })),
        ),
        ([events, shuffled]) => {
          const session = reconstructSession(shuffled);
          expect(session.steps.flatMap((step) => step.event_ids).toSorted()).toEqual(
            events.map((event) => event.event_id).toSorted(),
          );
          const asked = session.steps.map((step) => step.call_id);
          expect(asked).toEqual([...new Set(events.map((event) => event.call_id))]);
        },
      ),
    );
  });

  test('names every decision that has no outcome', () => {
    fc.assert(
      fc.property(calls, (events) => {
        const ended = new Set(
          events.filter(({ phase }) => phase === 'outcome').map(({ call_id }) => call_id),
        );
        const open = events.filter(({ phase, call_id }) => phase === 'decision' && !ended.has(call_id));
        expect(reconstructSession(events).findings).toEqual(
          open.map(({ event_id, call_id }) => ({ finding: 'decision-without-outcome', event_id, call_id })),
        );
      }),
    );
  });

  test('shows an outcome without a decision and an event that stands twice', () => {
    const outcome = { ...BASE, phase: 'outcome', call_id: 'c' };
    const { findings } = reconstructSession([outcome, outcome]);
    expect(findings.map(({ finding }) => finding)).toEqual(['outcome-without-decision', 'event-twice']);
  });
});

describe('a session on a terminal', () => {
  test('puts the decision beside the outcome, with rule, error and what was redacted', () => {
    const decision = { ...BASE, event_id: 'd', call_id: 'c', phase: 'decision', result_status: 'pending' };
    const outcome = {
      ...BASE,
      event_id: 'o',
      call_id: 'c',
      phase: 'outcome',
      seq: 2,
      result_status: 'failure',
      error_code: 'tool.error',
      error_message: 'no such file',
      redactions: [{ rule: 'pii.email', count: 2 }],
    };
    const text = renderSession(reconstructSession([decision, outcome]), { width: 100, color: false });
    expect(text).toMatch(/files\/read +read +allow +failure +12 ms/);
    expect(text).toContain('rule: a');
    expect(text).toContain('error tool.error: no such file');
    expect(text).toContain('redacted: pii.email ×2');
    expect(text).toContain('1: 1 failed; 2 secrets and personal values seen, none kept');
  });

  test('never lets a hostile name move the cursor, hide or reorder text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (hostile) => {
        const event = {
          ...BASE,
          tool_name: hostile,
          agent_id: hostile,
          error_message: hostile,
          client_name: hostile,
        };
        const text = renderSession(reconstructSession([event]), { width: 100, color: false });
        expect(text.replaceAll('\n', '')).toBe(visible(text.replaceAll('\n', '')));
      }),
    );
    expect(visible('a\u001b[2Jb\u202ec\u200bd')).toBe('a\\u{1b}[2Jb\\u{202e}c\\u{200b}d');
  });

  test('keeps to the width of the terminal', () => {
    const event = { ...BASE, tool_name: 'x'.repeat(300), error_message: 'word '.repeat(100) };
    const lines = renderSession(reconstructSession([event]), { width: 100, color: false }).split('\n');
    for (const line of lines.slice(5)) expect(line.length).toBeLessThanOrEqual(100);
  });
});
