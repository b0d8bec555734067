import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { publicKeyOf, signerOf, signWebhook } from './sign-webhook.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER = 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=';
/** RFC 8032, section 7.1, test 1: seed and public key. */
const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const PUBLIC = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
const KEY = `whsk_${Buffer.from(SEED, 'hex').toString('base64')}`;
const body = Buffer.from('{"test": 2432232314}');

describe('signatures', () => {
  test('are those of the published vector', () => {
    const headers = signWebhook([signerOf(SECRET)], 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330_999, body);
    expect(headers).toEqual({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  test('are accepted by the receiver of Standard Webhooks, with either secret while one is exchanged', () => {
    const headers = signWebhook(
      [signerOf(SECRET), signerOf(OTHER), signerOf(KEY)],
      'msg_1',
      Date.now(),
      body,
    );
    for (const secret of [SECRET, OTHER]) {
      expect(new Webhook(secret).verify(body.toString(), { ...headers })).toEqual({ test: 2432232314 });
    }
    const stranger = new Webhook('whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD');
    expect(() => stranger.verify(body.toString(), { ...headers })).toThrow('No matching signature');
    expect(() => new Webhook(SECRET).verify(`${body} `, { ...headers })).toThrow('No matching signature');
    const moved = { ...headers, 'webhook-id': 'msg_2' };
    expect(() => new Webhook(SECRET).verify(body.toString(), moved)).toThrow('No matching signature');
  });

  test('by Ed25519 verify under the public key that is handed out', () => {
    const { 'webhook-signature': signature } = signWebhook([signerOf(KEY)], 'msg_1', 1_614_265_330_000, body);
    const published = publicKeyOf(KEY)!;
    expect(Buffer.from(published.slice('whpk_'.length), 'base64').toString('hex')).toBe(PUBLIC);
    const key = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(PUBLIC, 'hex').toString('base64url') },
      format: 'jwk',
    });
    expect(signature.startsWith('v1a,')).toBe(true);
    const bytes = Buffer.from(signature.slice('v1a,'.length), 'base64');
    expect(verify(null, Buffer.from(`msg_1.1614265330.${body}`), key, bytes)).toBe(true);
    expect(verify(null, Buffer.from(`msg_2.1614265330.${body}`), key, bytes)).toBe(false);
  });

  test('by a key of 64 bytes are the same, and a public half of another key is refused', () => {
    const whole = (half: string) => `whsk_${Buffer.from(SEED + half, 'hex').toString('base64')}`;
    const content = Buffer.from('x');
    expect(signerOf(whole(PUBLIC))(content)).toBe(signerOf(KEY)(content));
    expect(() => signerOf(whole('00'.repeat(32)))).toThrow('neither whsec_');
  });

  test.each(['', 'whsec_', 'whsec_c2hvcnQ=', SEED, `whsec_${'A'.repeat(88)}`, 'whpk_AAAA', `${SECRET}\n`])(
    'a secret that is none is refused and not repeated: %j',
    (secret) => {
      const refused = () => signerOf(secret);
      expect(refused).toThrow(expect.objectContaining({ code: 'webhook.secret-invalid' }));
      expect(refused).toThrow(/^((?!c2hvcnQ|AAAA).)*$/s);
    },
  );
});
