import { describe, expect, test } from '@jest/globals';
import { accessEvent } from './record-access.ts';

const about = {
  route: { recorded: ['audit_access', 'event/unseal'], id: 'unsealEvent', scope: 'unseal' },
  caller: { orgId: 'acme', role: 'auditor', scopes: ['unseal'], id: 'key:1', auth: 'api_key' },
  outcome: 'success',
  code: '',
  requestId: 'request-1',
} as const;
const detailOf = (facts: Record<string, string | number | readonly string[]>) =>
  accessEvent({ ...about, facts }, 'cairn').detail as string;

describe('the event of a request', () => {
  test('is JSON with all of its names, however long what was asked is, and says what of it was cut', () => {
    const parts = Array.from(
      { length: 50 },
      (_, at) => `parameters_sealed ${'k'.repeat(120)} subject-${at} opened`,
    );
    const detail = detailOf({ search: '\u0001'.repeat(2_000), parts, reason: 'Case 12', opened: 50 });
    expect(detail.length).toBeLessThanOrEqual(8_192);
    const said = JSON.parse(detail);
    expect(said).toMatchObject({ request: 'request-1', reason: 'Case 12', opened: 50, role: 'auditor' });
    expect(said.cut).toEqual(['parts', 'search']);
    expect('\u0001'.repeat(2_000)).toContain(said.search);
    expect(parts.slice(0, said.parts.length)).toEqual(said.parts);
    expect(Object.keys(said)).toEqual(Object.keys(said).sort());
  });

  test('holds what was asked whole where there is room', () => {
    const search = 'decision:deny '.repeat(100);
    expect(JSON.parse(detailOf({ search }))).toEqual({
      ...{ caller: 'key:1', request: 'request-1', role: 'auditor', scope: 'unseal' },
      search,
    });
  });
});
