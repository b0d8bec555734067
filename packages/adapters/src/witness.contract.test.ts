import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isFailure } from '@cairn/failure';
import { noteKeyOf } from '@cairn/ledger';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type RunningWitness, startGoWitness } from '../test/go-witness.ts';
import { addCheckpoint, type Witness, witnessKeyOf } from './witness.ts';

const ORIGIN = 'cairn.example/anchors';
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    (answer) => JSON.stringify(answer),
    (error: unknown) => (isFailure(error) ? error.code : String(error)),
  );

const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
  createHash('sha256').update(Buffer.concat(parts)).digest();
const leaf = (text: string): Buffer => sha256(Buffer.from([0]), Buffer.from(text));
const node = (left: Uint8Array, right: Uint8Array): Buffer => sha256(Buffer.from([1]), left, right);
const rawKeyOf = (key: KeyObject): Buffer => Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');

/** Leaves a, b, c, and the trees of one to three of them. */
const [a, b, c] = [leaf('a'), leaf('b'), leaf('c')];
const ROOTS: Readonly<Record<number, Buffer>> = { 1: a, 2: node(a, b), 3: node(node(a, b), c) };

const log = generateKeyPairSync('ed25519');
const logKey = noteKeyOf(ORIGIN, rawKeyOf(log.publicKey));
function checkpointOf(
  size: number,
  root = ROOTS[size] ?? a,
  origin = ORIGIN,
  by: KeyObject = log.privateKey,
): string {
  const text = `${origin}\n${size}\n${root.toString('base64')}\n`;
  const signature = sign(null, Buffer.from(text), by);
  return `${text}\n— ${ORIGIN} ${Buffer.concat([Buffer.from(logKey.keyId, 'hex'), signature]).toString('base64')}\n`;
}

describe('a witness that is not ours', () => {
  let witness: RunningWitness;
  beforeAll(async () => {
    witness = await startGoWitness('witness.example/w1', ORIGIN, logKey.vkey);
  }, 300_000);
  afterAll(async () => {
    await witness?.[Symbol.asyncDispose]();
  });

  // The tests of one witness follow each other: it remembers.
  test('refuses a log that it does not follow, and a checkpoint that another key signed', async () => {
    const unknown = checkpointOf(1, a, 'cairn.example/other');
    expect(await codeOf(addCheckpoint(witness, { oldSize: 0, proof: [], checkpoint: unknown }))).toBe(
      'witness.unknown-log',
    );
    const forged = checkpointOf(1, a, ORIGIN, generateKeyPairSync('ed25519').privateKey);
    // The library answers 500 or 403 to it, never a cosignature.
    expect(await codeOf(addCheckpoint(witness, { oldSize: 0, proof: [], checkpoint: forged }))).toMatch(
      /^witness\.(unsigned|unreachable)$/,
    );
  });

  test('cosigns the first checkpoint, and says when', async () => {
    const answer = await addCheckpoint(witness, { oldSize: 0, proof: [], checkpoint: checkpointOf(1) });
    if (answer.outcome !== 'cosigned') throw new Error(answer.outcome);
    expect(answer.line).toMatch(/^— witness\.example\/w1 [A-Za-z0-9+/=]+\n$/);
    expect(Math.abs(answer.cosignedAt.getTime() - Date.now())).toBeLessThan(5_000);
  });

  test('cosigns a larger one that is proven to grow from it, over several steps', async () => {
    const grown = await addCheckpoint(witness, { oldSize: 1, proof: [b], checkpoint: checkpointOf(2) });
    expect(grown.outcome).toBe('cosigned');
    const again = await addCheckpoint(witness, { oldSize: 2, proof: [c], checkpoint: checkpointOf(3) });
    expect(again.outcome).toBe('cosigned');
  });

  test('names the size at which it stands when asked from another', async () => {
    for (const oldSize of [0, 1, 2]) {
      const shown = { oldSize, proof: [], checkpoint: checkpointOf(3) };
      expect(await addCheckpoint(witness, shown)).toEqual({ outcome: 'conflict', size: 3 });
    }
  });

  test('cosigns the same checkpoint again, so that a lost answer is made good', async () => {
    const answer = await addCheckpoint(witness, { oldSize: 3, proof: [], checkpoint: checkpointOf(3) });
    expect(answer.outcome).toBe('cosigned');
  });

  test('refuses another history of the same size, and one that the proof does not reach', async () => {
    const forked = { oldSize: 3, proof: [], checkpoint: checkpointOf(3, leaf('forked')) };
    expect(await codeOf(addCheckpoint(witness, forked))).toBe('witness.inconsistent');
    const grown = { oldSize: 3, proof: [a, b], checkpoint: checkpointOf(4, leaf('grown')) };
    expect(await codeOf(addCheckpoint(witness, grown))).toBe('witness.inconsistent');
  });

  test('is not believed under the key of another', async () => {
    const stranger = {
      url: witness.url,
      vkey: vkeyOf('witness.example/w1', generateKeyPairSync('ed25519').publicKey),
    };
    const shown = { oldSize: 3, proof: [], checkpoint: checkpointOf(3) };
    expect(await codeOf(addCheckpoint(stranger, shown))).toBe('witness.untrusted');
  });

  test('that hangs is told in time, and answers again afterwards', async () => {
    const shown = { oldSize: 3, proof: [], checkpoint: checkpointOf(3) };
    witness.freeze();
    expect(await codeOf(addCheckpoint(witness, shown, { answerMsMax: 500 }))).toBe('witness.unreachable');
    witness.thaw();
    expect((await addCheckpoint(witness, shown)).outcome).toBe('cosigned');
  });
});

