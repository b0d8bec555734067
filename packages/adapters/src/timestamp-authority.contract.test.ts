import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isFailure } from '@cairn/failure';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type AuthorityOptions, type OpensslAuthority, startAuthority } from '../test/openssl-authority.ts';
import { requestTimestamp, timestampRequest, verifyTimestamp } from './timestamp-authority.ts';

const data = Buffer.from('origin.example/log\n5\nAAAA\n');
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error: unknown) => (isFailure(error) ? error.code : String(error)),
  );
const requestOf = (
  bytes: Uint8Array,
  nonce: Uint8Array = Buffer.from('4102030405060708', 'hex'),
): Uint8Array => timestampRequest(createHash('sha256').update(bytes).digest(), nonce);

let local: OpensslAuthority;
let other: OpensslAuthority;
beforeAll(async () => {
  local = await startAuthority('local');
  other = await startAuthority('other');
});
afterAll(async () => {
  await local?.[Symbol.asyncDispose]();
  await other?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  local.meddle = (answer) => answer;
});

describe('a timestamp of openssl', () => {
  test('is accepted, and what is kept of it passes openssl ts -verify', async () => {
    const stamp = await requestTimestamp(local.authority, data);
    expect(stamp.authority).toBe('local');
    expect(Math.abs(stamp.genTime.getTime() - Date.now())).toBeLessThan(5_000);
    expect(local.verify(stamp.response, data)).toContain('Verification: OK');
    expect(local.verify(stamp.response, Buffer.from('other'))).toContain('message imprint mismatch');
    expect(await verifyTimestamp(stamp.response, data, local.authority.caCertificates)).toEqual({
      genTime: stamp.genTime,
    });
  });

  test('was asked for with 69 bytes of DER and a nonce of its own', async () => {
    await requestTimestamp(local.authority, data);
    await requestTimestamp(local.authority, data);
    const [first, second] = local.requests.slice(-2);
    expect(first?.length).toBe(69);
    expect(first?.subarray(0, 58)).toEqual(second?.subarray(0, 58));
    expect(first?.subarray(58, 66)).not.toEqual(second?.subarray(58, 66));
  });

  test('through an intermediate that the answer carries is accepted', async () => {
    await using chained = await startAuthority('chained', { intermediate: true });
    const stamp = await requestTimestamp(chained.authority, data);
    expect(chained.verify(stamp.response, data)).toContain('Verification: OK');
  });

  test('is refused after a change of any fourth byte, unless openssl accepts the change as well', async () => {
    const { response } = await requestTimestamp(local.authority, data);
    for (let at = 0; at < response.length; at += 4) {
      const changed = new Uint8Array(response);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      const code = await codeOf(verifyTimestamp(changed, data, local.authority.caCertificates));
      if (code === 'no failure')
        expect([at, local.verify(changed, data)]).toEqual([at, expect.stringContaining('Verification: OK')]);
      else expect(code).toMatch(/^timestamp\./);
    }
  }, 120_000);
});

