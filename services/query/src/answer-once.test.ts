import { Failure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import { answerOnce, type KeptAnswer, type Repeatable } from './answer-once.ts';
import { claimsInMemory, type SharedClaims } from './shared-claims.ts';

const KEY = '"8e03978e-40d5-43e8-bc93-6894a57f9324"';
const ASKED: Repeatable = {
  header: KEY,
  caller: { orgId: 'acme', role: 'admin', scopes: ['keys'], id: 'key:1', auth: 'api_key' },
  credential: 'Bearer secret-of-the-caller',
  method: 'POST',
  path: '/v1/keys',
  body: { name: 'ci', role: 'viewer' },
};
const answer: KeptAnswer = { status: 201, body: { text: 'cairn_shown_once' }, facts: { key: '1' } };

/** Counts how often something was created. */
function world(claims?: SharedClaims) {
  let nowMs = 1_795_000_000_000;
  const kept = claims ?? claimsInMemory(() => nowMs);
  const made = { count: 0 };
  const ask = (asked: Partial<Repeatable> = {}, work?: () => Promise<KeptAnswer>) =>
    answerOnce(
      kept,
      { ...ASKED, ...asked },
      work ??
        (async () => {
          made.count += 1;
          return { ...answer, body: { number: made.count } };
        }),
    );
  return { ask, made, kept, pass: (ms: number) => (nowMs += ms) };
}

describe('a request with an Idempotency-Key', () => {
  test('that is sent again creates nothing again and is answered as the first one was', async () => {
    const { ask, made } = world();
    expect(await ask()).toMatchObject({ isRepeated: false, answer: { body: { number: 1 } } });
    expect(await ask()).toMatchObject({ isRepeated: true, answer: { status: 201, body: { number: 1 } } });
    // With and without quotes it is the same key.
    expect(await ask({ header: KEY.slice(1, -1) })).toMatchObject({ isRepeated: true });
    expect(made.count).toBe(1);
  });

  test('that says something else under the same key is refused, whether the first one is answered or not', async () => {
    const { ask, made } = world();
    await ask();
    for (const other of [{ body: { name: 'x' } }, { path: '/v1/saved-searches' }, { method: 'PUT' }])
      await expect(ask(other)).rejects.toMatchObject({ code: 'idempotency.different' });
    expect(made.count).toBe(1);
  });

  test('is refused while the first one is under way, and not when that one has died', async () => {
    const { ask, pass } = world();
    let finish = (_: KeptAnswer): void => {};
    const first = ask({}, () => new Promise((resolve) => (finish = resolve)));
    await Promise.resolve();
    await expect(ask()).rejects.toMatchObject({ code: 'idempotency.running' });
    pass(120_000);
    expect(await ask()).toMatchObject({ isRepeated: false });
    finish(answer);
    await first;
  });

  test('of another organisation or caller is another one', async () => {
    const { ask, made } = world();
    await ask();
    await ask({ caller: { ...ASKED.caller, orgId: 'globex' } });
    await ask({ caller: { ...ASKED.caller, id: 'key:2' } });
    expect(made.count).toBe(3);
  });

  test('is free again when the work fails, and after a day', async () => {
    const { ask, made, pass } = world();
    await expect(ask({}, () => Promise.reject(new Error('no disk')))).rejects.toThrow('no disk');
    expect(await ask()).toMatchObject({ isRepeated: false });
    pass(86_400_000);
    expect(await ask()).toMatchObject({ isRepeated: false });
    expect(made.count).toBe(2);
  });

  test('creates nothing when nobody knows whether the key is taken', async () => {
    const away = new Failure({ code: 'redis.unreachable', retry: 'later', message: 'away' });
    const { ask, made } = world({ ...claimsInMemory(Date.now), claim: () => Promise.reject(away) });
    await expect(ask()).rejects.toMatchObject({ code: 'redis.unreachable' });
    expect(made.count).toBe(0);
  });

  test('keeps an answer that nobody reads without the credential and the key of the caller', async () => {
    const held = new Map<string, string>();
    const memory = claimsInMemory(Date.now);
    const { ask } = world({
      ...memory,
      settle: (name, value, ms) => {
        held.set(name, value);
        return memory.settle(name, value, ms);
      },
    });
    await ask({}, async () => answer);
    const [[name, value]] = [...held] as [[string, string]];
    for (const text of [name, value, Buffer.from(value.split(' ')[2]!, 'base64url').toString('latin1')])
      for (const secret of ['cairn_shown_once', 'secret-of-the-caller', '8e03978e'])
        expect(text).not.toContain(secret);
    // The same caller with a new credential is not given what was sealed for the old one.
    await expect(ask({ credential: 'Bearer another' })).rejects.toMatchObject({
      code: 'idempotency.different',
    });
  });

  test.each(['', 'short', '"unclosed-key', 'with space in it', `"${'x'.repeat(256)}"`, '"line\nbreak"'])(
    'that is none (%j) is refused before anything is done',
    async (header) => {
      const { ask, made } = world();
      await expect(ask({ header })).rejects.toMatchObject({ code: 'request.invalid' });
      expect(made.count).toBe(0);
    },
  );
});
