import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { matcherOf, parsePattern } from './pattern.ts';
import { searchFor } from './regular-expression.ts';
import { detectionText, holds, rulesOf } from './testing/sample-event.ts';

describe('values', () => {
  test.each([
    ['tool_name: delete', 'DELETE', true],
    ['tool_name|cased: delete', 'DELETE', false],
    ['tool_name: del*', 'delete', true],
    ['tool_name: del?te', 'delete', true],
    ['tool_name: del?', 'delete', false],
    ["tool_name: 'a\\*b'", 'a*b', true],
    ["tool_name: 'a\\*b'", 'axb', false],
    ["tool_name: 'a\\\\*'", 'a\\rest', true],
    ["tool_name: 'a\\b'", 'a\\b', true],
    ['tool_name|contains: [let, nothing]', 'delete', true],
    ['tool_name|contains|all: [let, nothing]', 'delete', false],
    ['tool_name|startswith: del', 'delete', true],
    ['tool_name|endswith: te', 'delete', true],
    ['tool_name|neq: [a, b]', 'b', false],
    ['tool_name|neq: [a, b]', 'c', true],
    ["tool_name|re: '^d.l'", 'delete', true],
    ["tool_name|re: '^D.l'", 'delete', false],
    ["tool_name|re|i: '^D.l'", 'delete', true],
    ["tool_name|re|m: '^b$'", 'a\nb', true],
    ["tool_name|re: '^b$'", 'a\nb', false],
    ["tool_name|re|s: 'a.b'", 'a\nb', true],
    ["tool_name|re: 'a.b'", 'a\nb', false],
    ['tool_name|cidr: 10.0.0.0/8', '10.255.0.1', true],
    ['tool_name|cidr: 10.0.0.0/8', '10.text', false],
    ['tool_name|cidr: fd00::/8', 'fdff::1', true],
    ['tool_name|cidr: fd00::/8', 'fe80::1', false],
    ["tool_name|cidr: '::ffff:10.0.0.0/104'", '::ffff:10.1.2.3', true],
    ["tool_name|windash|contains: ' -enc '", 'a /enc b', true],
    ["tool_name|windash|contains: ' -enc '", 'a \u2015enc b', true],
    ["tool_name|base64: 'ping'", 'cGluZw==', true],
    ["tool_name|base64offset|contains: 'ping'", btoa('xping more'), true],
    ["tool_name|base64offset|contains: 'ping'", btoa('xyping more'), true],
    ["tool_name|base64offset|contains: 'ping'", btoa('pong'), false],
    ["tool_name|wide|base64offset|contains: 'ping'", btoa('--p\0i\0n\0g\0--'), true],
    ["tool_name|utf16be|base64: 'hi'", btoa('\0h\0i'), true],
    ['tool_name: 42', '42', true],
    ['tool_name|exists: true', 'x', true],
    ['tool_name|exists: false', 'x', false],
  ])('%s, of %j: %s', (line, value, expected) => {
    expect(holds(line, { tool_name: value })).toBe(expected);
  });

  test.each([
    ['latency_ms|gte: 10', 10, true],
    ['latency_ms|gt: 10', 10, false],
    ['latency_ms|lt: 10', 9, true],
    ['latency_ms|lte: 10', 11, false],
    ['latency_ms: 10', 10, true],
    ["latency_ms: '1*'", 12, true],
  ])('%s, of %j: %s', (line, value, expected) => {
    expect(holds(line, { latency_ms: value })).toBe(expected);
  });

  test('absent is null, the empty text, and no value that a comparison holds for', () => {
    for (const event of [{}, { tool_name: '' }, { latency_ms: null }]) {
      for (const line of ['tool_name: null', "tool_name: ''", 'tool_name|exists: false', 'latency_ms: null'])
        expect(holds(line, event)).toBe(true);
      for (const line of [
        "tool_name: '*'",
        'tool_name|contains: a',
        'latency_ms|lt: 5',
        'latency_ms|exists: true',
      ])
        expect(holds(line, event)).toBe(false);
    }
    expect(holds('tool_name: [null, a]', { tool_name: 'a' })).toBe(true);
    expect(holds('tool_name: [null, a]', {})).toBe(true);
  });

  test('a list holds when any of its values does, and its negation when none does', () => {
    const event = { rules_matched: ['a', 'b'], redactions: [{ rule: 'secret.key', count: 3 }] };
    expect(holds('rules_matched: B', event)).toBe(true);
    expect(holds('rules_matched|neq: b', event)).toBe(false);
    expect(holds('redactions.rule|startswith: secret.', event)).toBe(true);
    expect(holds('redactions.count|gt: 3', event)).toBe(false);
    expect(holds('rules_matched|exists: false', { rules_matched: [] })).toBe(true);
  });

  test('hashes are hex, ids are UUIDs, and single facts of detail have names', () => {
    const bytes = Uint8Array.from({ length: 16 }, (_, index) => index);
    expect(holds("trace_id|startswith: '000102'", { trace_id: bytes })).toBe(true);
    expect(holds('call_id: 00010203-0405-0607-0809-0A0B0C0D0E0F', { call_id: bytes })).toBe(true);
    expect(holds('detail.gap_count|gte: 2', { detail: '{"gap_count":2}' })).toBe(true);
    expect(holds('detail.gap_count|gte: 2', { detail: 'no json {' })).toBe(false);
  });

  test('fieldref compares two fields of one event, and neither may be absent', () => {
    expect(holds('client_name|fieldref: agent_id', { client_name: 'A', agent_id: 'a' })).toBe(true);
    expect(holds('client_name|fieldref|cased: agent_id', { client_name: 'A', agent_id: 'a' })).toBe(false);
    expect(holds('client_name|fieldref|startswith: agent_id', { client_name: 'ab', agent_id: 'a' })).toBe(
      true,
    );
    expect(holds('client_name|fieldref|neq: agent_id', { client_name: 'b', agent_id: 'a' })).toBe(true);
    expect(holds('client_name|fieldref: agent_id', {})).toBe(false);
  });

  test('expand puts in the values of a placeholder, literally', () => {
    const text = detectionText("{s: {agent_id|expand: '%admins%-bot'}, condition: s}");
    const [detection] = rulesOf(text, new Map([['admins', ['a*', 'root']]])).detections;
    const found = ['a*-bot', 'ROOT-bot', 'ax-bot'].map((id) => detection?.matches({ agent_id: id }));
    expect(found).toEqual([true, true, false]);
  });

  test('expand does so inside expressions, and for every combination of placeholders', () => {
    const text = detectionText("{s: {agent_id|re|expand: '^%who%@%where%$'}, condition: s}");
    const placeholders = new Map([
      ['who', ['a.b', 'c']],
      ['where', ['x', 'y+']],
    ]);
    const [detection] = rulesOf(text, placeholders).detections;
    const found = ['a.b@x', 'c@y+', 'a-b@x', 'c@yy'].map((id) => detection?.matches({ agent_id: id }));
    expect(found).toEqual([true, true, false, false]);
  });

  test('time modifiers take a part of the time in UTC', () => {
    const timestamp = Date.UTC(2026, 10, 25, 23, 7) * 1_000;
    for (const line of ['hour: 23', 'minute: 7', 'day: 25', 'month: 11', 'year: 2026'])
      expect(holds(`timestamp|${line}`, { timestamp })).toBe(true);
    expect(holds('timestamp|hour: 22', { timestamp })).toBe(false);
  });

  test('keywords are searched in every text, and all of them with |all', () => {
    const match = (selection: string, event: object): boolean | undefined =>
      rulesOf(detectionText(`{k: ${selection}, condition: k}`)).detections[0]?.matches(event);
    const event = { error_message: 'disk FULL', parameters_kept: [{ name: 'p', value: 'on node 7' }] };
    expect(match('[full, other]', event)).toBe(true);
    expect(match("{'|all': [full, 'node ?']}", event)).toBe(true);
    expect(match("{'|all': [full, other]}", event)).toBe(false);
    expect(match('[7000]', event)).toBe(false);
  });
});

