import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import type { Alert } from './alert.ts';
import { type Endpoint, webhooksSchema } from './endpoint.ts';
import { keyOfFile, secretsOfFile } from './secret-file.ts';
import { sendAlert } from './send-alert.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-secrets-'));
afterAll(() => rmSync(directory, { recursive: true }));
const OLD = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const NEW = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD';

function fileOf(name: string, text: string, mode = 0o600): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}
const network = { ports: [443], plainHttp: false, allow: [] };
const alert: Alert = {
  id: '01a21471-be25-7d85-b714-49a4bf133496',
  key: 'k',
  what: 'opened',
  orgId: 'acme',
  rule: 'rule',
  title: 'Title',
  level: 'high',
  at: '2026-11-25T10:00:00.000Z',
  group: {},
  count: 1,
  events: [],
  reason: 'why',
};

/** Sends once and gives back what went out. */
async function sent(endpoint: Endpoint) {
  const posts: { headers: Readonly<Record<string, string>>; body: string }[] = [];
  const http = {
    async post(_: URL, headers: Readonly<Record<string, string>>, body: Buffer) {
      posts.push({ headers, body: body.toString() });
      return { status: 200, retryAfter: undefined, excerpt: '' };
    },
  };
  return { attempt: await sendAlert(http, endpoint, network, alert, Date.now()), posts };
}
const endpointWith = (secretFile: string): Endpoint =>
  webhooksSchema.parse({ endpoints: [{ name: 'a', url: 'https://example.com/', secretFile }] }).endpoints[0]!;

describe('webhook secrets in files', () => {
  test('a file that is changed signs with what stands there at the next attempt, with both while both do', async () => {
    const file = fileOf('rotating', `${OLD}\n`);
    const endpoint = endpointWith(file);
    const accepts = async (secret: string): Promise<boolean> => {
      const { posts } = await sent(endpoint);
      try {
        new Webhook(secret).verify(posts[0]!.body, posts[0]!.headers);
        return true;
      } catch {
        return false;
      }
    };
    expect([await accepts(OLD), await accepts(NEW)]).toEqual([true, false]);
    writeFileSync(file, `${NEW}\n${OLD}\n`);
    expect([await accepts(OLD), await accepts(NEW)]).toEqual([true, true]);
    writeFileSync(file, NEW);
    expect([await accepts(OLD), await accepts(NEW)]).toEqual([false, true]);
  });

  test.each([
    ['that others may read', 0o640, OLD, 'may be read by others'],
    ['that is empty', 0o600, '\n', 'one to four lines'],
    ['with a line that is no secret', 0o600, `${OLD}\nsecret-of-mine`, 'no whsec_ secret'],
  ])('a file %s sends nothing, and what it holds is not told', async (_, mode, text, why) => {
    const file = fileOf('bad', text, mode);
    const { attempt, posts } = await sent(endpointWith(file));
    expect(posts).toEqual([]);
    expect(attempt.status).toBeUndefined();
    expect(attempt.note).toContain(why);
    expect(attempt.note).not.toContain('secret-of-mine');
    expect(() => secretsOfFile(file)).toThrow(why);
  });

  test('one that is not there sends nothing, and the key of an integration stands alone in its file', async () => {
    const { attempt, posts } = await sent(endpointWith(join(directory, 'nowhere')));
    expect([posts.length, attempt.status]).toEqual([0, undefined]);
    expect(keyOfFile(fileOf('key', 'R0UT1NG\n'))).toBe('R0UT1NG');
    expect(() => keyOfFile(fileOf('keys', 'a\nb\n'))).toThrow('one key');
  });

  test('an endpoint has its secrets in one place', () => {
    const both = { name: 'a', url: 'https://example.com/', secrets: [OLD], secretFile: 'f' };
    expect(webhooksSchema.safeParse({ endpoints: [both] }).success).toBe(false);
    const none = { name: 'a', url: 'https://example.com/' };
    expect(webhooksSchema.safeParse({ endpoints: [none] }).success).toBe(false);
  });
});
