import { createPrivateKey, createPublicKey, type KeyObject, verify } from 'node:crypto';
import {
  AUDIT_EVENT_SCHEMA_ID,
  completeEvent,
  encodeDatum,
  hexOf,
  type Kind,
  leafHash,
  leafHashUnder,
  signedBytesUnder,
} from '@cairn/event';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  EPOCHS_REMEMBERED,
  EPOCHS_WITH_HASHES,
  genesisHash,
  noteKeyOf,
  parseVkey,
  placeInStream,
  publicKeyOf,
  type StreamItem,
  type StreamPosition,
  signDatum,
  verifyDatum,
  verifyStream,
} from './index.ts';

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

/** The Ed25519 key of a seed (RFC 8410: PKCS #8 around 32 bytes). */
function keyOf(seed: Uint8Array): { privateKey: KeyObject; raw: Uint8Array } {
  const der = Buffer.concat([bytes('302e020100300506032b657004220420'), seed]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  return { privateKey, raw: new Uint8Array(Buffer.from(x, 'base64url')) };
}
const seed = (from: number): Uint8Array => Uint8Array.from({ length: 32 }, (_, index) => from + index);

describe('known answers, made by fastavro, hashlib and pyca/cryptography', () => {
  // A small schema of five fields: the formats hold for any schema that ends in a signature.
  const CRC64 = bytes('e4c47cf2fc5df275');
  const SHA256 = bytes('a8a81405ccd64a56520c277a5820e6cd30d9d8476b1ff7c2f2a1147397203f7a');
  const E1 = bytes(
    'c301e4c47cf2fc5df2750861636d650867772d3102024bdc964719635bf4ac101150d6072c6cc972255817f595f0fee57078943efb9514746f6f6c732f63616c6c00',
  );
  const E3 = bytes(
    'c301e4c47cf2fc5df2750861636d650867772d3102065bf8e5a450572250887a74ef43e3043b7f8aed2358e2b9ad62a6c6464c84797f087365616c02332fd6687bb360a10e78d3e28e5ae62bb2585441e42e8b760c2057c5cfb3efaf29751321630f8519193535153dd213e3c3cd1855a456ad15e8ec12c96babce0b',
  );
  const gateway = keyOf(seed(0x20));

  test('the first event of a stream links to its genesis hash', () => {
    const genesis = hexOf(genesisHash('acme', 'gw-1', 1, new Uint8Array(32)));
    expect(genesis).toBe('4bdc964719635bf4ac101150d6072c6cc972255817f595f0fee57078943efb95');
    expect(hexOf(E1)).toContain(genesis);
  });

  test('leaf hashes are those of the entries', () => {
    expect(hexOf(leafHashUnder(CRC64, E1.subarray(10)))).toBe(
      '1975793deae014ad172840e5350d83e3381f349e7c4565268a9431700af1da86',
    );
    expect(hexOf(leafHashUnder(CRC64, E3.subarray(10)))).toBe(
      'ae482b67dadcaea1a09fea7116dc1634ed0542b0dd1036708594d827c8b108cb',
    );
  });

  test('the seal is signed over the domain, the schema and all before the signature', () => {
    const datum = E3.subarray(10);
    const signed = signedBytesUnder(SHA256, datum.subarray(0, datum.length - 65));
    expect(verify(null, signed, publicKeyOf(gateway.raw), datum.subarray(datum.length - 64))).toBe(true);
  });

  test('keys are signed-note verifier keys', () => {
    const name = 'audit.example/acme/gw/gw-1';
    const vkey = 'audit.example/acme/gw/gw-1+226aa613+ASmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X';
    expect(noteKeyOf(name, gateway.raw)).toMatchObject({ vkey, keyId: '226aa613' });
    expect(parseVkey(vkey)).toMatchObject({ name, keyId: '226aa613' });
    expect(noteKeyOf('audit.example/acme/audit.events.v1/0', keyOf(seed(0)).raw).vkey).toBe(
      'audit.example/acme/audit.events.v1/0+ad41c930+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4',
    );
  });

  test('a verifier key whose id is not that of its name and key is refused', () => {
    expect(() =>
      parseVkey('audit.example/acme/gw/gw-2+226aa613+ASmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X'),
    ).toThrow();
    expect(() => parseVkey('no key')).toThrow();
  });
});

const item = (
  epoch: number,
  seq: number,
  hash = `${epoch}.${seq}`,
  prevHash = `${epoch}.${seq - 1}`,
): StreamItem => ({
  epoch,
  seq,
  hash,
  prevHash,
});

function place(items: readonly StreamItem[]): { verdicts: string[]; accepted: StreamItem[] } {
  let position: StreamPosition | undefined;
  const verdicts: string[] = [];
  const accepted: StreamItem[] = [];
  for (const one of items) {
    const placement = placeInStream(position, one);
    position = placement.position;
    verdicts.push(placement.verdict);
    if (placement.verdict !== 'duplicate') accepted.push(one);
  }
  return { verdicts, accepted };
}

describe('the place of an event in its stream', () => {
  test('batches that a producer repeats leave each event accepted once, in order', () => {
    const batches = fc.array(
      fc.record({ size: fc.integer({ min: 1, max: 20 }), times: fc.integer({ min: 1, max: 3 }) }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(batches, (list) => {
        let seq = 0;
        const sent = list.flatMap(({ size, times }) => {
          const batch = Array.from({ length: size }, () => item(1, seq++));
          return Array.from({ length: times }, () => batch).flat();
        });
        const { accepted, verdicts } = place(sent);
        expect(accepted).toEqual(Array.from({ length: seq }, (_, index) => item(1, index)));
        expect(new Set(verdicts).size).toBeLessThanOrEqual(3);
      }),
    );
  });

  test('what is missing is named, and what follows is accepted', () => {
    const { position } = placeInStream(undefined, item(1, 0));
    expect(placeInStream(position, item(1, 5))).toMatchObject({
      verdict: 'gap',
      missing: { from: 1, to: 4 },
    });
  });

  test('another event under a number that was taken is a fork, and so is a link that leads elsewhere', () => {
    expect(place([item(1, 0), item(1, 1), item(1, 1, 'other')]).verdicts).toEqual([
      'new-epoch',
      'next',
      'fork',
    ]);
    expect(place([item(1, 0), item(1, 1, '1.1', 'elsewhere')]).verdicts).toEqual(['new-epoch', 'fork']);
  });

  test('a start rises the epoch; an epoch that was left and comes back is stale', () => {
    expect(place([item(1, 0), item(2, 0), item(1, 1), item(2, 1)]).verdicts).toEqual([
      'new-epoch',
      'new-epoch',
      'stale-epoch',
      'next',
    ]);
  });
});

describe('the verification of a stream', () => {
  const { privateKey, raw } = keyOf(seed(7));
  const { keyId } = noteKeyOf('d/acme/gw/gw-1', raw);
  const genesis = genesisHash('acme', 'gw-1', 3, new Uint8Array(32));

  /** A stream that opens, holds calls and ends in a seal. */
  function stream(calls: number): Uint8Array[] {
    let prev_hash = genesis;
    return Array.from({ length: calls + 2 }, (_, seq) => {
      const own = seq === 0 || seq === calls + 1;
      const kind: Kind = seq === 0 ? 'stream_open' : own ? 'seal' : 'tool_call';
      const event = completeEvent(
        {
          org_id: 'acme',
          gateway_id: 'gw-1',
          kind,
          phase: 'single',
          capture: 'gateway',
          timestamp: 1_000 + seq,
        },
        { event_id: new Uint8Array(16).fill(seq) },
      );
      let datum = encodeDatum({
        ...event,
        epoch: 3,
        seq,
        prev_hash,
        key_id: keyId,
        signature: own ? new Uint8Array(64) : null,
      });
      if (own) {
        datum = new Uint8Array(datum);
        datum.set(signDatum(privateKey, AUDIT_EVENT_SCHEMA_ID, datum), datum.length - 64);
      }
      prev_hash = leafHash(AUDIT_EVENT_SCHEMA_ID, datum);
      return datum;
    });
  }
  const keys = new Map([[keyId, raw]]);
  const verdictOf = (datums: readonly Uint8Array[]) =>
    verifyStream(
      datums.map((datum) => ({ schemaId: AUDIT_EVENT_SCHEMA_ID, datum })),
      keys,
      hexOf(genesis),
    );

  test('an intact stream has no finding, and its seal covers everything before it', () => {
    expect(verdictOf(stream(10))).toEqual({ findings: [], events: 12, authenticatedUpTo: 11, closed: false });
  });

  test('any byte that is changed anywhere is found', () => {
    const whole = stream(6);
    fc.assert(
      fc.property(
        fc.nat(whole.length - 1),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 1, max: 255 }),
        (index, at, flip) => {
          const changed = whole.map((datum) => Uint8Array.from(datum));
          const datum = changed[index] ?? new Uint8Array();
          const place = Math.floor(at * datum.length);
          datum[place] = (datum[place] ?? 0) ^ flip;
          expect(verdictOf(changed).findings.length).toBeGreaterThan(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('an event that is removed, doubled or moved is found', () => {
    const whole = stream(6);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(whole.length - 1), (from, to) => {
        const event = whole[from] ?? new Uint8Array();
        const without = whole.toSpliced(from, 1);
        expect(verdictOf(without).findings.length).toBeGreaterThan(0);
        expect(verdictOf(whole.toSpliced(to, 0, event)).findings.length).toBeGreaterThan(0);
        if (from !== to)
          expect(verdictOf(without.toSpliced(to, 0, event)).findings.length).toBeGreaterThan(0);
      }),
    );
  });

  test('a tail without a seal is said to be chained and not yet covered', () => {
    expect(verdictOf(stream(6).slice(0, 5))).toMatchObject({
      findings: [{ kind: 'unsealed-tail', seq: 1 }],
      authenticatedUpTo: 0,
    });
  });

  test('a signature by another key, or by a key that was not given, is found', () => {
    const whole = stream(2);
    expect(verifyDatum(raw, AUDIT_EVENT_SCHEMA_ID, whole[0] ?? new Uint8Array())).toBe(true);
    const datums = whole.map((datum) => ({ schemaId: AUDIT_EVENT_SCHEMA_ID, datum }));
    const other = new Map([[keyId, keyOf(seed(9)).raw]]);
    expect(verifyStream(datums, other).findings.map(({ kind }) => kind)).toContain('bad-signature');
    expect(verifyStream(datums, new Map()).findings.map(({ kind }) => kind)).toContain('unknown-key');
  });
});

describe('an event of an epoch that was left', () => {
  const event = (epoch: number, seq: number, hash = `hash ${epoch} ${seq}`) => ({
    epoch,
    seq,
    hash,
    prevHash: `hash ${epoch} ${seq - 1}`,
  });
  const after = (...events: ReturnType<typeof event>[]): StreamPosition => {
    let position: StreamPosition | undefined;
    for (const one of events) position = placeInStream(position, one).position;
    if (!position) throw new Error('no events');
    return position;
  };

  test('that was accepted then is a duplicate, when its batch arrives after the gateway started again', () => {
    const position = after(event(1, 0), event(1, 1), event(2, 0));
    expect(placeInStream(position, event(1, 1)).verdict).toBe('duplicate');
    expect(placeInStream(position, event(1, 0)).verdict).toBe('duplicate');
  });

  test('that nobody has seen is a finding', () => {
    const position = after(event(1, 0), event(2, 0));
    expect(placeInStream(position, event(1, 1)).verdict).toBe('stale-epoch');
    expect(placeInStream(position, event(0, 0)).verdict).toBe('stale-epoch');
  });

  test('that stands under the number of another is a fork', () => {
    const position = after(event(1, 0), event(1, 1), event(2, 0));
    expect(placeInStream(position, event(1, 1, 'another')).verdict).toBe('fork');
  });

  test('is a duplicate after the gateway was started and killed many times meanwhile', () => {
    const starts = Array.from({ length: EPOCHS_REMEMBERED }, (_, start) => event(2 + start, 0));
    const position = after(event(1, 0), event(1, 1), ...starts);
    expect(placeInStream(position, event(1, 1)).verdict).toBe('duplicate');
    expect(placeInStream(position, event(1, 0)).verdict).toBe('duplicate');
    expect(placeInStream(position, event(1, 2)).verdict).toBe('stale-epoch');
  });

  test('is remembered so long and no longer, with its hashes over two starts, so that memory has a bound', () => {
    const starts = Array.from({ length: EPOCHS_REMEMBERED + 2 }, (_, start) => [
      event(2 + start, 0),
      event(2 + start, 1),
    ]);
    const position = after(event(1, 0), ...starts.flat());
    expect(placeInStream(position, event(1, 0)).verdict).toBe('stale-epoch');
    expect(position.earlier).toHaveLength(EPOCHS_REMEMBERED);
    const withHashes = position.earlier?.filter(({ hashes }) => hashes.at(0) !== undefined);
    expect(withHashes).toHaveLength(EPOCHS_WITH_HASHES);
    expect(position.earlier?.every(({ hashes, head }) => hashes.at(1) === head)).toBe(true);
  });
});