/** The vkey of a witness's key. */
function vkeyOf(name: string, publicKey: KeyObject): string {
  const key = Buffer.concat([Buffer.from([4]), rawKeyOf(publicKey)]);
  const id = sha256(Buffer.from(`${name}\n`), key)
    .subarray(0, 4)
    .toString('hex');
  return `${name}+${id}+${key.toString('base64')}`;
}

describe('an answer of anything', () => {
  const keys = generateKeyPairSync('ed25519');
  const vkey = vkeyOf('w', keys.publicKey);
  const keyId = Buffer.from(witnessKeyOf(vkey).keyId, 'hex');
  const checkpoint = checkpointOf(1);
  const text = checkpoint.slice(0, checkpoint.indexOf('\n\n') + 1);
  const lineOf = (
    seconds: bigint,
    signed = `cosignature/v1\ntime ${seconds}\n${text}`,
    name = 'w',
  ): string => {
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(seconds);
    const bytes = Buffer.concat([keyId, time, sign(null, Buffer.from(signed), keys.privateKey)]);
    return `— ${name} ${bytes.toString('base64')}\n`;
  };
  let answer: (response: ServerResponse) => unknown;
  let received = '';
  let witness: Witness;
  const server = createServer(async (request, response) => {
    received = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString();
    answer(response);
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    witness = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix/`, vkey };
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const ask = (answers: typeof answer) => {
    answer = answers;
    return codeOf(addCheckpoint(witness, { oldSize: 0, proof: [a, b], checkpoint }, { answerMsMax: 500 }));
  };

  test('is asked for with the old size, the proof and the note, line by line', async () => {
    expect(await ask((response) => response.end(lineOf(1_800_000_000n)))).toContain(
      '2027-01-15T08:00:00.000Z',
    );
    expect(received).toBe(`old 0\n${a.toString('base64')}\n${b.toString('base64')}\n\n${checkpoint}`);
  });

  test('with lines of other keys beside its own is cosigned', async () => {
    const other = `— other ${Buffer.alloc(76, 1).toString('base64')}\n`;
    expect(await ask((response) => response.end(other + lineOf(1_800_000_000n)))).toContain('cosigned');
  });

  test.each<[string, string]>([
    ['nothing', ''],
    ['a signature over another time', lineOf(1_800_000_000n, `cosignature/v1\ntime 1800000001\n${text}`)],
    [
      'a signature over another checkpoint',
      lineOf(1_800_000_000n, `cosignature/v1\ntime 1800000000\n${text}x`),
    ],
    ['a signature of the note without a time', lineOf(1_800_000_000n, text)],
    ['no time', lineOf(0n)],
    ['a time past all dates', lineOf(2n ** 63n)],
    ['another name', lineOf(1_800_000_000n, undefined, 'v')],
    ['a cut line', lineOf(1_800_000_000n).slice(0, 60)],
  ])('with %s is not believed', async (_what, body) => {
    expect(await ask((response) => response.end(body))).toBe('witness.untrusted');
  });

  test.each<[string, (response: ServerResponse) => unknown, string]>([
    ['400', (response) => response.writeHead(400).end(), 'witness.refused'],
    ['403', (response) => response.writeHead(403).end(), 'witness.unsigned'],
    ['422', (response) => response.writeHead(422).end(), 'witness.inconsistent'],
    ['429', (response) => response.writeHead(429).end(), 'witness.unreachable'],
    ['500', (response) => response.writeHead(500).end(), 'witness.unreachable'],
    ['409 without its type', (response) => response.writeHead(409).end('5\n'), 'witness.refused'],
    [
      '409 with no number',
      (response) => response.writeHead(409, { 'content-type': 'text/x.tlog.size' }).end('x\n'),
      'witness.refused',
    ],
    [
      '409 beyond all sizes',
      (response) =>
        response.writeHead(409, { 'content-type': 'text/x.tlog.size' }).end('99999999999999999999\n'),
      'witness.refused',
    ],
    ['a redirect', (response) => response.writeHead(307, { location: '/' }).end(), 'witness.unreachable'],
    ['20 kB', (response) => response.end('x'.repeat(20_000)), 'witness.refused'],
    ['a hang', () => undefined, 'witness.unreachable'],
    ['a broken line', (response) => response.destroy(), 'witness.unreachable'],
  ])('%s ends in its code', async (_what, answers, code) => {
    expect(await ask(answers)).toBe(code);
  });

  test('is not asked for with a key that is none of a witness', async () => {
    for (const wrong of [logKey.vkey, vkey.replace(/\+[0-9a-f]{8}/, '+00000000'), 'w', '']) {
      const asked = addCheckpoint({ ...witness, vkey: wrong }, { oldSize: 0, proof: [], checkpoint });
      expect(await codeOf(asked)).toBe('key.invalid');
    }
  });
});
