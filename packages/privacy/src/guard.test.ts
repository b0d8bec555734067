import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hmacSha256Of } from './hmac-sha256.ts';
import { createPrivacyGuard, keyRingOf, privacyRulesSchema, rulesWithoutSealingSchema } from './index.ts';
import { tokenOf } from './keyed.ts';

const keys = keyRingOf(new Uint8Array(32).fill(7));
const guard = createPrivacyGuard({
  keys,
  rules: [
    { service: 'crm', tool: '*', field: 'customer.email', do: 'token' },
    { service: '*', tool: '*', field: '*', do: 'keep' },
  ],
});

/** Put together from parts, so that scanners of this repository find none. */
const SECRETS: Record<string, string> = {
  'secret.aws-access-key': ['AK', 'IA', 'Z7QW3RTY', 'P0LK9MNB'].join(''),
  'secret.github-token': ['gh', 'p_', 'k3Jd8sLq0ZxV5nB1', 'mC7tR4yU2wE9aH6fG0pS'].join(''),
  'secret.gitlab-token': ['gl', 'pat-', 'xYz12AbC34dEf56GhI78'].join(''),
  'secret.slack-token': ['xo', 'xb-', '123456789012-abcdefABCDEF'].join(''),
  'secret.stripe-key': ['sk', '_live_', '4eC39HqLyjWDarjtT1zdp7dc'].join(''),
  'secret.npm-token': ['np', 'm_', 'a'.repeat(36)].join(''),
  'secret.jwt': ['ey', 'JhbGciOiJIUzI1NiJ9', '.eyJzdWIiOiIxMjM0In0', '.dGVzdHNpZ25hdHVyZQ'].join(''),
  'secret.private-key': [
    '-----BEGIN RSA ',
    'PRIVATE KEY-----\nMIIEow\n-----END RSA ',
    'PRIVATE KEY-----',
  ].join(''),
  'secret.model-provider-key': ['sk-', 'ant-', 'api03-abcdefghijklmnopqrstuvwx'].join(''),
  'pii.email': ['marta.lindqvist', 'fjordmail.example'].join('@'),
  'pii.iban': 'DE89 3704 0044 0532 0130 00',
  'pii.payment-card': '4539 1488 0343 6467',
  'pii.us-ssn': '536-90-4399',
  'pii.phone': '+46 70 555 01 42',
  'pii.ipv4': '81.2.69.142',
};