describe('patterns and expressions', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'b', 'A', '*', '?', '\\', '.', 'é', '𝄞'),
    maxLength: 12,
  });

  test('a pattern matches what the regular expression of the same meaning matches', () => {
    fc.assert(
      fc.property(text, text, (value, subject) => {
        const expression = parsePattern(value)
          .map((piece) =>
            typeof piece === 'string'
              ? piece.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
              : piece.description === '*'
                ? '.*'
                : '.',
          )
          .join('');
        const expected = new RegExp(`^${expression}$`, 'su').test(subject);
        expect(matcherOf(parsePattern(value), true)(subject)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test('a text with its wildcards escaped matches itself and nothing else', () => {
    fc.assert(
      fc.property(text, text, (value, other) => {
        const fits = matcherOf(parsePattern(value.replace(/[\\*?]/g, '\\$&')), true);
        expect(fits(value)).toBe(true);
        expect(fits(other)).toBe(other === value);
      }),
    );
  });

  test('a hostile text takes linear time, whatever the expression or the pattern', () => {
    const began = performance.now();
    const hostile = 'a'.repeat(32_768);
    expect(searchFor('^(a+)+$', { ignoreCase: false, multiLine: false, dotAll: false })(`${hostile}!`)).toBe(
      false,
    );
    expect(matcherOf(parsePattern('*a*a*a*a*a*a*b'), false)(hostile)).toBe(false);
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