describe('refused is', () => {
  test('a timestamp of other data', async () => {
    local.meddle = () =>
      local.answer(requestOf(Buffer.from('other'), local.requests.at(-1)?.subarray(58, 66)));
    expect(await codeOf(requestTimestamp(local.authority, data))).toBe('timestamp.mismatch');
  });

  test('a timestamp for another request', async () => {
    const replayed = local.answer(requestOf(data));
    local.meddle = () => replayed;
    expect(await codeOf(requestTimestamp(local.authority, data))).toBe('timestamp.mismatch');
    // Without the nonce at hand, as a verifier reads it years later, it is a timestamp like any.
    expect(await codeOf(verifyTimestamp(replayed, data, local.authority.caCertificates))).toBe('no failure');
  });

  test('the timestamp of another CA, though it carries its own root', async () => {
    const authority = { ...other.authority, caCertificates: local.authority.caCertificates };
    expect(await codeOf(requestTimestamp(authority, data))).toBe('timestamp.untrusted');
    await using chained = await startAuthority('chained', { intermediate: true });
    const stranger = { ...chained.authority, caCertificates: local.authority.caCertificates };
    expect(await codeOf(requestTimestamp(stranger, data))).toBe('timestamp.untrusted');
  });

  test('any timestamp when no CA is configured', async () => {
    expect(await codeOf(requestTimestamp({ ...local.authority, caCertificates: '' }, data))).toBe(
      'timestamp.untrusted',
    );
  });

  test.each<[string, AuthorityOptions, string]>([
    ['timestamps, not marked critical', { usage: 'timeStamping' }, 'not for time stamping alone'],
    ['other uses besides', { usage: 'critical,timeStamping,codeSigning' }, 'not for time stamping alone'],
    ['another use', { usage: 'critical,codeSigning' }, 'not for time stamping alone'],
    ['timestamps, and it has expired', { days: -1 }, ''],
  ])('a certificate for %s, under the trusted kind of CA', async (_name, options, why) => {
    await using signer = await startAuthority('signer', options);
    const forged = local.forge(requestOf(data), signer);
    await expect(verifyTimestamp(forged, data, signer.authority.caCertificates)).rejects.toMatchObject({
      code: 'timestamp.untrusted',
      message: expect.stringContaining(why),
    });
  });

  test('a signature that does not say under itself which certificate signed', async () => {
    const named = local.forge(requestOf(data), local);
    expect(await codeOf(verifyTimestamp(named, data, local.authority.caCertificates))).toBe('no failure');
    const unnamed = local.forge(requestOf(data), local, 'none');
    await expect(verifyTimestamp(unnamed, data, local.authority.caCertificates)).rejects.toMatchObject({
      code: 'timestamp.untrusted',
      message: expect.stringContaining('do not name'),
    });
  });

  test('an answer that is no DER, is cut, or goes on', async () => {
    for (const change of [
      () => randomBytes(200),
      () => Buffer.alloc(0),
      (answer: Buffer) => answer.subarray(0, answer.length - 1),
      (answer: Buffer) => Buffer.concat([answer, Buffer.from([0])]),
      () => Buffer.from('30030201ff', 'hex'),
      () => Buffer.from('<html>Not a timestamp</html>'),
      () => Buffer.alloc(100_000, 0x30),
    ]) {
      local.meddle = change;
      expect(await codeOf(requestTimestamp(local.authority, data))).toMatch(
        /^timestamp\.(malformed|refused)$/,
      );
    }
  });

  test('the refusal of the authority, with its own words', async () => {
    // SHA-1, which the authority does not take.
    const sha1 = Buffer.from('302c02010130213009 06052b0e03021a 0500 0414'.replaceAll(' ', ''), 'hex');
    const request = Buffer.concat([
      sha1,
      randomBytes(20),
      Buffer.from('02044102030401 01ff'.replaceAll(' ', ''), 'hex'),
    ]);
    request[1] = request.length - 2;
    local.meddle = () => local.answer(request);
    await expect(requestTimestamp(local.authority, data)).rejects.toMatchObject({
      code: 'timestamp.refused',
      retry: 'no',
    });
  });

  test('a time that is not now', async () => {
    expect(await codeOf(requestTimestamp(local.authority, data, { clockMsMax: -1 }))).toBe('timestamp.clock');
  });
});

describe('no answer', () => {
  test.each<[string, OpensslAuthority['meddle'], string]>([
    ['500', (_, response) => void response.writeHead(500).end(), 'timestamp.unreachable'],
    ['429', (_, response) => void response.writeHead(429).end(), 'timestamp.unreachable'],
    ['403', (_, response) => void response.writeHead(403).end(), 'timestamp.refused'],
    [
      'a redirect',
      (_, response) => void response.writeHead(302, { location: '/' }).end(),
      'timestamp.unreachable',
    ],
    ['a hang', () => undefined, 'timestamp.unreachable'],
    [
      'a hang half way',
      (answer, response) => void response.writeHead(200).write(answer.subarray(0, 100)),
      'timestamp.unreachable',
    ],
    ['a broken line', (_, response) => void response.destroy(), 'timestamp.unreachable'],
  ])('%s is told in time', async (_name, meddle, code) => {
    local.meddle = meddle;
    expect(await codeOf(requestTimestamp(local.authority, data, { answerMsMax: 700 }))).toBe(code);
  });

  test('nobody there is unreachable', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const authority = { ...local.authority, url: `http://127.0.0.1:${port}` };
    expect(await codeOf(requestTimestamp(authority, data))).toBe('timestamp.unreachable');
  });
});