describe('what the guard lets through', () => {
  test.each(Object.entries(SECRETS))(
    '%s never survives, whatever stands around it, and is counted',
    (rule, secret) => {
      // Letters and digits would make another value of it; anything else may touch it.
      const around = fc.string({ maxLength: 40 }).map((text) => text.replaceAll(/[\w@.+/=:'%()-]/g, ' '));
      fc.assert(
        fc.property(around, around, (before, after) => {
          const text = `${before} ${secret} ${after}`;
          const outputs = [
            guard.scrub(text),
            guard.parameters('acme', 'files', 'write', { content: text, [`k ${text}`]: 1 }, text.length),
            guard.response('acme', 'files', 'read', { content: [{ type: 'text', text }] }, text.length),
          ];
          for (const output of outputs) {
            expect(JSON.stringify(output)).not.toContain(JSON.stringify(secret).slice(1, -1));
            expect(output.redactions.map((redaction) => redaction.rule)).toContain(rule);
          }
        }),
        { numRuns: 40 },
      );
    },
  );

  test('the value of a name that says secret is never kept, however harmless it looks', () => {
    const guarded = guard.parameters('acme', 's', 't', { db: { password: 'tuesday' }, city: 'Oslo' }, 1);
    expect(guarded.parameters_kept).toEqual([{ name: 'city', value: 'Oslo' }]);
    expect(guarded.redactions).toEqual([{ rule: 'secret.named-field', count: 1 }]);
  });

  test('without rules nothing of the parameters is kept', () => {
    const strict = createPrivacyGuard({ keys });
    const guarded = strict.parameters('acme', 's', 't', { city: 'Oslo', n: 3 }, 20);
    expect(guarded.parameters_kept).toEqual([]);
    expect(guarded.parameters_tokens).toEqual([]);
    expect(guarded.parameters_shape).toBe('{city:string,n:number}');
  });

  test.each([
    '8f14e45f-ceea-467f-a0e6-4d3b1a2c5d6e',
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '2026-11-23T22:53:32.123Z',
    'node v26.10.0, kafka 4.4.0, 10.0.0.1, 127.0.0.1, 192.168.1.20',
    'order 1234567890123 shipped on 11/23/2026',
    'INV-1002 for 4,200.00 EUR',
    '/var/lib/data/report-2026-11.md',
  ])('%s is left alone', (text) => {
    expect(guard.scrub(text)).toEqual({ text, redactions: [] });
  });

  test.each([
    ['patterns that backtrack', ['a@', '1 ', '+1 ']],
    ['a key that begins again and again', ['-----BEGIN PRIVATE KEY-----']],
    ['a token that begins again and again', ['eyJ', 'eyJabcdefgh.', 'ghp_', 'sk-']],
    ['a number that never ends', ['+11111111111111111111111111111111x', '4539148803436467_']],
    ['an address that never ends', ['a://b:', `${'a'.repeat(64)}@`, 'a.b-']],
    ['blanks between a name and its value', ['password   :  ', 'bearer      ']],
    ['as many findings as fit', ['a@b.cc ', '8.8.8.8 ']],
  ])('a quarter of a megabyte of %s takes under two seconds', (_, pieces) => {
    const nasty = pieces.map((piece) => piece.repeat(262_144 / pieces.length / piece.length)).join('!');
    const began = performance.now();
    guard.scrub(nasty);
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test('where two findings overlap, the secret wins over the personal value', () => {
    const { text, redactions } = guard.scrub('see https://marta:tuesday@fjordmail.example/ and 81.2.69.142');
    expect(text).toBe('see [secret.url-password]fjordmail.example/ and [pii.ipv4]');
    expect(redactions).toEqual([
      { rule: 'pii.ipv4', count: 1 },
      { rule: 'secret.url-password', count: 1 },
    ]);
  });
});

test('rules of a service that cannot seal are refused when they do, and a subject is only said of what is sealed', () => {
  const rule = { field: 'customer.name', do: 'seal' };
  expect(privacyRulesSchema.safeParse([rule]).success).toBe(true);
  expect(rulesWithoutSealingSchema.safeParse([rule]).success).toBe(false);
  expect(rulesWithoutSealingSchema.safeParse([{ ...rule, do: 'keep' }]).success).toBe(true);
  expect(privacyRulesSchema.safeParse([{ ...rule, do: 'keep', subject: 'user' }]).success).toBe(false);
});

describe('tokens and hashes', () => {
  test('a token is the one of the known answer', () => {
    expect(tokenOf(hmacSha256Of(new Uint8Array(32).fill(0x44)), 'acme', 'user', 'alice@example.com')).toMatch(
      /^t1_[\w-]{22}$/,
    );
  });

  test('equal values give equal tokens within an organisation and class, and no others', () => {
    const token = guard.token('acme', 'user', 'u1');
    expect(guard.token('acme', 'user', 'u1')).toBe(token);
    expect(guard.token('acme', 'ip', 'u1')).not.toBe(token);
    expect(guard.token('other', 'user', 'u1')).not.toBe(token);
    expect(guard.token('acme', 'user', '')).toBe('');
  });

  test('a rule turns a field into a token and never keeps its value', () => {
    const guarded = guard.parameters('acme', 'crm', 'update', { customer: { email: 'a@b.example' } }, 1);
    expect(guarded.parameters_tokens).toEqual([
      { name: 'customer.email', token: guard.token('acme', 'customer.email', 'a@b.example') },
    ]);
    expect(guarded.parameters_kept).toEqual([]);
  });

  test('the hash does not depend on the order of names, and differs between organisations', () => {
    const hash = guard.hash('acme', { a: 1, b: [true, null] });
    expect(guard.hash('acme', { b: [true, null], a: 1 })).toEqual(hash);
    expect(guard.hash('other', { a: 1, b: [true, null] })).not.toEqual(hash);
  });

  test('any JSON value has a hash and a shape', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        const guarded = guard.parameters('acme', 's', 't', value, 1);
        expect(guarded.parameters_hash).toHaveLength(32);
        expect(guarded.parameters_shape.length).toBeLessThanOrEqual(2_000);
      }),
    );
  });

  test('so has a value that RFC 8785 does not know: a number beyond a double, half of a surrogate pair', () => {
    expect(guard.hash('acme', { huge: JSON.parse('1e999') })).toHaveLength(32);
    const cut = JSON.parse('{"text":"cut \\ud83d","\\ude00":1}') as unknown;
    expect(guard.response('acme', 's', 't', cut, 30).response_hash).toHaveLength(32);
  });
});
